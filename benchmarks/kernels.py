"""What `common` has to time: its recurrences, at fixed widths, and its LSTM.

Ops are named here and imported where they are timed, so that no backend is needed to list them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from common.reproduce.declare.spec import LayerCase
from common.typing import Tensor

HEADS, SIZE, CHUNK = 8, 64, 64
CHANNELS = 256  # of the diagonal recurrences
ORDER = 256  # of the time-invariant one
WINDOW = 1024  # of the attention step

LSTM = LayerCase(
    name="lstm",
    factory="common.layers:LSTM",
    config={"units": 128},
    input_dim=64,
    forms=("recurrent",),
)
LSTM_BATCH, LSTM_LENGTH = 32, 256


@dataclass(frozen=True)
class Kernel:
    """Forms of one function of sequences.

    Attributes:
        inputs: batch and length to the arguments, the first of them `(B, T, ...)`.
        units: shape of one step of the outputs.
        forms: form to the function, as "package.module:name"; of a pair that it returns, the
            outputs are the first.
        reference: the function that they must agree with; empty where none is timed as a whole.
        flops: form and length to the operations in the products of one sequence.
        options: arguments by name, of all forms and the reference.
        tokens: form to how many tokens came before, of a step of attention to a cache.
        batch: sequences B, where none are asked for.
        length: time steps T, where none are asked for.
    """

    inputs: Callable[[int, int], list[np.ndarray]]
    units: tuple[int, ...]
    forms: dict[str, str]
    reference: str = ""
    flops: Callable[[str, int], int] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    batch: int = 2
    length: int = 4096


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers in float32."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype("float32")


def _gates(*shape: int, least: float) -> np.ndarray:
    return np.random.default_rng(shape).uniform(least, 1, shape).astype("float32")


def _scanned(batch: int, length: int) -> list[np.ndarray]:
    shape = batch, length, CHANNELS
    return [_gates(*shape, least=0.5), draw(*shape)]


def _logarithms(batch: int, length: int) -> list[np.ndarray]:
    a, log_b = _scanned(batch, length)
    return [np.log(a), log_b]


def _attended(batch: int, length: int) -> list[np.ndarray]:
    return [draw(batch, length, HEADS, SIZE, seed=seed) / 8 for seed in range(3)]


def _positive(batch: int, length: int) -> list[np.ndarray]:
    q, k, v = _attended(batch, length)
    return [np.abs(q), np.abs(k), v]


def _gated(gates: int) -> Callable[[int, int], list[np.ndarray]]:
    def inputs(batch: int, length: int) -> list[np.ndarray]:
        decay = np.log(_gates(batch, length, HEADS, gates, least=0.9))
        return [*_attended(batch, length), decay]

    return inputs


def _corrected(batch: int, length: int) -> list[np.ndarray]:
    return [*_attended(batch, length), _gates(batch, length, HEADS, least=0.0)]


def _driven(batch: int, length: int) -> list[np.ndarray]:
    transition = 0.9 * draw(ORDER, ORDER) / ORDER**0.5
    return [draw(batch, length, 1), transition, draw(ORDER)]


def _linear_flops(form: str, length: int, values: int = SIZE) -> int:
    if form == "recurrent":
        return 2 * HEADS * length * SIZE * values
    chunk = length if form == "parallel" else CHUNK
    return 2 * HEADS * length * (chunk * (SIZE + values) + 2 * SIZE * values)


def _gated_flops(form: str, length: int, gates: int) -> int:
    from common.ops.gated_attention import gated_attention_flops

    return gated_attention_flops(form, length, HEADS, SIZE, SIZE, gates=gates)


def _delta_flops(form: str, length: int) -> int:
    from common.ops.delta_rule import delta_rule_flops

    if form == "recurrent":
        return 4 * HEADS * length * SIZE * SIZE
    return HEADS * delta_rule_flops(length, SIZE, SIZE, CHUNK)


def log_scan_reference(log_a: Tensor, log_b: Tensor) -> Tensor:
    """The log-space scan by the plain one."""
    from keras import ops

    from common.ops.reference import linear_scan

    return linear_scan(ops.exp(log_a), ops.exp(log_b))


def _forms(name: str, *forms: str) -> dict[str, str]:
    return {form: f"common.ops.{name}:{form}_{name}" for form in forms}


def _gated_kernel(gates: int) -> Kernel:
    return Kernel(
        _gated(gates),
        (HEADS, SIZE),
        _forms("gated_attention", "recurrent", "chunkwise"),
        "common.ops.reference:gated_attention",
        partial(_gated_flops, gates=gates),
    )


_STEP = "common.ops.attention:causal_attention_step"
_LINEAR = _forms("linear_attention", "recurrent", "parallel", "chunkwise")

KERNELS: dict[str, Kernel] = {
    "scan": Kernel(
        _scanned,
        (CHANNELS,),
        {"scan": "common.ops.linear_scan:linear_scan"},
        "common.ops.reference:linear_scan",
        batch=8,
    ),
    "log-scan": Kernel(
        _logarithms,
        (CHANNELS,),
        {"scan": "common.ops.linear_scan:log_linear_scan"},
        "benchmarks.kernels:log_scan_reference",
        batch=8,
    ),
    "linear-attention": Kernel(
        _attended,
        (HEADS, SIZE),
        _LINEAR,
        "common.ops.reference:linear_attention",
        _linear_flops,
        length=2048,
    ),
    # The normaliser is carried as one more value.
    "normalised-attention": Kernel(
        _positive,
        (HEADS, SIZE),
        _LINEAR,
        "common.ops.reference:linear_attention",
        partial(_linear_flops, values=SIZE + 1),
        options={"normalise": True},
        length=2048,
    ),
    # As in Mamba-2, RetNet and mLSTM.
    "gate-a-head": _gated_kernel(1),
    # As in gated linear attention.
    "gate-a-key": _gated_kernel(SIZE),
    "delta-rule": Kernel(
        _corrected,
        (HEADS, SIZE),
        _forms("delta_rule", "recurrent", "chunkwise"),
        "common.ops.reference:delta_rule",
        _delta_flops,
    ),
    "dense-ssm": Kernel(
        _driven,
        (1, ORDER),
        _forms("dense_ssm", "recurrent", "fft"),
        "common.ops.reference:dense_ssm",
        batch=1,
    ),
    "attention-step": Kernel(
        _attended,
        (HEADS, SIZE),
        {"after 10": _STEP, "after 10,000": _STEP},
        tokens={"after 10": 10, "after 10,000": 10_000},
    ),
}
NAMES = (*KERNELS, LSTM.name)


def forms_of(name: str) -> tuple[str, ...]:
    """The forms of one of `NAMES`."""
    return tuple(KERNELS[name].forms) if name in KERNELS else LSTM.forms
