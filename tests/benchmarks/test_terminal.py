import io
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import report
from benchmarks.claims import speed_claims
from benchmarks.rows import read_rows

RECORDED = Path(__file__).parents[2] / "benchmarks" / "results"


def printed(terminal, width, *calls):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width, color_system=None)
    for call, *arguments in calls:
        call(console, *arguments)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("name", sorted(path.name for path in RECORDED.iterdir()))
def test_tables_fit_80_columns_or_have_a_row_a_line(name):
    rows = read_rows(RECORDED / name, "--report")
    narrow = printed(True, 80, (report.print_rows, rows))
    assert max(map(len, narrow)) <= 80
    wide = printed(False, 160, (report.print_rows, rows))
    (header, *_) = [line for line in wide if line.startswith("form or peer")]
    assert header.split("  ")[0] == "form or peer" and header.endswith("state B")
    cells = {(row.layer, row.name, row.compiler, row.length) for row in rows}
    assert all(
        any(line.startswith(f"{name} ") and f" {compiler} " in line for line in wide)
        for _, name, compiler, _ in cells
    )


def test_reported_speeds_are_paragraphs_or_a_claim_a_line():
    claims = speed_claims(["griffin"])
    narrow = printed(True, 80, (report.print_claims, claims))
    assert max(map(len, narrow)) <= 80
    assert "griffin, speed-native" in narrow
    wide = printed(False, 160, (report.print_claims, claims))
    assert sum(line.startswith("griffin  ") for line in wide) == len(claims)
