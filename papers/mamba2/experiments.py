"""Parameters and the speed of state space duality; recall is `common.trials.labelling`."""

from collections.abc import Callable, Sequence

import numpy as np
from keras import ops

from common.models import count_parameters
from common.ops.gated_attention import chunkwise_gated_attention
from common.ops.selective_scan import fused_selective_scan, recurrent_selective_scan
from common.reproduce import Run
from common.reproduce.execute.timing import gradient_maker, measure_fastest
from papers.mamba2.model import SIZES, Mamba2LM


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a language model of the paper, in millions."""
    return {"millions": count_parameters(lambda: Mamba2LM(**SIZES[size])) / 1e6}


def scan_speed(
    run: Run,
    *,
    lengths: Sequence[int],
    batch_size: int,
    num_heads: int,
    head_dim: int,
    state_dim: int,
    chunk_size: int,
    samples: int,
) -> dict[str, float]:
    """Time of Mamba's scan over that of state space duality, forward and backward (figure 10).

    All compute the same numbers from the same x, Delta, A, B and C: Mamba's take a decay for
    every channel and state number, of which those of a head are equal here; duality knows that
    they are. On TensorFlow each is compiled with and without XLA, and the faster one counts. Of
    Mamba's the faster counts too, the fused scan or a plain loop.

    Returns:
        `ratio` at the longest of `lengths`, `first_ratio` at the shortest, and the three times at
        the longest.
    """
    ratios: list[float] = []
    milliseconds: dict[str, float] = {}
    forms = {
        "scan": _scan(fused_selective_scan, head_dim),
        "loop": _scan(recurrent_selective_scan, head_dim),
        "duality": _duality(head_dim, chunk_size),
    }
    for length in lengths:
        inputs = draw(run.seed, batch_size, length, num_heads, head_dim, state_dim)
        make = {name: _forward_and_backward(form, inputs) for name, form in forms.items()}
        seconds = measure_fastest(make, samples)
        milliseconds = {f"{name}_milliseconds": 1e3 * seconds[name] for name in forms}
        ratios.append(min(seconds["scan"], seconds["loop"]) / seconds["duality"])
        run.log(step=length, ratio=ratios[-1], **milliseconds)
    return {"ratio": ratios[-1], "first_ratio": ratios[0], **milliseconds}


def draw(
    seed: int, batch_size: int, length: int, num_heads: int, head_dim: int, state_dim: int
) -> list[np.ndarray]:
    """x `(B, T, H P)`, Delta `(B, T, H)`, A `(H,)`, B and C `(B, T, N)`, and an upstream gradient.

    Delta and A as a fresh layer has them.
    """
    rng = np.random.default_rng(seed)
    x, upstream = rng.standard_normal((2, batch_size, length, num_heads * head_dim))
    delta = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), (batch_size, length, num_heads)))
    a = -rng.uniform(1, 16, num_heads)
    b, c = rng.standard_normal((2, batch_size, length, state_dim))
    return [value.astype("float32") for value in (x, delta, a, b, c, upstream)]


def _duality(head_dim: int, chunk_size: int) -> Callable:
    def form(x, delta, a, b, c):
        heads = ops.reshape(x, (*x.shape[:2], -1, head_dim))
        values, log_decay = delta[..., None] * heads, (delta * a)[..., None]
        y, _ = chunkwise_gated_attention(
            c[:, :, None], b[:, :, None], values, log_decay, chunk_size=chunk_size
        )
        return ops.reshape(y, x.shape)

    return form


def _scan(scan: Callable, head_dim: int) -> Callable:
    def form(x, delta, a, b, c):
        delta = ops.repeat(delta, head_dim, axis=-1)
        decays = ops.repeat(a, head_dim)[:, None] * ops.ones_like(b[0, :1])
        return scan(x, delta, b, c, decays)[0]

    return form


def _forward_and_backward(form: Callable, inputs: list[np.ndarray]):
    """What makes the gradients in x, Delta, A, B and C, for `measure_fastest`."""

    def loss(*tensors):
        return ops.sum(form(*tensors[:5]) * tensors[5])

    return gradient_maker(loss, [ops.convert_to_tensor(x) for x in inputs])
