"""What is exported computes as its layer does, at batches and lengths that nothing was traced at.

The table of docs/guides/export.md, entry by entry.
"""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

from common.models.export import (
    NEW,
    export_onnx,
    export_streaming,
    flatten_state,
    in_recurrent_form,
)
from tests.contract.subjects import all_subjects

SUBJECTS = {subject.name: subject for subject in all_subjects()}
# Whose first form is made of Fourier transforms.
FOURIER = ("h3-h3", "h3-s4d", "lmu-memory")
# One of a kind: a loop of one's own, the delta rule's chunks, gates of a key, blocks of a scan.
KINDS = ("common-lstm", "delta_net-delta-net", "gla-gated-linear-attention", "mamba-mamba")
# Beside them attention, an FFT, loops with several states: ONNX takes seconds a layer.
ONNX = (*KINDS, "common-softmax", "h3-s4d", "neural_turing_machine-ntm", "xlstm-slstm")
SIZES = ((1, 9), (3, 4))

BACKEND = keras.backend.backend()
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow is what writes it")
on_jax = pytest.mark.skipif(BACKEND != "jax", reason="JAX is what writes it")


def some(names):
    """Parameters for pytest: all subjects, those not among `names` slow."""
    return [
        pytest.param(subject, id=name, marks=[] if name in names else pytest.mark.slow)
        for name, subject in SUBJECTS.items()
    ]


def array(x):
    return np.asarray(ops.convert_to_numpy(x))


def flat(state):
    return {name: array(x) for name, x in flatten_state(state).items()}


def assert_close(got, want):
    assert sorted(got) == sorted(want)
    for name, expected in want.items():
        np.testing.assert_allclose(got[name], expected, atol=1e-5, rtol=1e-5, err_msg=name)


@on_tensorflow
@pytest.mark.parametrize("subject", some(ONNX))
def test_onnx(subject, tmp_path):
    pytest.importorskip("tf2onnx", reason="needs the extra export")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
    layer = subject.layer(subject.make().forms[0], "float32")
    export_onnx(layer, tmp_path, width=subject.input_dim)
    prefill, step, initial_state = (
        onnxruntime.InferenceSession(tmp_path / f"{name}.onnx")
        for name in ("prefill", "step", "initial_state")
    )

    def run(session, **inputs):
        names = [x.name for x in session.get_outputs()]
        made = session.run(names, inputs)
        return {name.removeprefix(NEW): x for name, x in zip(names, made, strict=True)}

    for batch, length in SIZES:
        x = subject.inputs(batch, length, dtype="float32")
        mask = np.ones((batch, length), bool)
        mask[0, [0, 2]] = False
        want, state = layer(x, mask=mask, return_state=True)
        got = run(prefill, inputs=x, mask=mask)
        assert_close(got, {"outputs": array(want), **flat(state)})
        del got["outputs"]
        want, state = layer.step(x[:, 0], state)
        got = run(step, inputs=x[:, 0], **got)
        assert_close(got, {"outputs": array(want), **flat(state)})
    got = run(initial_state, batch_size=np.array(3, "int32"))
    assert_close(got, flat(layer.get_initial_state(3)))


@on_tensorflow
@pytest.mark.parametrize("subject", some(KINDS))
def test_a_step_in_litert(subject, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="the extra export")
    import tensorflow as tf

    layer = subject.layer("recurrent", "float32")
    export_streaming(layer, tmp_path / "served", width=subject.input_dim)
    path = str(tmp_path / "served")
    converter = tf.lite.TFLiteConverter.from_saved_model(path, signature_keys=["step"])
    if subject.name == "fast_weights-delta-dpfp":
        with pytest.raises(Exception, match="tf.Roll"):
            converter.convert()
        return
    step = interpreter.Interpreter(model_content=converter.convert()).get_signature_runner("step")
    for batch in (1, 3):
        x = subject.inputs(batch, 2, dtype="float32")
        state = layer.get_initial_state(batch)
        for t in range(2):
            got = step(inputs=x[:, t], **flat(state))
            want, state = layer.step(x[:, t], state)
            assert_close(got, {"outputs": array(want), **flat(state)})


@on_tensorflow
@pytest.mark.parametrize("subject", some(KINDS[:1]))
def test_no_loop_in_litert(subject, tmp_path):
    import tensorflow as tf

    layer = subject.layer("recurrent", "float32")
    inputs = keras.Input((None, subject.input_dim))
    model = keras.Model(inputs, layer(inputs))
    only = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    with pytest.raises(Exception, match="(?i)tensor ?list"):
        model.export(tmp_path / "x.tflite", format="litert", verbose=False, target_spec=only)


@on_jax
@pytest.mark.parametrize("subject", some((*KINDS, "h3-s4d")))
def test_jax_with_a_free_length(subject):
    import jax
    from jax import export

    layer = subject.layer(subject.make().forms[0], "float32")
    shape = export.symbolic_shape("b, t")
    inputs = jax.ShapeDtypeStruct((*shape, subject.input_dim), "float32")
    function = jax.jit(lambda x, mask: layer(x, mask=mask, return_state=True))
    recurrent = subject.name in FOURIER
    with in_recurrent_form(layer) if recurrent else contextlib.nullcontext():
        exported = export.export(function)(inputs, jax.ShapeDtypeStruct(shape, "bool"))
    served = jax.jit(export.deserialize(exported.serialize()).call)
    for batch, length in SIZES:
        x = subject.inputs(batch, length, dtype="float32")
        mask = np.ones((batch, length), bool)
        mask[0, [0, 2]] = False
        (got, last), (want, state) = served(x, mask), layer(x, mask=mask, return_state=True)
        assert_close({"outputs": array(got), **flat(last)}, {"outputs": array(want), **flat(state)})


@on_jax
@pytest.mark.parametrize("name", ["mamba-mamba", "gla-gated-linear-attention"])
def test_jax_as_a_saved_model_with_a_free_length(name, tmp_path):
    tf = pytest.importorskip("tensorflow")
    subject = SUBJECTS[name]
    layer = subject.layer(subject.make().forms[0], "float32")
    inputs = keras.Input((None, subject.input_dim))
    model = keras.Model(inputs, layer(inputs))
    model.export(tmp_path, verbose=False, jax2tf_kwargs={"with_gradient": False})
    served = tf.saved_model.load(str(tmp_path))
    for batch, length in SIZES:
        x = subject.inputs(batch, length, dtype="float32")
        np.testing.assert_allclose(served.serve(x), array(layer(x)), atol=1e-5)


def test_forms_are_put_back():
    layer = SUBJECTS["mamba-mamba"].layer("chunkwise", "float32")
    with in_recurrent_form(layer):
        assert (layer.resolved_form, layer.scan) == ("recurrent", "loop")
    assert (layer.resolved_form, layer.scan) == ("chunkwise", "auto")
