"""One table of the runs that `benchmarks/gpu.sh` wrote: `python -m benchmarks.sheet DIRECTORY`."""

import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.peers import library_of
from benchmarks.rows import BOTH, FILE, OK, Row, read_rows
from common.reproduce.judge.terminal import make_console

HEADER = ("run", "layer", "by", "T", "ms", "fla / ours", "best peer / ours", "% GEMM", "step ms")


def table(directory: Path) -> Iterator[tuple[str, ...]]:
    """A line a layer, form and length of each run: times forward and backward, beside peers'."""
    for path in sorted(directory.glob(f"*/{FILE}")):
        rows = [row for row in read_rows(path, "DIRECTORY") if row.status == OK and not row.doubt]
        steps = {row.layer: row for row in rows if row.mode == "step" and row.name == "step"}
        for row in rows:
            if row.mode == BOTH and library_of(row.name) is None:
                yield _line(path.parent.name, row, rows, steps.get(row.layer))


def _line(run: str, row: Row, rows: list[Row], step: Row | None) -> tuple[str, ...]:
    peers = {
        other.name: other.median_ms
        for other in rows
        if (other.layer, other.mode, other.length) == (row.layer, BOTH, row.length)
        and library_of(other.name) is not None
        and other.median_ms is not None
    }
    fla = [time for name, time in peers.items() if library_of(name) == "fla"]
    return (
        run,
        row.layer.rpartition("/")[2],
        row.name if row.compiler != "exported" else f"{row.name}, TensorFlow",
        f"{row.length}",
        _number(row.median_ms),
        _ratio(min(fla, default=None), row),
        _ratio(min(peers.values(), default=None), row),
        "–" if row.gemm_fraction is None else f"{row.gemm_fraction:.0%}",
        "–" if step is None else _number(step.median_ms),
    )


def _ratio(time: float | None, row: Row) -> str:
    return "–" if time is None or row.median_ms is None else f"{time / row.median_ms:.2f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def main(directory: Path, console: Console) -> None:
    """Prints the table; above 1, a ratio says that ours is faster."""
    lines = Table(*HEADER, box=None)
    for line in table(directory):
        lines.add_row(*line)
    console.print(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]), make_console())
