"""Chunkwise against recurrent; the other experiments are `common.trials.labelling`."""

import keras
import numpy as np
from keras import ops

from common.ops.delta_rule import chunkwise_delta_rule, recurrent_delta_rule
from common.reproduce import Run
from common.reproduce.timing import compiled, measure
from papers.delta_net.model import DeltaNetLM

_FORMS = {"chunkwise": chunkwise_delta_rule, "recurrent": recurrent_delta_rule}


def positive(vocabulary: int, **settings) -> DeltaNetLM:
    """A DeltaNet whose transitions have eigenvalues in [0, 1]."""
    return DeltaNetLM(vocabulary, negative_eigenvalues=False, **settings)


def negative(vocabulary: int, **settings) -> DeltaNetLM:
    """A DeltaNet whose transitions have eigenvalues in [-1, 1] (Grazzi 2024)."""
    return DeltaNetLM(vocabulary, negative_eigenvalues=True, **settings)


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
    # Only TensorFlow has two compilers.
    modes = (False, True) if keras.backend.backend() == "tensorflow" else (True,)
    for length in lengths:
        inputs = _draw(run.seed, batch_size, length, units // key_dim, key_dim)
        functions = {
            f"{form}{'_xla' if jit else ''}": _forward_and_backward(rule, inputs, jit)
            for form, rule in _FORMS.items()
            for jit in modes
        }
        timings = measure(functions, samples=samples)
        milliseconds = {name: 1e3 * timing.median for name, timing in timings.items()}
        for form in _FORMS:
            of_form = [value for name, value in milliseconds.items() if name.startswith(form)]
            milliseconds[f"{form}_best"] = min(of_form)
        ratios.append(milliseconds["recurrent_best"] / milliseconds["chunkwise_best"])
        run.log(step=length, speedup=ratios[-1], **milliseconds)
    return {
        "speedup": ratios[-1],
        "first_speedup": ratios[0],
        "chunkwise_milliseconds": milliseconds["chunkwise_best"],
        "recurrent_milliseconds": milliseconds["recurrent_best"],
    }


def _draw(seed: int, batch_size: int, length: int, heads: int, size: int) -> list[np.ndarray]:
    """Queries, keys of length 1, values, strengths, and an upstream gradient."""
    rng = np.random.default_rng(seed)
    shape = (batch_size, length, heads)
    q, k, v, upstream = rng.standard_normal((4, *shape, size)).astype("float32")
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    return [q, k, v, rng.random(shape, "float32"), upstream]


def _forward_and_backward(rule, inputs: list[np.ndarray], jit: bool):
    """A function without arguments: the gradients in queries, keys, values and strengths."""

    def loss(q, k, v, beta, upstream):
        return ops.sum(rule(q, k, v, beta)[0] * upstream)

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def gradients(*inputs):
            with tf.GradientTape() as tape:
                tape.watch(inputs[:4])
                value = loss(*inputs)
            return tape.gradient(value, inputs[:4])

    elif backend == "jax":
        import jax

        gradients = jax.grad(loss, argnums=(0, 1, 2, 3))
    else:

        def gradients(*inputs):
            watched = [x.detach().requires_grad_() for x in inputs[:4]]
            loss(*watched, inputs[4]).backward()
            return [x.grad for x in watched]

    function = compiled(gradients, jit_compile=jit)
    tensors = [ops.convert_to_tensor(x) for x in inputs]
    return lambda: function(*tensors)
