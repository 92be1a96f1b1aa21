"""Language models in eight bits: tied logits, bytes, loading, what Keras passes over."""

import keras
import numpy as np
import pytest
from keras import ops

from common.layers import LSTM, SoftmaxAttention
from common.models import GatedMLP, LanguageModel
from papers.griffin import RecurrentBlock

TOKENS = np.random.default_rng(0).integers(0, 50, (2, 5)).astype("int32")


def make(tie_embeddings: bool, dtype: str = "float32") -> LanguageModel:
    keras.utils.set_random_seed(0)
    mixers = [
        SoftmaxAttention(32, 4, 16, dropout=0.1, dtype=dtype),  # with a layer inside
        RecurrentBlock(32, 32, num_blocks=4, dtype=dtype),
        LSTM(32, dtype=dtype),
    ]
    mlps = [GatedMLP(64, dtype=dtype), None, None]
    model = LanguageModel(50, 32, mixers, mlps, tie_embeddings=tie_embeddings, dtype=dtype)
    model.build((None, None))
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign_add(0.1 * rng.standard_normal(weight.shape))
    return model


def size_of(model) -> int:
    return sum(int(np.prod(w.shape)) * np.dtype(w.dtype).itemsize for w in model.weights)


def array(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


@pytest.mark.parametrize(
    ("tied", "dtype"), [(True, "float32"), (False, "float32"), (True, "mixed_bfloat16")]
)
def test_logits_are_close(tied, dtype, tmp_path):
    """Within 3 % of their size, of a third of the bytes; loaded the same."""
    model = make(tied, dtype)
    want, size = array(model(TOKENS)), size_of(model)
    model.quantize("int8")
    logits = model(TOKENS)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    got = array(logits)
    assert np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2)) < 0.03
    assert size_of(model) < size / 3
    # The embedding is there once, and is the logits' kernel.
    tables = [w for w in model.weights if 50 in w.shape and w.dtype == "int8"]
    assert len(tables) == (1 if tied else 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(loaded(TOKENS)), got)


@pytest.mark.parametrize(
    "filters", ["^soft", ["^soft", "nothing"], lambda layer: layer.name.startswith("soft")]
)
def test_filters_choose_layers(filters):
    model = make(True)
    model.quantize("int8", filters=filters)
    mixer = model.mixers[0]
    integers = {id(w) for w in model.weights if w.dtype == "int8"}
    assert integers == {id(mixer.kernel), id(mixer.output_kernel)}
