"""Streaming as SavedModels, for programs without Keras.

A SavedModel's signature takes and returns tensors by name and no nests, so a state is flattened:
`"block_0/memory"` for `state["block_0"]["memory"]`.

What can be exported:

- On TensorFlow every layer and model, with free B and T: as a stream by `export_streaming`, and
  without a state by Keras's `model.export(path)`.
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


def export_streaming(model: Any, path: str | Path, width: int | None = None) -> None:
    """Writes a model's streaming as a SavedModel, on TensorFlow.

    Its signatures, whose B and T are free:

    - `"prefill"`, from the initial state: `inputs`, `(B, T)` int32 or `(B, T, width)`, and `mask`,
      `(B, T)` bool, to `outputs` of every step and the flattened state after them;
    - `"step"`: `inputs`, `(B,)` int32 or `(B, width)`, and the flattened state, to the same;
    - `"initial_state"`: `batch_size`, a scalar, to the flattened state.

    A prompt and the first token after it:

        export_streaming(MambaLM(50280, **SIZES["130M"]), "mamba")
        served = tf.saved_model.load("mamba").signatures
        out = served["prefill"](inputs=tokens, mask=tf.ones(tokens.shape, bool))
        logits = out.pop("outputs")[:, -1]  # what is left is the state
        out = served["step"](inputs=tf.argmax(logits, -1, tf.int32), **out)

    Args:
        model: A built layer or model of ours: it has `step` and `get_initial_state`.
        path: Directory to write.
        width: Of inputs `(B, T, width)`; `None` for tokens.

    Raises:
        ValueError: if the backend is not TensorFlow, or `model` is not built.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"export_streaming: the backend must be TensorFlow; got {keras.backend.backend()!r}."
        )
    if not model.built:
        raise ValueError("export_streaming: `model` must be built; got one that is not.")
    import tensorflow as tf

    dtype = "int32" if width is None else model.compute_dtype
    features = () if width is None else (width,)
    one = tf.TensorSpec((None, *features), dtype, name="inputs")
    many = tf.TensorSpec((None, None, *features), dtype, name="inputs")
    marks = tf.TensorSpec((None, None), "bool", name="mask")
    kind = {
        name: tf.TensorSpec((None, *leaf.shape[1:]), leaf.dtype, name=name)
        for name, leaf in flatten_state(model.get_initial_state(1)).items()
    }

    @tf.function(input_signature=[many, marks])
    def prefill(inputs: Tensor, mask: Tensor) -> dict[str, Tensor]:
        outputs, state = model(inputs, mask=mask, training=False, return_state=True)
        return {"outputs": outputs, **flatten_state(state)}

    @tf.function(input_signature=[one, kind])
    def step(inputs: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
        outputs, state = model.step(inputs, unflatten_state(state), training=False)
        return {"outputs": outputs, **flatten_state(state)}

    @tf.function(input_signature=[tf.TensorSpec((), "int32", name="batch_size")])
    def initial_state(batch_size: Tensor) -> dict[str, Tensor]:
        return flatten_state(model.get_initial_state(batch_size))

    module = tf.Module()
    # Whatever the functions read must hang on what is saved.
    module.variables_of_model = [variable.value for variable in model.variables]
    module.prefill, module.step, module.initial_state = prefill, step, initial_state
    signatures = {"prefill": prefill, "step": step, "initial_state": initial_state}
    tf.saved_model.save(module, str(path), signatures=signatures)
