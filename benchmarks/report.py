"""The tables: one a layer for the terminal and Markdown, and that of the reported speeds."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks.claims import SpeedClaim
from benchmarks.compare import Slowdown
from benchmarks.rows import ABSENT, BOTH, COLUMNS, OK, Roofline, Row
from common.reproduce.judge.terminal import WIDTH, say

if TYPE_CHECKING:
    import pandas

# Mode to its column; a row has either of those that share one.
TIMES = {
    BOTH: "fwd + bwd ms",
    "forward": "forward ms",
    "step": "forward ms",
    "train": "train ms",
    "backward": "bwd ms",
    "stream": "stream ms",
    "decode": "decode ms",
}
VALUES = {
    "floor ms": "{:.3g}",
    "tokens/s": "{:,.0f}",
    "GFLOP/s": "{:.3g}",
    "% GEMM": "{:.1%}",
    "% copy": "{:.1%}",
    "peak MB": "{:.1f}",
    "compile s": "{:.1f}",
    "params": "{:,}",
    "state B": "{:,}",
}
WIDEST = 24  # of a cell on a terminal, where a reason may stand in place of a time
KEYS = ("form or peer", "by", "T")
HEADER = (
    *KEYS,
    "forward ms",
    "fwd + bwd ms",
    "bwd ms",
    "train ms",
    "stream ms",
    "decode ms",
    *VALUES,
)

NOTES = (
    "Milliseconds: median (in files: p20 to p80) of samples of at least 10 ms, taken in turns with "
    "the others of the same shape, length and mode. bwd: forward + backward less forward. A ? is "
    "noise: p20 to p80 wider than half the median, or forward slower than forward + backward, when "
    "measured again too.",
    "floor ms, tokens/s, GFLOP/s and the fractions: of fwd + bwd where it was timed, else of the "
    "first mode that was. FLOPs: the formula for the matrix products; a backward pass counts as "
    "two forward ones. % GEMM: of a large product in the same dtype in this run. % copy: the least "
    "traffic (inputs, outputs and weights once; backward the same again for their gradients) a "
    "second, of a copy's in this run. floor ms: what the machine would take at the larger of both.",
    "peak MB: memory of one call beyond weights and inputs, in a pass of its own (CPU: resident "
    "memory, which does not show TensorFlow XLA's; GPU: the allocator's counter; JAX: the plan of "
    "the compiler). compile s: the first call. "
    "step: one step of decoding, in the column forward ms. Peers' numbers are taken once a shape "
    "and stand beside each layer of it. Keras's LSTM and GRU, and keras-lmu's LMU, are never "
    "compiled with TensorFlow's XLA, where their gradient takes time and memory quadratic in T; "
    "nor is Keras's associative_scan, which XLA does not compile.",
    "stream: T steps in chunks of 1,024, the state carried over; peers take T steps at once. "
    "decode: a step after T steps. state B of attention: the keys and values of T steps.",
)


def frame(rows: Sequence[Row]) -> "pandas.DataFrame":
    """The rows as a table, a column an attribute."""
    import pandas

    return pandas.DataFrame(rows, columns=list(COLUMNS))


def layer_table(rows: Sequence[Row], layer: str, spread: bool = True) -> "pandas.DataFrame":
    """The table of `layer` as text, columns as `HEADER`; `spread`: with p20 and p80."""
    import pandas

    lines: dict[tuple[str, str, int], dict[str, Row]] = {}
    for row in rows:
        if row.layer == layer:
            lines.setdefault((row.name, row.compiler, row.length), {})[row.mode] = row
    # Those without a length, refused, at the end.
    ordered = sorted(lines, key=lambda key: key[2] or 10**12)
    cells = [_line(key, lines[key], spread) for key in ordered]
    return pandas.DataFrame(cells, columns=list(HEADER))


def _line(key: tuple[str, str, int], modes: Mapping[str, Row], spread: bool) -> dict[str, str]:
    """The cells of a variant at a length, from its rows by mode."""
    name, compiler, length = key
    line = dict.fromkeys(HEADER, "")
    line |= zip(KEYS, (name, compiler, str(length or "–")), strict=True)
    measured = [modes[mode] for mode in TIMES if mode in modes and modes[mode].status == OK]
    if not measured:
        row = next(iter(modes.values()))
        return line | {"forward ms": f"{row.status}: {row.message}"}
    main = measured[0]
    compiled = [row.compile_s for row in measured if row.compile_s is not None]
    values = (
        _floor(main),
        main.tokens_per_s,
        main.gflop_per_s,
        main.gemm_fraction,
        main.bandwidth_fraction,
        None if main.peak_bytes is None else main.peak_bytes / 1e6,
        sum(compiled) if compiled else None,
        main.parameters,
        main.state_bytes,
    )
    line |= {TIMES[mode]: _time(row, spread) for mode, row in modes.items()}
    told = zip(VALUES.items(), values, strict=True)
    return line | {name: form.format(value) for (name, form), value in told if value is not None}


def _floor(row: Row) -> float | None:
    fractions = [row.gemm_fraction, row.bandwidth_fraction]
    if row.median_ms is None or not any(fractions):
        return None
    return row.median_ms * max(fraction or 0.0 for fraction in fractions)


def _time(row: Row, spread: bool = True) -> str:
    if row.median_ms is None:
        return row.status
    doubt = " ?" if row.doubt else ""
    if row.p20_ms is None or not spread:
        return f"{row.median_ms:.3g}{doubt}"
    return f"{row.median_ms:.3g} ({row.p20_ms:.3g}–{row.p80_ms:.3g}){doubt}"


def growth(rows: Sequence[Row], layer: str) -> list[str]:
    """How the time of each variant grows with T, where there are three lengths or more."""
    times: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for row in rows:
        if row.layer == layer and row.p20_ms is not None and row.median_ms and not row.doubt:
            of_variant = times.setdefault((row.name, row.compiler, row.mode), [])
            of_variant.append((row.length, row.median_ms))
    lines = []
    for (name, compiler, mode), points in times.items():
        if len(points) >= 3:
            lines.append(f"{name} {compiler}, {mode}: time grows as {power(points)}")
    return lines


def power(points: Sequence[tuple[int, float]]) -> str:
    """The power of T that times grow by, fitted to pairs of a length and a time."""
    import numpy as np

    lengths, times = np.log(points).T
    return f"T^{np.polyfit(lengths, times, 1)[0]:.2f}"


def row_line(row: Row) -> str:
    """One line for a row that was just measured."""
    what = f"{row.layer} {row.name} {row.compiler} T={row.length} {row.mode}"
    if row.status == ABSENT:
        return f"{row.layer}: no {row.name} ({row.message})"
    if row.median_ms is None:
        return f"{what}: {row.status}. {row.message}"
    return f"{what}: {_time(row)} ms" + (f" ({row.doubt})" if row.doubt else "")


def print_rows(console: Console, rows: Sequence[Row]) -> None:
    """Prints a table a layer."""
    for layer in dict.fromkeys(row.layer for row in rows):
        _print(console, layer_table(rows, layer, spread=False), layer)
        for line in growth(rows, layer):
            console.print(line, markup=False)
    for note in NOTES:
        say(console, note, style="dim")


def print_claims(console: Console, claims: Sequence[SpeedClaim]) -> None:
    """Prints the table of reported speeds."""
    import pandas

    if not claims:
        return
    table = pandas.DataFrame(claims).rename(columns=lambda name: name.replace("_", " "))
    title = "Reported speed and memory"
    if not console.is_terminal:
        _print(console, table, title)
        return
    say(console, title, style="bold")
    for paper, claim, *rest in table.itertuples(index=False, name=None):
        told = zip(table.columns[2:], rest, strict=True)
        say(console, f"{paper}, {claim}")
        say(console, "; ".join(f"{name}: {cell}" for name, cell in told), indent=4)


def print_slowdowns(console: Console, slower: Sequence[Slowdown], shared: int) -> None:
    """Prints the cells that became slower."""
    import pandas

    lines = [
        (
            f"{one.row.layer} {one.row.name}",
            one.row.compiler,
            one.row.mode,
            str(one.row.length),
            _time(one.before),
            _time(one.row),
            f"{one.ratio:.2f}x",
        )
        for one in slower
    ]
    title = f"Slower than before: {len(slower)} of {shared} cells"
    header = ["layer", "by", "mode", "T", "before ms", "now ms", "ratio"]
    _print(console, pandas.DataFrame(lines, columns=header), title)


def roofline_line(roofline: Roofline) -> str:
    """The limits, in one line."""
    gemm = ", ".join(
        f"{dtype} {flops / 1e9:,.0f} GFLOP/s" for dtype, flops in roofline.gemm.items()
    )
    return f"matrix product: {gemm}; copy: {roofline.bandwidth / 1e9:,.1f} GB/s read and written"


def _print(console: Console, lines: "pandas.DataFrame", title: str) -> None:
    """Prints a table, a row a line; a terminal shows the columns from the left that fit."""
    cells = {str(name): [str(name), *column] for name, column in lines.items()}
    left_out: list[str] = []
    if console.is_terminal:
        cells = {
            name: [textwrap.shorten(cell, WIDEST, placeholder="…") for cell in column]
            for name, column in cells.items()
            if any(column[1:])
        }
        while len(cells) > 1 and sum(len(max(one, key=len)) + 2 for one in cells.values()) > WIDTH:
            left_out.insert(0, cells.popitem()[0])
    say(console, title, style="bold")
    columns = [[cell.ljust(len(max(one, key=len))) for cell in one] for one in cells.values()]
    for row in zip(*columns, strict=True):
        console.print("  ".join(row).rstrip(), markup=False, soft_wrap=True)
    if left_out:
        say(console, f"In a pipe also: {', '.join(left_out)}.", style="dim")
    console.print()


def told(facts: Mapping[str, Any]) -> list[str]:
    """What a run ran on, by its environment.json, a line each."""
    lines = [f"{key}: {facts[key]}" for key in ("command", "hardware", "date", "commit", "dirty")]
    loads = facts["load_before"], facts.get("load_after", float("nan"))
    lines.append("load average {:.1f} before, {:.1f} after".format(*loads))
    lines.append(roofline_line(Roofline(**facts["roofline"])))
    return [*lines, ", ".join(f"{k} {v}" for k, v in facts["versions"].items())]


def to_markdown(title: str, facts: Sequence[str], rows: Sequence[Row]) -> str:
    """The whole report."""
    parts = [f"# {title}", "\n".join(f"- {fact}" for fact in facts)]
    for layer in dict.fromkeys(row.layer for row in rows):
        table = layer_table(rows, layer).map(lambda cell: cell.replace("|", "\\|"))
        parts += [
            f"## {layer}",
            table.to_markdown(index=False, tablefmt="pipe", disable_numparse=True),
            "\n".join(f"- {line}" for line in growth(rows, layer)),
        ]
    return "\n\n".join(part for part in (*parts, *NOTES) if part) + "\n"
