import keras
import numpy as np
import pytest

from common.tasks import MQAR, DelayedWhiteNoise, KeyValueRetrieval, Parity


def test_elements_are_the_stream_s_batches():
    task = Parity(2, 5)
    data = task.dataset(3, steps=4, seed=7)
    assert len(data) == 4
    inputs, targets, weights = data[2]
    want = task.batch(3, 7, 2)
    np.testing.assert_array_equal(inputs, want["inputs"])
    np.testing.assert_array_equal(targets, want["targets"])
    np.testing.assert_array_equal(weights, want["weights"])


def test_training_goes_on_where_the_last_epoch_ended_and_evaluation_does_not():
    task = Parity(2, 5)
    for split, step in (("train", 5), ("validation", 1)):
        data = task.dataset(3, steps=4, split=split)
        data.on_epoch_end()
        want = task.batch(3, 0, step, split=split)["inputs"]
        np.testing.assert_array_equal(data[1][0], want)


def test_queries_stand_beside_the_inputs_and_weights_may_be_missing():
    inputs, *_ = KeyValueRetrieval(4).dataset(2, steps=1)[0]
    assert set(inputs) == {"inputs", "query"}
    assert len(DelayedWhiteNoise().dataset(2, steps=1)[0]) == (
        3 if "weights" in DelayedWhiteNoise().batch(2, 0, 0) else 2
    )


def test_a_model_fits_it():
    data = MQAR(vocabulary_size=16, length=16, num_pairs=2).dataset(8, steps=3)
    model = keras.Sequential([keras.layers.Embedding(16, 4), keras.layers.Dense(16)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(data, epochs=2, verbose=0).history["loss"]
    assert len(history) == 2 and np.all(np.isfinite(history))
    assert data.epoch == 2


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`steps`.*0"):
        Parity(2, 5).dataset(3, steps=0)
    with pytest.raises(ValueError, match="`split`.*all"):
        Parity(2, 5).dataset(3, steps=1, split="all")
