"""The tables: one a layer for the terminal and Markdown, and that of the reported speeds."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.claims import SpeedClaim
from benchmarks.compare import Slowdown
from benchmarks.rows import ABSENT, COLUMNS, OK, Roofline, Row

if TYPE_CHECKING:
    import pandas

HEADER = (
    "form or peer",
    "by",
    "T",
    "forward ms",
    "fwd + bwd ms",
    "bwd ms",
    "train ms",
    "tokens/s",
    "GFLOP/s",
    "% GEMM",
    "% copy",
    "peak MB",
    "compile s",
    "params",
    "state B",
)

NOTES = (
    "Milliseconds: median (in files: p20 to p80) of samples of at least 10 ms, taken in turns with "
    "the others of the same shape, length and mode. bwd: forward + backward less forward. A ? is "
    "noise: p20 to p80 wider than half the median, or forward slower than forward + backward, when "
    "measured again too.",
    "tokens/s, GFLOP/s and the fractions: of fwd + bwd where it was timed, else of the first mode "
    "that was. FLOPs: the layer's formula for its matrix products; a backward pass counts as two "
    "forward ones. % GEMM: of a large product in the same dtype in this run. % copy: the least "
    "traffic (inputs, outputs and weights once; backward the same again for their gradients) a "
    "second, of a copy's in this run.",
    "peak MB: memory of one call beyond weights and inputs, in a pass of its own (CPU: resident "
    "memory, which does not show TensorFlow XLA's; GPU: the allocator's counter; JAX: the plan of "
    "the compiler). compile s: the first call. "
    "step: one step of decoding, in the column forward ms. Peers' numbers are taken once a shape "
    "and stand beside each layer of it. Keras's LSTM and GRU, and keras-lmu's LMU, are never "
    "compiled with TensorFlow's XLA, where their gradient takes time and memory quadratic in T.",
)


def frame(rows: Sequence[Row]) -> "pandas.DataFrame":
    """The rows as a table, a column an attribute."""
    import pandas

    return pandas.DataFrame([asdict(row) for row in rows], columns=list(COLUMNS))


def layer_table(rows: Sequence[Row], layer: str, spread: bool = True) -> "pandas.DataFrame":
    """The table of `layer` as text, columns as `HEADER`; `spread`: with p20 and p80."""
    import pandas

    table = frame(rows).assign(row=pandas.Series(list(rows), dtype="object"))
    table = table[table["layer"] == layer].drop_duplicates(
        ["name", "compiler", "length", "mode"], keep="last"
    )
    # A line a contestant and length, a column a mode; those without a length, refused, at the end.
    modes = table.pivot(index=["name", "compiler", "length"], columns="mode", values="row")
    cells: dict[Any, dict[Any, Any]] = modes.to_dict("index")
    keys = dict.fromkeys(zip(table["name"], table["compiler"], table["length"], strict=True))
    lines = [
        _line(*key, {mode: row for mode, row in cells[key].items() if isinstance(row, Row)}, spread)
        for key in sorted(keys, key=lambda key: key[2] or 10**12)
    ]
    return pandas.DataFrame(lines, columns=list(HEADER))


def _line(
    name: str, compiler: str, length: int, modes: dict[str, Row], spread: bool
) -> tuple[str, ...]:
    measured = [row for row in modes.values() if row.status == OK]
    if not measured:
        row = next(iter(modes.values()))
        text = f"{row.status}: {row.message}"
        return (name, compiler, str(length or "–"), text, *[""] * (len(HEADER) - 4))
    forward = modes.get("forward", modes.get("step"))
    main = modes.get("forward+backward")
    if main is None or main.status != OK:
        main = forward if forward in measured else measured[0]
    times = (forward, *(modes.get(mode) for mode in ("forward+backward", "backward", "train")))
    compiled = [row.compile_s for row in measured if row.compile_s is not None]
    return (
        name,
        compiler,
        str(length),
        *(_time(row, spread) for row in times),
        _number(main.tokens_per_s, "{:,.0f}"),
        _number(main.gflop_per_s, "{:.3g}"),
        _number(main.gemm_fraction, "{:.1%}"),
        _number(main.bandwidth_fraction, "{:.1%}"),
        _number(None if main.peak_bytes is None else main.peak_bytes / 1e6, "{:.1f}"),
        _number(sum(compiled) if compiled else None, "{:.1f}"),
        _number(main.parameters, "{:,}"),
        _number(main.state_bytes, "{:,}"),
    )


def _time(row: Row | None, spread: bool = True) -> str:
    if row is None:
        return ""
    if row.median_ms is None:
        return row.status
    doubt = " ?" if row.doubt else ""
    if row.p20_ms is None or not spread:
        return f"{row.median_ms:.3g}{doubt}"
    return f"{row.median_ms:.3g} ({row.p20_ms:.3g}–{row.p80_ms:.3g}){doubt}"


def _number(value: float | None, pattern: str) -> str:
    return "" if value is None else pattern.format(value)


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
    for note in NOTES:
        console.print(note, style="dim", markup=False)


CLAIM_HEADER = (
    "claim",
    "reported",
    "paper's hardware",
    "paper's baseline",
    "recorded",
    "our baseline",
    "this run",
    "verdict",
)


def claim_table(claims: Iterable[SpeedClaim]) -> "pandas.DataFrame":
    """The table of the claims as text, columns as `CLAIM_HEADER`."""
    import pandas

    lines = [
        (
            f"{one.paper}: {one.claim}",
            one.reported,
            one.hardware,
            one.baseline,
            one.recorded,
            one.our_baseline,
            one.this_run,
            one.verdict,
        )
        for one in claims
    ]
    return pandas.DataFrame(lines, columns=list(CLAIM_HEADER))


def print_claims(console: Console, claims: Sequence[SpeedClaim]) -> None:
    """Prints the table of reported speeds."""
    if claims:
        _print(console, claim_table(claims), "Reported speed and memory")


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
    header = ("layer", "by", "mode", "T", "before ms", "now ms", "ratio")
    _print(console, pandas.DataFrame(lines, columns=list(header)), title)


def roofline_line(roofline: Roofline) -> str:
    """The limits, in one line."""
    gemm = ", ".join(
        f"{dtype} {flops / 1e9:,.0f} GFLOP/s" for dtype, flops in roofline.gemm.items()
    )
    return f"matrix product: {gemm}; copy: {roofline.bandwidth / 1e9:,.1f} GB/s read and written"


def _print(console: Console, lines: "pandas.DataFrame", title: str) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for name in lines.columns:
        table.add_column(name, overflow="fold")
    for line in lines.itertuples(index=False, name=None):
        table.add_row(*(cell.replace("[", "\\[") for cell in line))
    console.print(table)


def to_markdown(title: str, facts: Sequence[str], rows: Sequence[Row]) -> str:
    """The whole report."""
    parts = [f"# {title}", "\n".join(f"- {fact}" for fact in facts)]
    for layer in dict.fromkeys(row.layer for row in rows):
        parts += [f"## {layer}", _markdown(layer_table(rows, layer))]
    parts += list(NOTES)
    return "\n\n".join(parts) + "\n"


def _markdown(table: "pandas.DataFrame") -> str:
    escaped = table.map(lambda cell: cell.replace("|", "\\|"))
    return escaped.to_markdown(index=False, tablefmt="pipe", disable_numparse=True)
