"""Streaming steps as SavedModels, for programs without Keras.

A SavedModel's signature takes and returns tensors by name and no nests, so a state is flattened:
`"block_0/memory"` for `state["block_0"]["memory"]`.

What can be exported:

- On TensorFlow a step of every layer and model, by `export_step`, with a free batch axis; and whole
  sequences by Keras's `model.export(path)`, with free B and T, Mamba's and GLA's too.
- Not on JAX with a free T: Mamba and GLA cut their loops into chunks by lengths that are numbers.
- Not to ONNX with a free T: GLA's file is written and fails in onnxruntime, Mamba's is not written.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from common.typing import Tensor

SEPARATOR = "/"


def flatten_state(state: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dict as a flat one, `{"a": {"b": x}}` as `{"a/b": x}`."""
    flat: dict[str, Any] = {}
    for name, value in state.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= flatten_state(value, path + SEPARATOR)
        else:
            flat[path] = value
    return flat


def unflatten_state(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The nested dict that `flatten_state` made `flat` of."""
    state: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split(SEPARATOR)
        inner = state
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = value
    return state


def export_step(stepper: Any, path: str | Path, width: int | None = None) -> None:
    """Writes `stepper.step` and its initial state as a SavedModel, on TensorFlow.

    The signature `"step"` takes `inputs`, `(B,)` int32 or `(B, width)`, and the flattened state,
    and returns `outputs` and the flattened state; `"initial_state"` takes `batch_size`, a scalar,
    and returns the state. B is free.

        export_step(MambaLM(50280, **SIZES["130M"]), "mamba")
        served = tf.saved_model.load("mamba").signatures
        state = served["initial_state"](batch_size=tf.constant(2))
        out = served["step"](inputs=tf.constant([3, 7]), **state)
        logits = out.pop("outputs")  # what is left is the next state

    Args:
        stepper: A built layer or model of ours: it has `step` and `get_initial_state`.
        path: Directory to write.
        width: Of inputs `(B, width)`; `None` for symbols.

    Raises:
        ValueError: if the backend is not TensorFlow, or `stepper` is not built.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"export_step: the backend must be TensorFlow; got {keras.backend.backend()!r}."
        )
    if not stepper.built:
        raise ValueError("export_step: `stepper` must be built; got one that is not.")
    import tensorflow as tf

    dtype = "int32" if width is None else stepper.compute_dtype
    inputs = tf.TensorSpec((None,) if width is None else (None, width), dtype, name="inputs")
    kind = {
        name: tf.TensorSpec((None, *leaf.shape[1:]), leaf.dtype, name=name)
        for name, leaf in flatten_state(stepper.get_initial_state(1)).items()
    }

    @tf.function(input_signature=[inputs, kind])
    def step(inputs: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
        outputs, state = stepper.step(inputs, unflatten_state(state), training=False)
        return {"outputs": outputs, **flatten_state(state)}

    @tf.function(input_signature=[tf.TensorSpec((), "int32", name="batch_size")])
    def initial_state(batch_size: Tensor) -> dict[str, Tensor]:
        return flatten_state(stepper.get_initial_state(batch_size))

    module = tf.Module()
    # Whatever the functions read must hang on what is saved.
    module.variables_of_step = [variable.value for variable in stepper.variables]
    module.step, module.initial_state = step, initial_state
    tf.saved_model.save(
        module, str(path), signatures={"step": step, "initial_state": initial_state}
    )
