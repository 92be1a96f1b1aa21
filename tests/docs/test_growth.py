"""The table of how time, state and memory grow, from rows whose growth is known."""

import re
from dataclasses import replace

from benchmarks.rows import Row
from docs.growth import exponent, growth_section

RUN = {
    "name": "run",
    "hardware": "a machine",
    "backend": "tensorflow",
    "date": "2026-11-28",
}
ROW = Row(
    layer="mamba/mamba",
    name="chunkwise",
    compiler="xla",
    mode="stream",
    batch=1,
    length=1024,
    dtype="float32",
    device="cpu",
    backend="tensorflow",
    median_ms=50.0,
    state_bytes=38_912,
    peak_bytes=60_000_000,
)


def rows():
    of_layer = [replace(ROW, length=1024 * n, median_ms=50.0 * n) for n in (16, 4, 1)]
    decoded = [replace(ROW, mode="decode", length=n, median_ms=0.2) for n in (10, 16_384)]
    of_peer = [
        replace(
            ROW,
            layer=layer,
            name="torch SDPA",
            compiler="eager",
            length=1024 * n,
            median_ms=3.0 * n * n,
            state_bytes=2_097_152 * n,
            peak_bytes=None,
        )
        for layer in ("mamba/mamba", "gla/gla")
        for n in (1, 4, 16)
    ]
    return [*of_layer, *decoded, *of_peer]


def test_a_line_a_layer_and_one_a_peer():
    text = growth_section(RUN, rows())
    lines = [re.findall(r"<div>(.*?)</div>", line) for line in text.splitlines() if "<td" in line]
    assert lines == [
        ["mamba/mamba", "chunkwise", "20,480", "T^1.00", "200 µs", "38.9 KB", "60 MB"],
        ["torch SDPA", "at once", "21,333", "T^2.00", "–", "2.1 MB → 33.6 MB", "–"],
    ]
    assert "reads 16,384 steps" in text and 'data-run="run"' in text


def test_two_lengths_have_no_exponent():
    assert exponent([ROW, replace(ROW, length=4096)]) == "–"
