import keras
import numpy as np
import pytest
from keras import ops

from common.layers import SoftmaxAttention


@pytest.mark.parametrize("length", [6, 20])  # whole and in bands
def test_dropout_drops_weights_in_training_only(length):
    inputs = np.random.default_rng(0).standard_normal((4, length, 8)).astype("float32")
    layer = SoftmaxAttention(8, 2, window=8, dropout=0.5)
    plain = SoftmaxAttention(8, 2, window=8)
    for built in (layer, plain):
        built.build(inputs.shape)
    plain.set_weights([ops.convert_to_numpy(w) for w in layer.trainable_variables])

    want = ops.convert_to_numpy(plain(inputs))
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(inputs, training=False)), want)
    # 500 draws in one call: every sequence draws its own, and every call anew.
    tiled = np.tile(inputs, (500, 1, 1))
    draws, again = (
        ops.convert_to_numpy(layer(tiled, training=True)).reshape(500, *inputs.shape)
        for _ in range(2)
    )
    assert not np.allclose(draws[0], draws[1])
    assert not np.allclose(draws[0], again[0])
    # The first step sees itself only: all of it, twice as much, or nothing.
    first = draws[:, :, 0]
    assert np.any(np.all(np.abs(first) < 1e-6, axis=-1))
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(np.mean(draws, axis=0) - want) < 6 * error + 1e-6)


def test_dropped_weights_are_float32_under_mixed_precision():
    layer = SoftmaxAttention(8, 2, window=8, dropout=0.5, dtype="mixed_float16")
    layer.build((None, None, 8))
    weights = layer.weights_dropout(ops.ones((2, 2), "float32"), training=True)
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"


def test_dropout_is_learned_with():
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((64, 6, 4)).astype("float32")
    model = keras.Sequential([SoftmaxAttention(4, 2, window=6, dropout=0.2)])
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    history = model.fit(
        inputs, inputs.mean(axis=1, keepdims=True) + 0 * inputs, epochs=15, verbose=0
    )
    assert history.history["loss"][-1] < history.history["loss"][0]
    restored = SoftmaxAttention.from_config(model.layers[0].get_config())
    assert restored.dropout == 0.2


def test_dropout_in_the_recurrent_form_is_refused():
    with pytest.raises(ValueError, match="`dropout` must be 0 .*got 0.1"):
        SoftmaxAttention(8, 2, window=4, dropout=0.1, form="recurrent")
