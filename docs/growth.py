"""The section of the benchmarks' page on time, memory and decoding over a million steps."""

from collections.abc import Sequence
from html import escape
from typing import Any

from benchmarks.peers import library_of
from benchmarks.report import power
from benchmarks.rows import Row

HEAD = ("layer", "form", "steps a second", "time grows as", "decode", "state", "peak memory")


def growth_section(run: dict[str, Any], rows: Sequence[Row]) -> str:
    """Markdown: a figure that the script draws, and a table.

    Args:
        run: as `run_data` gives it.
        rows: those of the run that have numbers; others than "stream" and "decode" do not count.
    """
    streams = _by_variant(rows, "stream")
    decoded = _by_variant(rows, "decode")
    lines = [_line(one, points, decoded.get(one, [])) for one, points in streams.items()]
    longest = max(points[-1].length for points in streams.values())
    head = "".join(f'<th scope="col">{name}</th>' for name in HEAD)
    body = "\n".join(lines)
    return (
        "## As the sequence grows\n\n"
        f"Every layer reads {longest:,} steps in chunks of 1,024, its state carried over, and "
        "decodes after them; attention takes all steps at once and keeps their keys and values. "
        "Time, state and memory are one sequence's; the first and last number of a cell with an "
        f"arrow are those of the shortest and the longest. {escape(run['hardware'])}, "
        f"{run['backend']}, {run['date']}, [by these commands](notes.md).\n\n"
        f'<figure class="chart" id="growth" data-run="{run["name"]}"></figure>\n\n'
        '<div class="ledger-scroll"><table class="ledger speeds"><thead><tr>'
        f"{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>\n\n"
    )


def _by_variant(rows: Sequence[Row], mode: str) -> dict[tuple[str, str], list[Row]]:
    """Layer and form to rows by length; a peer, that stands beside many layers, once."""
    found: dict[tuple[str, str], list[Row]] = {}
    beside: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.length):
        if row.mode != mode or row.median_ms is None:
            continue
        peer = library_of(row.name) is not None
        if not peer or beside.setdefault(row.name, row.layer) == row.layer:
            found.setdefault(("" if peer else row.layer, row.name), []).append(row)
    return found


def _line(variant: tuple[str, str], points: Sequence[Row], decoded: Sequence[Row]) -> str:
    layer, name = variant
    last = points[-1]
    assert last.median_ms is not None
    cells = (
        layer or name,
        name if layer else "at once",
        f"{1e3 * last.length / last.median_ms:,.0f}",
        exponent(points),
        _span([row.median_ms for row in decoded], lambda ms: f"{1e3 * ms:,.0f} µs"),
        _span([row.state_bytes for row in points], _bytes),
        _span([row.peak_bytes for row in points], _bytes),
    )
    text = "".join(
        f'<td data-label="{name}"><div>{escape(cell)}</div></td>'
        for name, cell in zip(HEAD, cells, strict=True)
    )
    return f"<tr>{text}</tr>"


def exponent(points: Sequence[Row]) -> str:
    """The power of T that the time grows by, fitted to three lengths or more."""
    if len(points) < 3:
        return "–"
    return power([(row.length, row.median_ms) for row in points if row.median_ms is not None])


def _span(values: Sequence[Any], said: Any) -> str:
    """The first and the last value that is known."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    ends = dict.fromkeys((said(known[0]), said(known[-1])))
    return " → ".join(ends)


def _bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
