"""Streaming as SavedModels and in ONNX, for programs without Keras.

A program takes and returns tensors by name and no nests, so a state is flattened:
`"block_0/memory"` for `state["block_0"]["memory"]`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common.layers import ScanLayer, SequenceLayer
from common.typing import Tensor

SEPARATOR = "/"
# Before the names of a state that comes out in ONNX, where no output has the name of an input.
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
    """Every sequence layer of `model` in its recurrent form, one plain loop over time.

    For exports that know neither the other forms' ops nor a length to cut into chunks.
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
    """Writes a model's streaming in ONNX, on TensorFlow, with the extra `onnx`.

    The files `prefill.onnx`, `step.onnx` and `initial_state.onnx` have the inputs and outputs of
    the signatures of `export_streaming`, with free B and T too, and the layers in their recurrent
    form: a loop over time. Two things are made otherwise than by Keras's
    `model.export(path, format="onnx")`: `expm1`, of which ONNX has none, is composed of other ops,
    and tf2onnx's own optimisations, of which one takes the shape of another tensor, are left out:
    onnxruntime optimises when it loads.

    A prompt and the first token after it:

        export_onnx(MambaLM(50280, **SIZES["130M"]), "mamba")
        prefill, step = (InferenceSession(f"mamba/{x}.onnx") for x in ("prefill", "step"))
        names = [output.name for output in step.get_outputs()]
        made = prefill.run(names, {"inputs": tokens, "mask": np.ones(tokens.shape, bool)})
        out = dict(zip(names, made))
        logits = out.pop("outputs")[:, -1]  # what is left is the state
        step.run(names, {"inputs": logits.argmax(-1).astype("int32"), **out})

    Args:
        model: A built layer or model of ours: it has `step` and `get_initial_state`. Its weights
            fit into a file of 2 GB.
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

    return {"prefill": prefill, "step": step, "initial_state": initial_state}


def _write_onnx(program: Any, path: Path) -> None:
    """Writes a `tf.function` with its signature's names."""
    import onnx
    import tensorflow as tf
    from keras.src.export.tf2onnx_lib import patch_tf2onnx
    from tf2onnx import tf_loader, tfonnx

    patch_tf2onnx()  # for NumPy 2
    traced = program.get_concrete_function()
    specs = tf.nest.flatten(program.input_signature)
    names = {
        x.name: spec.name
        for x, spec in zip((x for x in traced.inputs if x.dtype != tf.resource), specs, strict=True)
    }
    taken = list(names)
    # Sorted is the order in which TensorFlow flattens.
    given = dict(zip(sorted(traced.structured_outputs), (x.name for x in traced.outputs), strict=True))
    order = sorted(given, key=lambda name: name != "outputs")
    names |= {given[name]: name if name == "outputs" else NEW + name for name in order}
    given = [given[name] for name in order]
    frozen = tf_loader.from_function(traced, taken, given)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen, name="")
        converted = tfonnx.process_tf_graph(
            graph,
            custom_op_handlers={"Expm1": (_expm1, [])},
            input_names=taken,
            output_names=given,
            tensors_to_rename=names,
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
