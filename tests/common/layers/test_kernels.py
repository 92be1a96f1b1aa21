"""Kernels in eight bits and with low-rank adaptations, of every layer."""

import keras
import numpy as np
import pytest
from keras import ops

from common.layers import LSTM, SoftmaxAttention
from papers.griffin import RecurrentBlock
from tests.contract.papers import contracts
from tests.contract.subjects import all_subjects
from tests.helpers.gradients import gradients

SUBJECTS = {subject.name: subject for subject in all_subjects()}

# Of the layers of `common`; each paper's stand in its `CONTRACT`.
KERNELS = {
    "common-lstm": [(1, 3, 20), (1, 5, 20)],
    "common-softmax": [(1, 3, 22), (1, 6, 6)],
    "common-rotary": [(1, 3, 15), (1, 6, 6)],
}
for contract in contracts():
    KERNELS |= contract.kernels
# Whose kernels nothing trains, or that have none.
UNADAPTED = {"echo_state_network-reservoir"} | {name for name in KERNELS if not KERNELS[name]}


def count(weights) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def array(x):
    return ops.convert_to_numpy(x)


def test_all_layers_are_here():
    assert SUBJECTS.keys() == KERNELS.keys()


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_in_eight_bits(name):
    """All kernels and nothing else, a scale a column, and outputs that are close."""
    layer = SUBJECTS[name].layer(dtype="float32")
    inputs = SUBJECTS[name].inputs(2, 5, dtype="float32")
    before, floats = array(layer(inputs)), count(layer.weights)
    for part in layer._flatten_layers():
        if hasattr(part, "dequantised"):
            part.quantize("int8")
    integers = [weight for weight in layer.weights if weight.dtype == "int8"]
    want = KERNELS[name]
    assert count(integers) == sum(n * d * e for n, d, e in want)
    assert count(layer.weights) - floats == sum(n * e for n, _, e in want)
    assert all(array(weight).min() >= -127 and array(weight).max() <= 127 for weight in integers)
    after = array(layer(inputs))
    error = np.sqrt(np.mean((after - before) ** 2) / np.mean(before**2))
    assert error < 0.04 and (error > 0) == bool(want)  # at widths of 3 to 24


@pytest.mark.parametrize("name", sorted(KERNELS.keys() - UNADAPTED))
def test_adaptations_are_counted(name):
    layer = SUBJECTS[name].layer(dtype="float32")
    before = count(layer.trainable_variables)
    layer.enable_lora(2)
    kernels = KERNELS[name]
    added = sum(2 * n * (d + e) for n, d, e in kernels)
    kept = before - sum(n * d * e for n, d, e in kernels)
    assert count(layer.trainable_variables) == kept + added


@pytest.mark.parametrize("name", sorted(UNADAPTED))
def test_fixed_kernels_are_not_adapted(name):
    with pytest.raises(ValueError, match="projection"):
        SUBJECTS[name].layer(dtype="float32").enable_lora(2)


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("name", sorted(KERNELS.keys() - UNADAPTED))
def test_adaptations_have_gradients(name, quantised):
    """Of every B at least, as long as it is zero; integers are no hindrance."""
    layer = SUBJECTS[name].layer(dtype="float32")
    if quantised:
        for part in layer._flatten_layers():
            if hasattr(part, "dequantised"):
                part.quantize("int8")
    layer.enable_lora(2)
    inputs = SUBJECTS[name].inputs(2, 5, dtype="float32")
    added = [w for w in layer.trainable_variables if w.name.endswith("_b")]
    others = [w for w in layer.variables if not any(w is b for b in added)]

    def outputs(*values):
        pairs = [*zip(added, values, strict=True), *((w, w.value) for w in others)]
        with keras.StatelessScope(pairs):
            return layer(inputs)

    _, grads = gradients(outputs, [array(weight) for weight in added])
    assert len(grads) == len(KERNELS[name])
    for weight, grad in zip(added, grads, strict=True):
        assert np.abs(grad).max() > 0, weight.path


def test_an_adapted_layer_in_eight_bits_is_saved_as_one(tmp_path):
    layer = keras.Sequential([keras.Input((None, 6)), LSTM(4)])
    layer.quantize("int8")
    layer.layers[0].enable_lora(2)
    rng = np.random.default_rng(0)
    for weight in layer.trainable_variables:
        weight.assign(0.3 * rng.standard_normal(weight.shape))
    inputs = rng.standard_normal((2, 5, 6)).astype("float32")
    want = array(layer(inputs))
    layer.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not any("lora" in weight.name for weight in loaded.weights)
    np.testing.assert_allclose(array(loaded(inputs)), want, atol=0.01)


def test_layers_in_keras_models_are_saved_and_cloned(tmp_path):
    """By their dtype policy, also inside another layer."""
    model = keras.Sequential(
        [
            keras.Input((None, 6)),
            keras.layers.Bidirectional(LSTM(4)),
            SoftmaxAttention(6, 2, 8, dropout=0.1),
            RecurrentBlock(4, 8, num_blocks=2),
        ]
    )
    model.quantize("int8")
    for layer in model.layers[1:]:  # with layers inside, which Keras's models pass over
        layer.quantize("int8")
    assert sum(weight.dtype == "int8" for weight in model.weights) == 2 * 2 + 2 + 3
    inputs = np.random.default_rng(0).standard_normal((2, 5, 6)).astype("float32")
    want = array(model(inputs))
    model.save(tmp_path / "model.keras")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for one in (copy, keras.models.load_model(tmp_path / "model.keras")):
        np.testing.assert_array_equal(array(one(inputs)), want)


def test_other_modes_are_refused():
    layer = LSTM(4)
    layer.build((None, None, 3))
    with pytest.raises(NotImplementedError, match="LSTM.*'int8'.*'int4'"):
        layer.quantize("int4")
