"""Parameters, and the speed of a layer's forms; recall is `common.trials.labelling`."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from common.layers import SequenceLayer
from common.models import count_parameters
from common.reproduce import Run
from common.reproduce.timing import compiled, measure
from papers.gla.model import GLA, SIZES


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a language model of the paper, in millions."""
    return {"millions": count_parameters(lambda: GLA(**SIZES[size])) / 1e6}


def form_speed(
    run: Run,
    *,
    layer: str,
    layer_settings: Mapping[str, Any],
    forms: Sequence[str],
    lengths: Sequence[int],
    batch_size: int,
    samples: int,
) -> dict[str, float]:
    """Forward and backward time of the recurrent form of a layer over those of its other forms.

    On TensorFlow each form is compiled with and without XLA, and the faster one counts.

    Args:
        run: The run.
        layer: `"package.module:Class"` of a `SequenceLayer` with `units` as wide as its inputs.
        layer_settings: Its arguments, `units` among them.
        forms: Forms to time, `"recurrent"` among them.
        lengths: Lengths of the sequences, ascending.
        batch_size: Sequences.
        samples: Samples of each.

    Returns:
        For each other form `<form>_speedup`, the ratio at the longest length; `first_speedup`, of
        the first of `forms` at the shortest length; and `<form>_milliseconds` at the longest.
    """
    module, name = layer.split(":")
    cls = getattr(importlib.import_module(module), name)
    others = [form for form in forms if form != "recurrent"]
    speedups: list[dict[str, float]] = []
    milliseconds: dict[str, float] = {}
    for length in lengths:
        seconds = fastest(
            {form: cls(**layer_settings, form=form) for form in forms},
            (batch_size, length, layer_settings["units"]),
            run.seed,
            samples,
        )
        milliseconds = {f"{form}_milliseconds": 1e3 * seconds[form] for form in forms}
        speedups.append({form: seconds["recurrent"] / seconds[form] for form in others})
        ratios = {f"{form}_speedup": value for form, value in speedups[-1].items()}
        run.log(step=length, **ratios, **milliseconds)
    return {
        **{f"{form}_speedup": value for form, value in speedups[-1].items()},
        "first_speedup": speedups[0][others[0]],
        **milliseconds,
    }


def fastest(
    layers: Mapping[str, SequenceLayer], shape: tuple[int, int, int], seed: int, samples: int
) -> dict[str, float]:
    """Seconds of each layer's forward and backward pass, in the better compiler."""
    rng = np.random.default_rng(seed)
    inputs, upstream = rng.standard_normal((2, *shape)).astype("float32")
    # Only TensorFlow has two compilers.
    modes = (False, True) if keras.backend.backend() == "tensorflow" else (True,)
    functions = {
        (name, jit): _forward_and_backward(layer, inputs, upstream, jit)
        for name, layer in layers.items()
        for jit in modes
    }
    named = {f"{name} {jit}": function for (name, jit), function in functions.items()}
    timings = measure(named, samples=samples)
    return {name: min(timings[f"{name} {jit}"].median for jit in modes) for name in layers}


def _forward_and_backward(layer: SequenceLayer, inputs, upstream, jit: bool):
    """A function without arguments: the gradients in the inputs and the weights of a layer."""
    layer.build(inputs.shape)
    backend = keras.backend.backend()
    inputs, upstream = ops.convert_to_tensor(inputs), ops.convert_to_tensor(upstream)
    if backend == "tensorflow":
        import tensorflow as tf

        def gradients(inputs, upstream):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                value = ops.sum(layer(inputs) * upstream)
            return tape.gradient(value, [inputs, *layer.trainable_variables])

        function = compiled(gradients, jit_compile=jit)
        return lambda: function(inputs, upstream)
    if backend == "jax":
        import jax

        def value(weights, inputs, upstream):
            outputs, _ = layer.stateless_call(weights, [], inputs)
            return ops.sum(outputs * upstream)

        weights = [variable.value for variable in layer.trainable_variables]
        gradient = jax.jit(jax.grad(value, argnums=(0, 1)))
        return lambda: gradient(weights, inputs, upstream)

    def eager():
        watched = inputs.detach().requires_grad_()
        ops.sum(layer(watched) * upstream).backward()
        return watched.grad

    return eager
