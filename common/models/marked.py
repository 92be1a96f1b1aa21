"""Models whose inputs carry the marks of padding and of packed sequences, for `fit`."""

from collections.abc import Mapping

import keras

from common.checks import refuse
from common.typing import Tensor

MARKS = ("mask", "reset")


def marked(model: keras.Layer, inputs: Mapping[str, Tensor]) -> keras.Model:
    """The model that takes `{"inputs": ..., "mask": ..., "reset": ...}` and is otherwise `model`.

    `fit` hands on inputs only. The weights are shared: what streams or generates after training
    is `model` itself.

    Args:
        model: A model or layer whose call takes `mask`, and `reset` where the inputs have it.
        inputs: An example of them, such as the first of `task.dataset(...)[0]`: `"inputs"`
            `(B, T, ...)`, `"mask"` and maybe `"reset"`, bool `(B, T)`.

    Returns:
        A functional model, of any number of steps.

    Raises:
        ValueError: if `inputs` has other names.
    """
    names = list(inputs) if isinstance(inputs, Mapping) else inputs
    if not isinstance(inputs, Mapping) or not {"inputs"} < set(inputs) <= {"inputs", *MARKS}:
        refuse("marked", "inputs", f'a dict of "inputs" and one or both of {MARKS}', names)
    symbols = {
        name: keras.Input((None, *values.shape[2:]), dtype=values.dtype.name, name=name)
        for name, values in inputs.items()
    }
    marks = {name: symbols[name] for name in MARKS if name in symbols}
    return keras.Model(symbols, model(symbols["inputs"], **marks))
