"""Times the forms of a layer against its recurrent form, forward and backward."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from common.layers import SequenceLayer
from common.reproduce.run import Run
from common.reproduce.timing import gradient_maker, measure_fastest


def form_speed(
    run: Run,
    *,
    layer: str,
    layer_settings: Mapping[str, Any],
    forms: Sequence[str],
    lengths: Sequence[int],
    batch_size: int,
    samples: int,
    projections: bool = True,
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
        projections: Whether the whole layer is timed. Else only what makes of its `features` what
            its `readout` takes: the forms differ there, and have their projections in common.

    Returns:
        For each other form `<form>_speedup`, the ratio at the longest length; `first_speedup`, of
        the first of `forms` at the shortest length; and `<form>_milliseconds` at the longest.
    """
    module, name = layer.split(":")
    cls = getattr(importlib.import_module(module), name)
    gradients = forward_and_backward if projections else without_projections
    others = [form for form in forms if form != "recurrent"]
    speedups: list[dict[str, float]] = []
    milliseconds: dict[str, float] = {}
    for length in lengths:
        shape = (batch_size, length, layer_settings["units"])
        layers = {form: cls(**layer_settings, form=form) for form in forms}
        make = {form: gradients(one, shape, run.seed) for form, one in layers.items()}
        seconds = measure_fastest(make, samples)
        milliseconds = {f"{form}_milliseconds": 1e3 * seconds[form] for form in forms}
        speedups.append({form: seconds["recurrent"] / seconds[form] for form in others})
        ratios = {f"{form}_speedup": value for form, value in speedups[-1].items()}
        run.log(step=length, **ratios, **milliseconds)
    return {
        **{f"{form}_speedup": value for form, value in speedups[-1].items()},
        "first_speedup": speedups[0][others[0]],
        **milliseconds,
    }


def forward_and_backward(
    layer: keras.Layer, shape: tuple[int, int, int], seed: int
) -> Callable[[bool], Callable[[], object]]:
    """What makes the gradients of a layer in its inputs and weights, for `measure_fastest`."""
    rng = np.random.default_rng(seed)
    inputs, upstream = (
        ops.convert_to_tensor(x) for x in rng.standard_normal((2, *shape)).astype("float32")
    )
    layer.build(shape)
    weights = [variable.value for variable in layer.trainable_variables]
    # Keras's own recurrent layers have a seed among theirs.
    others = [variable.value for variable in layer.non_trainable_variables]

    def loss(inputs, upstream, *weights):
        outputs, _ = layer.stateless_call(list(weights), others, inputs)
        return ops.sum(outputs * upstream)

    return gradient_maker(loss, (inputs, upstream, *weights))


def without_projections(
    layer: SequenceLayer, shape: tuple[int, int, int], seed: int
) -> Callable[[bool], Callable[[], object]]:
    """What makes the gradients in the features of a new layer, from those of what it emits."""
    rng = np.random.default_rng(seed)
    layer.build(shape)
    features = layer.features(ops.convert_to_tensor(rng.standard_normal(shape).astype("float32")))
    initial = layer.get_initial_state(shape[0])

    def emit(features):
        emitted, _ = getattr(layer, layer.form)(features, initial, initial, None, None)
        return tree.flatten(emitted)

    upstream = [
        ops.convert_to_tensor(rng.standard_normal((*shape[:2], *y.shape[2:])).astype("float32"))
        for y in emit(tree.map_structure(lambda x: x[:, :1], features))
    ]

    def loss(*leaves):
        emitted = emit(tree.pack_sequence_as(features, list(leaves)))
        return sum(ops.sum(y * g) for y, g in zip(emitted, upstream, strict=True))

    return gradient_maker(loss, tree.flatten(features))
