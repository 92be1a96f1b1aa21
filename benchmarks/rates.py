"""What follows from a time: operations and bytes a second, and their share of the machine's."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.models import Model
from benchmarks.programs import Workload
from benchmarks.rows import BOTH, Roofline, Row

# Forward passes that a mode counts as: a backward pass is two.
_PASSES = {"forward": 1, BOTH: 3, "train": 3, "step": 1, "stream": 1}


def flops(model: Model, mode: str, batch: int, length: int) -> int | None:
    """Floating-point operations by the formula of the model, None where it has none."""
    return None if model.flops is None else _PASSES[mode] * model.flops(batch, length)


def floor_bytes(model: Model, workload: Workload) -> int | None:
    """Least traffic: inputs, outputs and weights once; their gradients or the state as well."""
    numbers = workload.upstream.size + sum(x.size for x in workload.inputs)
    once = (2 if workload.dtype == "bfloat16" else 4) * numbers + 4 * model.parameters
    if workload.mode == "step":
        return once + 2 * len(workload.upstream) * (model.state_bytes or 0)
    return {"forward": once, BOTH: 2 * once}.get(workload.mode)


def with_rates(row: Row, seconds: float, roofline: Roofline) -> Row:
    """The row with its median and what follows from that."""
    gflop = None if not row.flops else row.flops / seconds / 1e9
    return replace(
        row,
        median_ms=1e3 * seconds,
        tokens_per_s=row.batch * row.length / seconds,
        gflop_per_s=gflop,
        gemm_fraction=None if gflop is None else 1e9 * gflop / roofline.gemm[row.dtype],
        bandwidth_fraction=row.floor_bytes / seconds / roofline.bandwidth
        if row.floor_bytes
        else None,
    )


def backward_rows(forward: Sequence[Row], both: Sequence[Row], roofline: Roofline) -> Iterator[Row]:
    """Derived rows: forward and backward, less forward."""
    before = {row.variant: row for row in forward}
    for row in both:
        less = before.get(row.variant)
        if less is None or less.median_ms is None or row.median_ms is None:
            continue
        if row.median_ms <= less.median_ms:
            continue
        derived = replace(
            row,
            mode="backward",
            doubt=row.doubt or less.doubt,
            p20_ms=None,
            p80_ms=None,
            compile_s=None,
            peak_bytes=None,
            flops=None if row.flops is None or less.flops is None else row.flops - less.flops,
            floor_bytes=less.floor_bytes,
        )
        yield with_rates(derived, 1e-3 * (row.median_ms - less.median_ms), roofline)


def faster_than_forward(forward: Sequence[Row], both: Sequence[Row]) -> dict[tuple, str]:
    """The variants that took less with backward than without, and how it is said."""
    before = {row.variant: row.median_ms for row in forward}
    found = {}
    for row in both:
        less = before.get(row.variant)
        if less is not None and row.median_ms is not None and row.median_ms < less:
            found[row.variant] = f"forward {less:.3g} ms, with backward {row.median_ms:.3g}"
    return found
