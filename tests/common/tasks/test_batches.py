import keras
import numpy as np
import pytest

from common.tasks import MQAR, DelayedWhiteNoise, KeyValueRetrieval, Parity
from common.tasks.batches import TaskBatches


def test_elements_are_the_stream_s_batches():
    task = Parity(2, 5)
    data = task.dataset(3, steps=4, seed=7)
    assert len(data) == 4
    inputs, targets, weights = data[2]
    want = task.batch(3, 7, 2)
    np.testing.assert_array_equal(inputs, want["inputs"])
    np.testing.assert_array_equal(targets, want["targets"])
    np.testing.assert_array_equal(weights, want["weights"])


@pytest.mark.parametrize(
    ("split", "steps"), [("train", [0, 1, 2, 3]), ("validation", [0, 1, 0, 1])]
)
def test_an_epoch_goes_on_where_the_last_one_ended_and_evaluation_starts_again(split, steps):
    task, drawn = Parity(2, 5), []

    class Noted(TaskBatches):
        def __getitem__(self, index):
            batch = super().__getitem__(index)
            drawn.append(batch[0])
            return batch

    model = keras.Sequential([keras.layers.Embedding(4, 3), keras.layers.Dense(4)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(Noted(task, 3, steps=2, split=split), epochs=2, shuffle=False, verbose=0)
    # Before its first epoch Keras looks at a batch or two.
    for inputs, step in zip(drawn[-4:], steps, strict=True):
        np.testing.assert_array_equal(inputs, task.batch(3, 0, step, split=split)["inputs"])


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


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`steps`.*0"):
        Parity(2, 5).dataset(3, steps=0)
    with pytest.raises(ValueError, match="`split`.*all"):
        Parity(2, 5).dataset(3, steps=1, split="all")
