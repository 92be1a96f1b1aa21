"""The sheet of a GPU run: its script on this machine, in small, and its table."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.rows import BOTH, append_row
from benchmarks.sheet import HEADER, table
from tests.benchmarks.test_compare import ROW

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.sh"


def test_a_line_has_the_ratios_to_the_peers(tmp_path):
    """Only of rows forward and backward that are not in doubt; the best of two peers counts."""
    ours = replace(
        ROW,
        layer="gla/gla",
        name="chunkwise",
        mode=BOTH,
        length=64,
        median_ms=2.0,
        gemm_fraction=0.5,
    )
    rows = [
        ours,
        replace(ours, name="step", mode="step", length=1, median_ms=0.25),
        replace(ours, name="fla GatedLinearAttention", median_ms=3.0),
        replace(ours, name="torch SDPA", median_ms=1.0),
        replace(ours, length=128, doubt="noise"),
        replace(ours, mode="forward"),
    ]
    (tmp_path / "one").mkdir()
    for row in rows:
        append_row(tmp_path / "one", row)
    (line,) = table(tmp_path)
    told = dict(zip(HEADER, line, strict=True))
    assert told == {
        "run": "one",
        "layer": "gla",
        "by": "chunkwise",
        "T": "64",
        "ms": "2",
        "fla / ours": "1.50",
        "best peer / ours": "0.50",
        "% GEMM": "50%",
        "step ms": "0.25",
    }


@pytest.mark.slow
def test_the_sheet_runs_here_and_goes_on(tmp_path):
    """About three minutes: tiny sizes, on a CPU; the second call has nothing to do."""
    small = {
        "DEVICE": "cpu",
        "TOKENS": "128",
        "WIDTHS": "512",
        "WIDTH32": "512",
        "LENGTHS": "64",
        "LENGTH32": "64",
        "GROWTH": "64",
        "STREAM": "1024 2048",
        "SPEEDS": "",
        "SECONDS_EACH": "600",
    }
    command = [str(SCRIPT), str(tmp_path / "sheet")]
    first, second = (
        subprocess.run(command, env=os.environ | small, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    in_table = ("width512-bfloat16-64", "width512-float32-64", "growth")
    for name in (*in_table, "stream"):
        assert f"{name}: exit code 0" in first.stdout
        assert f"{name}: exit code" not in second.stdout
    assert all(name in second.stdout for name in in_table)
    assert "gated-linear-attention" in second.stdout
