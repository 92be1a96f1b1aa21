"""Streams: what is timed is T steps in chunks, and a step from the state after them."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from benchmarks import stream
from benchmarks.options import STREAM_CHUNK
from benchmarks.report import growth
from benchmarks.rows import Roofline
from tests.benchmarks.conftest import ALONE, run

LENGTHS = (1024, 2048, 4096)
LIMITS = Roofline({"float32": 1e11}, 1e10)
STREAM = ("--stream", "--length", *LENGTHS, "--seconds", "0.01")


def test_every_length_is_streamed_and_decoded_after(quick):
    code, rows, _, output = quick(["RunningSum"], *STREAM)
    assert code == 0
    lengths = {mode: [r.length for r in rows if r.mode == mode] for mode in ("stream", "decode")}
    assert lengths == {"stream": [*LENGTHS], "decode": [stream.FEW, *LENGTHS]}
    for row in rows:
        assert (row.status, row.name, row.state_bytes) == ("ok", "parallel", 16)
        steps = row.length if row.mode == "stream" else 1
        assert row.tokens_per_s == pytest.approx(2 * steps / (1e-3 * row.median_ms))
        assert (row.flops == 4 * 2 * row.length) or row.mode == "decode"
    # Times in doubt are left out of what grows, and on a busy machine any may be.
    assert all(line in output for line in growth(rows, rows[0].layer))
    certain = [replace(row, doubt="") for row in rows]
    grown = [line.partition(" T^")[0] for line in growth(certain, rows[0].layer)]
    assert grown == [f"parallel xla, {mode}: time grows as" for mode in ("stream", "decode")]
    # What is there is not measured again.
    _, again, _, _ = quick(["RunningSum"], *STREAM, "--resume")
    assert again == rows


def test_the_state_is_carried_over(tiny_papers, monkeypatch):
    """The sum after n chunks is that of n times the chunk; decoding goes on from there."""
    from benchmarks.cases import find_cases
    from benchmarks.options import Options

    tiny_papers("RunningSum")
    options = Options(stream=True, peers=("none",), batch=1, length=LENGTHS, samples=5, seconds=1)
    (case,) = find_cases(options, "cpu")
    kept = {}
    monkeypatch.setattr(stream, "_decoded", lambda *given: kept.update(given[-1]) or iter(()))
    list(stream.run([case], options, "cpu", (), lambda text: None, LIMITS))
    chunk = case.workload("stream", 1, STREAM_CHUNK).inputs[0]
    for length in LENGTHS:
        total = keras.ops.convert_to_numpy(kept[length]["sum"])
        # Float32, over thousands of steps.
        expected = (length // STREAM_CHUNK) * chunk.sum(1)
        np.testing.assert_allclose(total, expected, rtol=1e-3, atol=1e-2)


def test_a_layer_that_fails_leaves_the_others(quick):
    code, rows, _, _ = quick(["Greedy", "RunningSum"], *STREAM)
    assert code == 0
    failed = [row for row in rows if row.layer == "min_rnn/greedy"]
    assert [(row.status, row.mode, row.length) for row in failed] == [
        ("out of memory", "stream", 0)
    ]
    assert len([row for row in rows if row.status == "ok"]) == 2 * len(LENGTHS) + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stream", "--length", 1000], "--length is 1000, expected with --stream, multiples"),
        (["--stream", "--kernels", "scan"], "--kernels is ('scan',), expected none with --stream"),
    ],
)
def test_what_cannot_be_streamed_is_refused(arguments, message, capsys):
    code, _, errors = run(capsys, *ALONE, *arguments)
    assert code == 2 and message in errors
