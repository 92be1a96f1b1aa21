"""Times the recurrences of `common.ops` on TensorFlow, forward and backward.

    python -m benchmarks.kernels                          # the speeds the project promises
    python -m benchmarks.kernels --only scan attention --samples 50
    python -m benchmarks.kernels --only scaling --lengths 1024 4096 16384

Competitors are warmed up, which compiles them, and then sampled in turns, so that whatever else
the machine does hits all of them alike.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.table import Table

from benchmarks.report import roofline_line
from benchmarks.roofline import measure_roofline
from benchmarks.rows import Roofline
from common.ops import attention, delta_rule, gated_attention, linear_attention, linear_scan, lti
from common.reproduce.arguments import parse
from common.reproduce.command import HOLD, run_command
from common.reproduce.files import write_json
from common.reproduce.report import make_console
from common.reproduce.timing import call_seconds, sample

Section = Literal["scan", "log_scan", "attention", "gated", "delta", "lti", "decode", "scaling"]
SECTIONS: tuple[Section, ...] = (
    "scan",
    "log_scan",
    "attention",
    "gated",
    "delta",
    "lti",
    "decode",
    "scaling",
)


_DESCRIPTION = "Times the recurrences of common.ops on TensorFlow, forward and backward."


@dataclass(frozen=True)
class Options:
    """What to time, and how long.

    Attributes:
        only: The sections to run.
        samples: Samples of each competitor; slow ones stop at `seconds`.
        seconds: Time after which a competitor that has five samples is not sampled again.
        lengths: Lengths at which the growth of time with T is measured.
        output: Where to write the results as JSON; nowhere by default.
    """

    only: tuple[Section, ...] = SECTIONS
    samples: int = 30
    seconds: float = 20.0
    lengths: tuple[int, ...] = (1024, 2048, 4096, 8192, 16384)
    output: Path | None = None


@dataclass(frozen=True)
class Line:
    """One competitor: times in milliseconds, the compilation in seconds.

    `flop_floor` and `byte_floor` are the milliseconds that its matrix products take at the
    machine's measured peak, and that its inputs, outputs and their gradients take at the measured
    bandwidth of a copy, each moved once.
    """

    section: str
    name: str
    length: int
    median: float
    p20: float
    p80: float
    samples: int
    compile_s: float
    flop_floor: float
    byte_floor: float

    @property
    def fraction(self) -> float:
        """Share of the limit that is reached: the higher floor over the measured time."""
        return max(self.flop_floor, self.byte_floor) / self.median


@dataclass(frozen=True)
class Competitor:
    """`run()` does the work and returns the tensors to wait for.

    `flops` are those of its matrix products, `moved` the bytes of all that goes in and out.
    """

    name: str
    length: int
    run: Callable[[], object]
    flops: int = 0
    moved: int = 0


def measure(
    section: str, competitors: list[Competitor], options: Options, roofline: Roofline
) -> list[Line]:
    """Warms every competitor up, then samples all of them in turns."""
    calls = {str(index): competitor.run for index, competitor in enumerate(competitors)}
    first = {name: call_seconds(call) for name, call in calls.items()}
    timings = sample(calls, first, options.samples, most_seconds=options.seconds)
    return [
        Line(
            section,
            competitor.name,
            competitor.length,
            1e3 * timing.median,
            1e3 * timing.p20,
            1e3 * timing.p80,
            timing.samples,
            timing.first,
            1e3 * competitor.flops / roofline.gemm["float32"],
            1e3 * competitor.moved / roofline.bandwidth,
        )
        for competitor, timing in zip(competitors, timings.values(), strict=True)
    ]


def forward_backward(
    name: str, f, args: list[np.ndarray], length: int, jit: bool, flops: int = 0
) -> Competitor:
    """`f(*args)` and its gradient in every argument, for a fixed upstream gradient.

    `flops` are those of a forward pass; the backward pass has two products for each of its.
    """
    import tensorflow as tf

    tensors = [tf.constant(x) for x in args]
    upstream = tf.constant(draw(*f(*tensors).shape))

    @tf.function(jit_compile=jit, autograph=False)
    def step(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            y = f(*tensors)
        return y, tape.gradient(y, tensors, upstream)

    # Every input read and its gradient written, the output written and its gradient read.
    moved = 8 * (sum(x.size for x in args) + int(np.prod(upstream.shape)))
    compiler = "xla" if jit else "graph"
    return Competitor(f"{name} ({compiler})", length, lambda: step(*tensors), 3 * flops, moved)


def draw(*shape: int, low: float | None = None) -> np.ndarray:
    """Normal numbers, or uniform ones from `low` to 1."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape) if low is None else rng.uniform(low, 1, size=shape)
    return x.astype("float32")


def both_modes(name: str, f, args, length: int, flops: int = 0) -> list[Competitor]:
    return [forward_backward(name, f, args, length, jit, flops) for jit in (False, True)]


def attention_flops(length: int, chunk: int, batch: int = 2, values: int = 64) -> int:
    """FLOPs of linear attention with 8 heads of 64 in chunks of so many steps; 0: recurrent."""
    products = chunk * (64 + values) + 2 * 64 * values if chunk else 64 * values
    return 2 * batch * 8 * length * products


def associative_scan(a, b):
    """The recurrence by `keras.ops.associative_scan`."""

    def combine(left, right):
        return left[0] * right[0], right[0] * left[1] + right[1]

    return ops.associative_scan(combine, (a, b), axis=1)[1]


def scan_inputs(length: int) -> list[np.ndarray]:
    return [draw(8, length, 256, low=0.5), draw(8, length, 256)]


def attention_inputs(length: int, batch: int = 2) -> list[np.ndarray]:
    return [draw(batch, length, 8, 64) / 8 for _ in range(3)]


def delta_inputs(length: int, batch: int = 2) -> list[np.ndarray]:
    return [*attention_inputs(length, batch), draw(batch, length, 8, low=0.0)]


def lti_inputs(length: int) -> list[np.ndarray]:
    order = 256
    a = draw(order, order) / order**0.5 * 0.9
    return [draw(1, length, 1), a, draw(order)]


def first(op, **options):
    """Leaves the final state away."""
    return lambda *args: op(*args, **options)[0]


def torch_attention(length: int) -> list[Competitor]:
    """Torch's fused causal attention on the same shapes, where torch is installed."""
    try:
        import torch
    except ImportError:
        return []
    q, k, v = (
        torch.tensor(np.ascontiguousarray(x.swapaxes(1, 2)), requires_grad=True)
        for x in attention_inputs(length)
    )
    upstream = torch.tensor(draw(*v.shape))

    def run():
        o = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return torch.autograd.grad(o, (q, k, v), upstream)

    return [Competitor("torch scaled_dot_product_attention", length, run)]


def scan_section() -> list[Competitor]:
    length = 4096
    args = scan_inputs(length)
    return [
        # XLA cannot compile it: the shapes of its branches do not agree.
        forward_backward("keras.ops.associative_scan", associative_scan, args, length, jit=False),
        *both_modes("linear_scan", first(linear_scan.linear_scan), args, length),
    ]


def log_scan_section() -> list[Competitor]:
    length = 4096
    a, b = scan_inputs(length)
    args = [np.log(a), draw(*b.shape)]
    return both_modes("log_linear_scan", first(linear_scan.log_linear_scan), args, length)


def attention_section() -> list[Competitor]:
    length = 2048
    args = attention_inputs(length)
    forms = {
        "recurrent": (linear_attention.recurrent_linear_attention, {}, (length, 0)),
        "parallel": (linear_attention.parallel_linear_attention, {}, (length, length)),
        "chunkwise": (linear_attention.chunkwise_linear_attention, {}, (length, 64)),
        # The normaliser is carried as one more value.
        "chunkwise normalised": (
            linear_attention.chunkwise_linear_attention,
            {"normalise": True},
            (length, 64, 2, 65),
        ),
    }
    return [
        competitor
        for name, (op, options, sizes) in forms.items()
        for competitor in both_modes(
            name, first(op, **options), args, length, attention_flops(*sizes)
        )
    ] + torch_attention(length)


def gated_section() -> list[Competitor]:
    """One gate a head, as in Mamba-2, RetNet and mLSTM, and one a key, as in GLA."""
    length = 4096
    lines = []
    for name, gates in (("a head", 1), ("a key", 64)):
        args = [*attention_inputs(length), np.log(draw(2, length, 8, gates, low=0.9))]
        for form, op, chunk in (
            ("recurrent", gated_attention.recurrent_gated_attention, 0),
            ("chunkwise", gated_attention.chunkwise_gated_attention, 64),
        ):
            flops = attention_flops(length, chunk)
            lines += both_modes(f"{form}, a gate {name}", first(op), args, length, flops)
    return lines


def delta_section() -> list[Competitor]:
    length = 4096
    args = delta_inputs(length)
    return [
        *both_modes("recurrent", first(delta_rule.recurrent_delta_rule), args, length),
        *both_modes("chunkwise", first(delta_rule.chunkwise_delta_rule), args, length),
    ]


def lti_section() -> list[Competitor]:
    length = 4096
    args = lti_inputs(length)
    return [
        *both_modes("recurrent", first(lti.recurrent_dense_ssm), args, length),
        *both_modes("fft", first(lti.fft_dense_ssm), args, length),
    ]


def decode_section() -> list[Competitor]:
    """A step of windowed attention after 10 and after 10,000 tokens."""
    import tensorflow as tf

    window = 1024
    q, k, v = (tf.constant(x[:, 0]) for x in attention_inputs(1))

    @tf.function(autograph=False)
    def step(state):
        return attention.causal_attention_step(q, k, v, state)

    def after(count: int) -> Competitor:
        state = attention.empty_cache(2, window, 8, 64, 64)
        state["position"] = tf.constant([count] * 2)
        return Competitor("attention step, window 1024", count, lambda: step(state))

    return [after(10), after(10_000)]


def scaling_section(lengths: tuple[int, ...]) -> list[Competitor]:
    chunkwise = linear_attention.chunkwise_linear_attention
    cases = [
        ("linear_scan", first(linear_scan.linear_scan), scan_inputs),
        ("chunkwise linear attention", first(chunkwise), lambda n: attention_inputs(n, batch=1)),
        (
            "chunkwise delta rule",
            first(delta_rule.chunkwise_delta_rule),
            lambda n: delta_inputs(n, 1),
        ),
        ("fft lti", first(lti.fft_dense_ssm), lti_inputs),
    ]
    return [
        competitor
        for name, f, inputs in cases
        for length in lengths
        for competitor in both_modes(name, f, inputs(length), length)
    ]


def exponents(timings: list[Line]) -> dict[str, float]:
    """The slope of log time against log T of each form."""
    slopes = {}
    for name in dict.fromkeys(t.name for t in timings):
        group = [t for t in timings if t.name == name]
        log_length, log_time = (
            np.log([t.length for t in group]),
            np.log([t.median for t in group]),
        )
        slopes[name] = float(np.polyfit(log_length, log_time, 1)[0])
    return slopes


def show(section: str, timings: list[Line], console: Console) -> None:
    table = Table(
        "form",
        "T",
        "median ms",
        "p20",
        "p80",
        "n",
        "compile s",
        "speed",
        "floor by FLOPs",
        "by bytes",
        "fraction",
        title=section,
    )
    for t in timings:
        table.add_row(
            t.name,
            str(t.length),
            f"{t.median:.2f}",
            f"{t.p20:.2f}",
            f"{t.p80:.2f}",
            str(t.samples),
            f"{t.compile_s:.2f}",
            f"{timings[0].median / t.median:.2f}x",
            f"{t.flop_floor:.2f}",
            f"{t.byte_floor:.2f}",
            f"{t.fraction:.0%}",
        )
    console.print(table)


def main() -> int:
    """Runs the command line; the exit code is 0."""
    run(parse(Options, prog="python -m benchmarks.kernels", description=_DESCRIPTION))
    return HOLD


def run(options: Options) -> None:
    """Runs the sections, prints a table of each, and writes all of them as JSON.

    Raises:
        ValueError: if the backend is not TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"KERAS_BACKEND is {keras.backend.backend()}, expected tensorflow.")
    console = make_console()
    sections: dict[str, Callable[[], list[Competitor]]] = {
        "scan": scan_section,
        "log_scan": log_scan_section,
        "attention": attention_section,
        "gated": gated_section,
        "delta": delta_section,
        "lti": lti_section,
        "decode": decode_section,
        "scaling": lambda: scaling_section(options.lengths),
    }
    roofline = measure_roofline("cpu", "float32")
    console.print(roofline_line(roofline))
    results: list[Line] = []
    growth: dict[str, float] = {}
    for name in options.only:
        timings = measure(name, sections[name](), options, roofline)
        show(name, timings, console)
        results += timings
        if name == "scaling":
            growth = exponents(timings)
            for form, exponent in growth.items():
                console.print(f"{form}: time grows as T^{exponent:.2f}")
    if options.output is not None:
        report = {"cpus": os.cpu_count(), "roofline": asdict(roofline), "exponents": growth}
        lines = [{**asdict(t), "fraction": t.fraction} for t in results]
        write_json(options.output, {**report, "timings": lines})


if __name__ == "__main__":
    sys.exit(run_command(main))
