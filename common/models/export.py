"""Streaming as SavedModels and in ONNX, for programs without Keras.

A program takes and returns tensors by name and no nests, so a state is flattened:
`"block_0/memory"` for `state["block_0"]["memory"]`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common.layers import ScanLayer, SequenceLayer
from common.typing import Tensor

SEPARATOR = "/"
# Stands in ONNX before the names of a state that comes out.
NEW = "new/"


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


@contextmanager
def in_recurrent_form(model: Any) -> Iterator[None]:
    """Has every sequence layer of `model` go over time by its recurrent form, a plain loop.

    For exporting where the ops of faster forms are missing, Fourier transforms or branches:

        with in_recurrent_form(model):
            model.export(path)

    Args:
        model: A built layer or model of ours.
    """
    kept = [
        (layer, name, getattr(layer, name), value)
        for layer in model._flatten_layers()
        for name, value, of in (("form", "recurrent", SequenceLayer), ("scan", "loop", ScanLayer))
        if isinstance(layer, of)
    ]
    for layer, name, _, value in kept:
        setattr(layer, name, value)
    try:
        yield
    finally:
        for layer, name, value, _ in kept:
            setattr(layer, name, value)


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
    _check("export_streaming", model)
    import tensorflow as tf

    module = tf.Module()
    # Whatever the functions read must hang on what is saved.
    module.variables_of_model = [variable.value for variable in model.variables]
    module.programs = signatures = _programs(model, width)
    tf.saved_model.save(module, str(path), signatures=signatures)


def export_onnx(model: Any, path: str | Path, width: int | None = None) -> None:
    """Writes a model's streaming in ONNX, on TensorFlow, with the extra `export`.

    The files `prefill.onnx`, `step.onnx` and `initial_state.onnx` take and return what the
    signatures of `export_streaming` do, with free B and T, `outputs` first and then the state in
    the order in which `step.onnx` takes it. There no output may have the name of an input: a state
    that comes out is `"new/block_0/memory"`. Layers go over time by their recurrent form.

    A prompt and the first token after it:

        export_onnx(MambaLM(50280, **SIZES["130M"]), "mamba")
        prefill, step = (InferenceSession(f"mamba/{name}.onnx") for name in ("prefill", "step"))
        names = [x.name for x in step.get_inputs()]  # the first is "inputs"
        logits, *state = prefill.run(None, {"inputs": tokens, "mask": np.ones(tokens.shape, bool)})
        token = logits[:, -1].argmax(-1).astype("int32")
        logits, *state = step.run(None, dict(zip(names, [token, *state])))

    Beside Keras's `model.export(path, format="onnx")` this one knows `expm1`, and it leaves out
    tf2onnx's optimisations, after which some layers compute something else (xLSTM's projections by
    blocks): onnxruntime has its own.

    Args:
        model: A built layer or model of ours: it has `step` and `get_initial_state`; in float32,
            its weights below 2 GB.
        path: Directory to write.
        width: Of inputs `(B, T, width)`; `None` for tokens.

    Raises:
        ValueError: if the backend is not TensorFlow, or `model` is not built.
        onnx.checker.ValidationError: if the model has an op that ONNX has not.
    """
    _check("export_onnx", model)
    directory = Path(path)
    directory.mkdir(parents=True, exist_ok=True)
    with in_recurrent_form(model):
        for name, program in _programs(model, width).items():
            _write_onnx(program, directory / f"{name}.onnx")


def _check(function: str, model: Any) -> None:
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"{function}: the backend must be TensorFlow; got {keras.backend.backend()!r}."
        )
    if not model.built:
        raise ValueError(f"{function}: `model` must be built; got one that is not.")


def _programs(model: Any, width: int | None) -> dict[str, Any]:
    """The functions of TensorFlow that `export_streaming` describes."""
    import tensorflow as tf

    # AutoGraph would take half of the time, for nothing: no loop here is Python's.
    function = partial(tf.function, autograph=False)
    dtype = "int32" if width is None else model.compute_dtype
    features = () if width is None else (width,)
    one = tf.TensorSpec((None, *features), dtype, name="inputs")
    many = tf.TensorSpec((None, None, *features), dtype, name="inputs")
    marks = tf.TensorSpec((None, None), "bool", name="mask")
    kind = {
        name: tf.TensorSpec((None, *leaf.shape[1:]), leaf.dtype, name=name)
        for name, leaf in flatten_state(model.get_initial_state(1)).items()
    }

    @function(input_signature=[many, marks])
    def prefill(inputs: Tensor, mask: Tensor) -> dict[str, Tensor]:
        outputs, state = model(inputs, mask=mask, training=False, return_state=True)
        return {"outputs": outputs, **flatten_state(state)}

    @function(input_signature=[one, kind])
    def step(inputs: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
        outputs, state = model.step(inputs, unflatten_state(state), training=False)
        return {"outputs": outputs, **flatten_state(state)}

    @function(input_signature=[tf.TensorSpec((), "int32", name="batch_size")])
    def initial_state(batch_size: Tensor) -> dict[str, Tensor]:
        return flatten_state(model.get_initial_state(batch_size))

    return {"prefill": prefill, "step": step, "initial_state": initial_state}


def _write_onnx(program: Any, path: Path) -> None:
    """Writes a `tf.function` with its signature's names."""
    import onnx
    import tensorflow as tf
    from keras.src.export.tf2onnx_lib import patch_tf2onnx
    from tf2onnx import tf_loader, tfonnx

    patch_tf2onnx()  # for NumPy 2
    traced = program.get_concrete_function()
    inputs = [x.name for x in traced.inputs if x.dtype != tf.resource]
    # TensorFlow flattens a dict in the order of its names.
    outputs = dict(zip(sorted(traced.structured_outputs), traced.outputs, strict=True))
    order = sorted(outputs, key=lambda name: name != "outputs")
    outputs = {outputs[x].name: x if x == "outputs" else NEW + x for x in order}
    names = [spec.name for spec in tf.nest.flatten(program.input_signature)]
    frozen = tf_loader.from_function(traced, inputs, list(outputs))
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen, name="")
        converted = tfonnx.process_tf_graph(
            graph,
            custom_op_handlers={"Expm1": (_expm1, [])},
            input_names=inputs,
            output_names=list(outputs),
            tensors_to_rename=dict(zip(inputs, names, strict=True)) | outputs,
        )
    made = converted.make_model("keras-papers")
    onnx.checker.check_model(made)
    onnx.save(made, path)


def _expm1(graph: Any, node: Any, name: str, args: list) -> None:
    """`exp(x) - 1` as `tanh(x / 2) (exp(x) + 1)`, which is as exact near 0."""
    from tf2onnx.utils import make_name, map_onnx_to_numpy_type

    x, y = node.input[0], node.output[0]
    shape, dtype = graph.get_shape(y), graph.get_dtype(y)
    half, one = (
        graph.make_const(make_name(name), np.array(value, map_onnx_to_numpy_type(dtype)))
        for value in (0.5, 1)
    )

    def compute(op: str, *inputs: str, **given: Any) -> str:
        return graph.make_node(op, list(inputs), shapes=[shape], dtypes=[dtype], **given).output[0]

    graph.remove_node(name)
    above = compute("Add", compute("Exp", x), one.output[0])
    compute("Mul", compute("Tanh", compute("Mul", x, half.output[0])), above, outputs=[y])
