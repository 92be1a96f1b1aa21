"""A step served from a SavedModel is the model's."""

import importlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from common.layers import LSTM, SoftmaxAttention
from common.models import LanguageModel
from common.models.export import export_streaming, flatten_state, unflatten_state

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="SavedModels are TensorFlow's"
)


def array(x):
    return ops.convert_to_numpy(x)


def model():
    mixers = [SoftmaxAttention(8, 2, 6, rotary=True), LSTM(8)]
    net = LanguageModel(11, 8, mixers, max_positions=20, tie_embeddings=True)
    net.build((None, None))
    return net


def test_a_state_is_flattened_and_back():
    state = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    flat = flatten_state(state)
    assert flat == {"a/b": 1, "a/c/d": 2, "e": 3}
    assert unflatten_state(flat) == state


@on_tensorflow
@pytest.mark.parametrize("batch", [1, 3])
def test_a_served_step_is_the_models(tmp_path, batch):
    import tensorflow as tf

    net = model()
    export_streaming(net, tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served")).signatures
    symbols = np.random.default_rng(0).integers(0, 11, (batch, 9)).astype("int32")
    want = array(net(symbols))
    state = served["initial_state"](batch_size=tf.constant(batch))
    for t in range(9):
        state = served["step"](inputs=tf.constant(symbols[:, t]), **state)
        np.testing.assert_allclose(array(state.pop("outputs")), want[:, t], atol=1e-5)


SERVED = """
import sys
import numpy as np
import tensorflow as tf
served = tf.saved_model.load({path!r}).signatures
data = np.load({data!r})
out = served["prefill"](inputs=tf.constant(data["tokens"]), mask=tf.constant(data["mask"]))
made = []
for _ in range(6):
    logits = out.pop("outputs")
    logits = logits[:, -1] if not made else logits
    made.append(tf.argmax(logits, -1, tf.int32))
    out = served["step"](inputs=made[-1], **out)
np.save({out!r}, tf.stack(made, 1).numpy())
assert not {{"common", "papers"}} & set(sys.modules)
"""


@on_tensorflow
@pytest.mark.parametrize(
    "name",
    [
        "mamba:MambaLM",
        pytest.param("gla:GLA", marks=pytest.mark.slow),
        pytest.param("min_rnn:MinRNN", marks=pytest.mark.slow),
    ],
)
def test_a_program_without_this_package_generates(tmp_path, name):
    paper, cls = name.split(":")
    net = getattr(importlib.import_module(f"papers.{paper}"), cls)(11, 8, 1)
    net.build((None, None))
    export_streaming(net, tmp_path / "served")
    prompts = [[1, 2, 3, 4, 5, 6, 7], [8, 9, 10]]
    tokens, mask = np.zeros((2, 7), "int32"), np.zeros((2, 7), bool)
    for row, prompt in enumerate(prompts):
        tokens[row, 7 - len(prompt) :], mask[row, 7 - len(prompt) :] = prompt, True
    paths = {name: str(tmp_path / name) for name in ("served", "data.npz", "out.npy")}
    np.savez(paths["data.npz"], tokens=tokens, mask=mask)
    code = SERVED.format(path=paths["served"], data=paths["data.npz"], out=paths["out.npy"])
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    np.testing.assert_array_equal(np.load(paths["out.npy"]), net.generate(prompts, 6))


@on_tensorflow
def test_a_layers_step_is_served_too(tmp_path):
    import tensorflow as tf

    layer = LSTM(4)
    layer.build((None, None, 3))
    export_streaming(layer, tmp_path / "served", width=3)
    served = tf.saved_model.load(str(tmp_path / "served")).signatures
    x = np.random.default_rng(0).standard_normal((2, 3)).astype("float32")
    state = served["initial_state"](batch_size=tf.constant(2))
    out = served["step"](inputs=tf.constant(x), **state)
    np.testing.assert_allclose(array(out["outputs"]), array(layer(x[:, None]))[:, 0], atol=1e-6)


@on_tensorflow
@pytest.mark.parametrize("name", ["mamba:MambaLM", "gla:GLA"])
def test_whole_sequences_are_served_with_free_batch_and_length(tmp_path, name):
    import tensorflow as tf

    paper, cls = name.split(":")
    cls = getattr(importlib.import_module(f"papers.{paper}"), cls)
    net = cls(11, 8, 1)
    net.build((None, None))
    signature = [keras.InputSpec(shape=(None, None), dtype="int32")]
    net.export(tmp_path / "served", input_signature=signature, verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    for shape in ((1, 5), (3, 70)):
        symbols = np.random.default_rng(0).integers(0, 11, shape).astype("int32")
        np.testing.assert_allclose(array(served.serve(symbols)), array(net(symbols)), atol=1e-5)


@on_tensorflow
def test_what_is_not_built_is_refused(tmp_path):
    with pytest.raises(ValueError, match="built"):
        export_streaming(LSTM(4), tmp_path, width=3)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="it works on TensorFlow")
def test_other_backends_are_refused(tmp_path):
    with pytest.raises(ValueError, match="TensorFlow"):
        export_streaming(model(), tmp_path)
