"""Chunkwise against recurrent; the other experiments are `common.trials.labelling`."""

import numpy as np
from keras import ops

from common.models import count_parameters
from common.ops.delta_rule import chunkwise_delta_rule, recurrent_delta_rule
from common.reproduce import Run
from common.reproduce.execute.timing import gradient_maker, measure_fastest
from papers.delta_net.model import SIZES, DeltaNetLM

_FORMS = {"chunkwise": chunkwise_delta_rule, "recurrent": recurrent_delta_rule}


def positive(vocabulary_size: int, **settings) -> DeltaNetLM:
    """A DeltaNet whose transitions have eigenvalues in [0, 1]."""
    return DeltaNetLM(vocabulary_size, negative_eigenvalues=False, **settings)


def negative(vocabulary_size: int, **settings) -> DeltaNetLM:
    """A DeltaNet whose transitions have eigenvalues in [-1, 1] (Grazzi 2024)."""
    return DeltaNetLM(vocabulary_size, negative_eigenvalues=True, **settings)


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a language model of section 4.2."""
    return {"parameters": count_parameters(lambda: DeltaNetLM(**SIZES[size]))}


def speed(
    run: Run, *, key_dim: int, units: int, batch_size: int, lengths: list[int], samples: int
) -> dict[str, float]:
    """Forward and backward time of the recurrent form over the chunkwise one's (figure 1).

    Heads of `key_dim` for keys and values, `units` side by side. On TensorFlow both forms are
    compiled with and without XLA, and of each the faster one counts.

    Returns:
        The ratio at the longest of `lengths` and at the first, and both times at the longest.
    """
    ratios: list[float] = []
    milliseconds: dict[str, float] = {}
    for length in lengths:
        inputs = _draw(run.seed, batch_size, length, units // key_dim, key_dim)
        make = {form: _forward_and_backward(rule, inputs) for form, rule in _FORMS.items()}
        seconds = measure_fastest(make, samples)
        milliseconds = {f"{form}_milliseconds": 1e3 * seconds[form] for form in _FORMS}
        ratios.append(seconds["recurrent"] / seconds["chunkwise"])
        run.log(step=length, speedup=ratios[-1], **milliseconds)
    return {"speedup": ratios[-1], "first_speedup": ratios[0], **milliseconds}


def _draw(seed: int, batch_size: int, length: int, heads: int, size: int) -> list[np.ndarray]:
    """Queries, keys of length 1, values, strengths, and an upstream gradient."""
    rng = np.random.default_rng(seed)
    shape = (batch_size, length, heads)
    q, k, v, upstream = rng.standard_normal((4, *shape, size)).astype("float32")
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    return [q, k, v, rng.random(shape, "float32"), upstream]


def _forward_and_backward(rule, inputs: list[np.ndarray]):
    """What makes the gradients in queries, keys, values and strengths, for `measure_fastest`."""

    def loss(q, k, v, beta, upstream):
        return ops.sum(rule(q, k, v, beta)[0] * upstream)

    return gradient_maker(loss, [ops.convert_to_tensor(x) for x in inputs])
