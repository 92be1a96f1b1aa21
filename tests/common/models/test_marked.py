import keras
import numpy as np
import pytest

from common.layers import LSTM
from common.models.marked import marked


@pytest.fixture
def inputs():
    reset = np.zeros((2, 6), bool)
    reset[0, 3] = True
    return {
        "inputs": np.random.default_rng(0).standard_normal((2, 6, 3)).astype("float32"),
        "mask": np.arange(6) < np.array([[6], [4]]),
        "reset": reset,
    }


@pytest.mark.parametrize("names", [("mask",), ("reset",), ("mask", "reset")])
def test_it_is_the_model_with_the_marks(names, inputs, tmp_path):
    layer = LSTM(4)
    some = {name: inputs[name] for name in ("inputs", *names)}
    model = marked(layer, some)
    want = layer(inputs["inputs"], **{name: inputs[name] for name in names})
    longer = {name: np.repeat(values, 2, axis=1) for name, values in some.items()}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        got, expected = (keras.ops.convert_to_numpy(each) for each in (one(some), want))
        np.testing.assert_allclose(got, expected, atol=1e-6)
        assert one(longer).shape == (2, 12, 4)
    assert [id(weight) for weight in model.weights] == [id(weight) for weight in layer.weights]


@pytest.mark.parametrize("names", [("inputs",), ("mask",), ("inputs", "mask", "query")])
def test_other_inputs_are_named(names, inputs):
    wrong = {name: inputs.get(name, inputs["mask"]) for name in names}
    with pytest.raises(ValueError, match=r"`inputs` must be a dict of .*got \["):
        marked(LSTM(4), wrong)
