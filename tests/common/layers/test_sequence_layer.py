"""What the base takes and refuses, by the example of the LSTM."""

import keras
import numpy as np
import pytest

from common.layers import LSTM
from papers.lmu.layers import LMU

X = np.random.default_rng(0).standard_normal((2, 5, 3)).astype("float32")


def test_the_config_holds_what_keras_alone_would_not_record():
    layer = LSTM(np.int64(4), dtype=keras.DTypePolicy("mixed_bfloat16"), activity_regularizer="l2")
    clone = LSTM.from_config(layer.get_config())
    assert clone.units == 4 and clone.compute_dtype == "bfloat16"
    assert clone.activity_regularizer.l2 == layer.activity_regularizer.l2
    normal = keras.initializers.RandomNormal(0, 0.25, seed=3)
    lmu = LMU.from_config(LMU(4, 3, 5, hidden_kernel_initializer=normal).get_config())
    assert lmu.hidden_kernel_initializer.stddev == 0.25


def test_a_subclass_may_add_to_the_config():
    class Scaled(LSTM):
        def __init__(self, scale, **kwargs):
            super().__init__(**kwargs)
            self.scale = scale

        def get_config(self):
            return {**super().get_config(), "scale": self.scale}

    clone = Scaled.from_config(Scaled(2.0, units=4, forget_bias=0.5).get_config())
    assert (clone.scale, clone.units, clone.forget_bias) == (2.0, 4, 0.5)


@pytest.mark.parametrize("name", ["mask", "reset"])
@pytest.mark.parametrize(
    ("marks", "message"),
    [
        (np.zeros((2, 5), "float32"), "dtype float32"),  # additive: 0 is to be attended to
        (np.full((2, 5), -np.inf), "dtype float64"),
        (np.full((2, 5), "yes"), "string|dtype"),
        (np.ones((2, 5), complex), "dtype complex128"),
        (np.full((2, 5), 7), "integers from 7 to 7"),
        (np.full((2, 5), -1, "int8"), "integers from -1 to -1"),
        (keras.KerasTensor((2, 5), "float32"), "dtype float32"),
    ],
)
def test_marks_are_truth_values(name, marks, message):
    inputs = keras.KerasTensor(X.shape) if isinstance(marks, keras.KerasTensor) else X
    with pytest.raises(ValueError, match=f"`{name}`.*({message})"):
        LSTM(4)(inputs, **{name: marks})


@pytest.mark.parametrize("kind", ["bool", "int32", "uint8"])
def test_integers_are_marks_where_they_are_0_and_1(kind):
    layer, mask = LSTM(4), np.array([[1, 1, 0, 1, 1], [0, 1, 1, 1, 0]])
    want, got = layer(X, mask=mask > 0), layer(X, mask=mask.astype(kind))
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(layer(X, mask=mask.tolist()), want)
    assert not np.any(np.asarray(want)[mask == 0])


def test_marks_inside_a_compiled_model():
    x, mask = keras.Input((5, 3)), keras.Input((5,), dtype="int32")
    model = keras.Model([x, mask], LSTM(4)(x, mask=mask))
    flags = np.ones((2, 5), "int32")
    np.testing.assert_allclose(model.predict([X, flags], verbose=0), model.layers[-1](X), atol=1e-6)


@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64"])
def test_a_state_of_another_kind_is_refused(dtype):
    layer = LSTM(4)
    state = {name: np.zeros((2, 4), dtype) for name in ("hidden", "cell")}
    with pytest.raises(ValueError, match="initial_state.*'hidden'.*floating point.*dtype"):
        layer(X, initial_state=state)
    with pytest.raises(ValueError, match="initial_state.*floating point"):
        layer.step(X[:, 0], state)


def test_a_state_of_another_width_is_cast():
    layer = LSTM(4)
    state = {name: np.ones((2, 4), "float16") for name in ("hidden", "cell")}
    wide = {name: value.astype("float64") for name, value in state.items()}
    np.testing.assert_array_equal(layer(X, initial_state=state), layer(X, initial_state=wide))


@pytest.mark.parametrize("size", [-1, 1.5, "two", None, True, [2]])
def test_sizes_are_checked(size):
    layer = LSTM(4)
    layer(X)
    with pytest.raises(ValueError, match="`batch_size` must be"):
        layer.get_initial_state(size)
    with pytest.raises(ValueError, match="`batch_size` must be"):
        layer.state_bytes(size)
    with pytest.raises(ValueError, match="`batch_size` must be"):
        layer.flops(size, 5)
    with pytest.raises(ValueError, match="`length` must be"):
        layer.flops(2, size)


def test_flops_need_a_built_layer():
    with pytest.raises(ValueError, match="build the layer first"):
        LSTM(4).flops(2, 5)
    with pytest.raises(ValueError, match="`length` must be a positive integer; got -5"):
        LSTM(4).flops(2, -5)
