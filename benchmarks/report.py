"""The tables: one a layer for the terminal and Markdown, and that of the reported speeds."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.claims import SpeedClaim
from benchmarks.compare import Slowdown
from benchmarks.rows import ABSENT, OK, Roofline, Row

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
    "the others of the same shape, length and mode. bwd: forward + backward less forward.",
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


def layer_lines(rows: Sequence[Row], layer: str, spread: bool = True) -> list[tuple[str, ...]]:
    """Cells of the table of `layer`, in the order of `HEADER`; `spread`: with p20 and p80."""
    grouped: dict[tuple[str, str, int], dict[str, Row]] = {}
    for row in rows:
        if row.layer == layer:
            grouped.setdefault((row.name, row.compiler, row.length), {})[row.mode] = row
    ordered = sorted(grouped.items(), key=lambda item: (item[0][2] or 10**12, item[0][2]))
    return [_line(*key, modes, spread) for key, modes in ordered]


def _line(
    name: str, compiler: str, length: int, modes: dict[str, Row], spread: bool
) -> tuple[str, ...]:
    measured = [row for row in modes.values() if row.status == OK]
    if not measured:
        row = next(iter(modes.values()))
        text = f"{row.status}: {row.message}"
        return (name, compiler, str(length or "–"), text, *[""] * (len(HEADER) - 4))
    main = next((row for row in measured if row.mode == "forward+backward"), measured[0])
    forward = modes.get("forward", modes.get("step"))
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
    if row.p20_ms is None or not spread:
        return f"{row.median_ms:.3g}"
    return f"{row.median_ms:.3g} ({row.p20_ms:.3g}–{row.p80_ms:.3g})"


def _number(value: float | None, pattern: str) -> str:
    return "" if value is None else pattern.format(value)


def row_line(row: Row) -> str:
    """One line for a row that was just measured."""
    what = f"{row.layer} {row.name} {row.compiler} T={row.length} {row.mode}"
    if row.status == ABSENT:
        return f"{row.layer}: no {row.name} ({row.message})"
    if row.median_ms is None:
        return f"{what}: {row.status}. {row.message}"
    return f"{what}: {_time(row)} ms"


def print_rows(console: Console, rows: Sequence[Row]) -> None:
    """Prints a table a layer."""
    for layer in dict.fromkeys(row.layer for row in rows):
        _print(console, HEADER, layer_lines(rows, layer, spread=False), layer)
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


def claim_lines(claims: Iterable[SpeedClaim]) -> list[tuple[str, ...]]:
    """Cells in the order of `CLAIM_HEADER`."""
    return [
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


def print_claims(console: Console, claims: Sequence[SpeedClaim]) -> None:
    """Prints the table of reported speeds."""
    if claims:
        _print(console, CLAIM_HEADER, claim_lines(claims), "Reported speed and memory")


def print_slowdowns(console: Console, slower: Sequence[Slowdown], shared: int) -> None:
    """Prints the cells that became slower."""
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
    _print(console, header, lines, title)


def roofline_line(roofline: Roofline) -> str:
    """The limits, in one line."""
    gemm = ", ".join(
        f"{dtype} {flops / 1e9:,.0f} GFLOP/s" for dtype, flops in roofline.gemm.items()
    )
    return f"matrix product: {gemm}; copy: {roofline.bandwidth / 1e9:,.1f} GB/s read and written"


def _print(
    console: Console, header: Sequence[str], lines: Sequence[Sequence[str]], title: str
) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for name in header:
        table.add_column(name, overflow="fold")
    for line in lines:
        table.add_row(*(cell.replace("[", "\\[") for cell in line))
    console.print(table)


def to_markdown(
    title: str, facts: Sequence[str], rows: Sequence[Row], claims: Sequence[SpeedClaim]
) -> str:
    """The whole report."""
    parts = [f"# {title}", "\n".join(f"- {fact}" for fact in facts)]
    for layer in dict.fromkeys(row.layer for row in rows):
        parts += [f"## {layer}", _markdown(HEADER, layer_lines(rows, layer))]
    parts += list(NOTES)
    if claims:
        parts += ["## Reported speed and memory", _markdown(CLAIM_HEADER, claim_lines(claims))]
    return "\n\n".join(parts) + "\n"


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    table = [header, ["---"] * len(header), *lines]
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in table
    )
