"""Sequences of unequal lengths: padded, packed, and the tasks that have them."""

import dataclasses

import keras
import numpy as np
import pytest

from common.layers import LSTM
from common.models import SequenceModel
from common.models.marked import marked
from common.tasks import (
    JapaneseVowels,
    JSBChorales,
    Nottingham,
    SequenceTask,
    ShakespeareCharacters,
    datasets,
)
from common.tasks.japanese_vowels import UTTERANCES
from common.tasks.sequence_task import pack, trimmed
from common.tasks.shakespeare_characters import ALPHABET
from tests.common.tasks.recorded_data import real_file, small_file  # noqa: F401

LENGTHS = (3, 7, 2, 5, 1, 6, 4)


@dataclasses.dataclass(frozen=True)
class Steps(SequenceTask):
    """Sequence i holds 100 i, 100 i + 1 and so on; targets a step or a sequence."""

    per_step: bool = True

    def sequences(self, split):
        found = []
        for number, length in enumerate(LENGTHS):
            inputs = 100 * number + np.arange(length, dtype=np.float32)[:, None]
            targets = inputs[:, 0] + 1 if self.per_step else np.array(number, np.int32)
            found.append({"inputs": inputs, "targets": targets})
        return found


def test_padded_rows():
    arrays = Steps().arrays("test")
    assert {name: values.shape for name, values in arrays.items()} == {
        "inputs": (7, 7, 1),
        "mask": (7, 7),
        "targets": (7, 7),
        "weights": (7, 7),
    }
    np.testing.assert_array_equal(arrays["mask"].sum(1), LENGTHS)
    np.testing.assert_array_equal(arrays["weights"], arrays["mask"])
    for number, one in enumerate(Steps().sequences("test")):
        np.testing.assert_array_equal(arrays["inputs"][number, : LENGTHS[number]], one["inputs"])
        assert not arrays["inputs"][number, LENGTHS[number] :].any()
    whole = Steps(per_step=False).arrays("test")
    np.testing.assert_array_equal(whole["targets"], np.arange(7))
    assert set(whole) == {"inputs", "mask", "targets"}


@pytest.mark.parametrize("per_step", [True, False])
def test_packed_rows_hold_every_sequence_once_from_its_reset_on(per_step):
    task = Steps(packed=9, per_step=per_step)
    arrays, sequences = task.arrays("test"), task.sequences("test")
    assert arrays["inputs"].shape == (4, 9, 1)  # 28 steps
    found = set()
    for row, step in zip(*np.nonzero(arrays["reset"]), strict=True):
        number = int(arrays["inputs"][row, step, 0]) // 100
        found.add(number)
        place = row, slice(step, step + LENGTHS[number])
        np.testing.assert_array_equal(arrays["inputs"][place], sequences[number]["inputs"])
        assert arrays["mask"][place].all() and not arrays["reset"][place][1:].any()
        scored = np.ones(LENGTHS[number]) if per_step else np.eye(LENGTHS[number])[-1]
        np.testing.assert_array_equal(arrays["weights"][place], scored)
        targets = arrays["targets"][place][scored > 0]
        np.testing.assert_array_equal(targets, np.atleast_1d(sequences[number]["targets"]))
    assert found == set(range(7)) and arrays["mask"].sum() == sum(LENGTHS)


def test_packing_wastes_little_and_never_overflows():
    lengths = np.random.default_rng(0).integers(1, 40, size=300).tolist()
    boxes = pack(lengths, 64)
    assert sorted(number for box in boxes for number in box) == list(range(300))
    sums = [sum(lengths[number] for number in box) for box in boxes]
    assert max(sums) <= 64 and len(boxes) <= 1.03 * sum(lengths) / 64 + 1


def test_an_epoch_has_every_row_once_in_an_order_of_seed_and_epoch():
    task = Steps()

    def epoch(seed, number, split="train"):
        steps = range(3 * number, 3 * number + 3)
        batches = [task.batch(3, seed, step, split) for step in steps]
        assert [len(one["inputs"]) for one in batches] == [3, 3, 1]
        return [int(first) // 100 for one in batches for first in one["inputs"][:, 0, 0]]

    assert task.steps_per_epoch(3) == 3
    orders = [epoch(0, 0), epoch(0, 1), epoch(1, 0)]
    for order in orders:
        assert sorted(order) == list(range(7))
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert epoch(0, 1) == orders[1]  # whatever was asked before
    assert epoch(5, 3, "test") == list(range(7))


def test_data_sets_carry_the_marks():
    task = Steps(packed=9)
    data = task.dataset(2, seed=3)
    assert len(data) == task.steps_per_epoch(2) == 2 and len(task.dataset(2, steps=5)) == 5
    for step in (1, 4):
        inputs, targets, weights = data[step]
        want = task.batch(2, 3, step)
        assert set(inputs) == {"inputs", "mask", "reset"}
        for name, values in {**inputs, "targets": targets, "weights": weights}.items():
            np.testing.assert_array_equal(values, want[name])
    inputs, targets = Steps(per_step=False).dataset(2)[0]
    assert set(inputs) == {"inputs", "mask"} and targets.shape == (2,)


def test_trimmed_to_a_power_of_two():
    batch = Steps().batch(1, 0, 4, "test")  # of one step
    assert trimmed(batch)["inputs"].shape == (1, 1, 1)
    for step, kept in {0: 4, 2: 2, 3: 7, 5: 7}.items():
        cut = trimmed(Steps().batch(1, 0, step, "test"))
        assert {cut[name].shape[1] for name in ("inputs", "mask", "targets", "weights")} == {kept}
        assert cut["mask"].sum() == LENGTHS[step]
    assert trimmed(Steps(per_step=False).batch(2, 0, 2, "test"))["targets"].shape == (2,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"packed": -1}, "`packed` must be a non-negative integer; got -1"),
        ({"packed": 6}, "`packed` must be 0 or at least 7, the longest; got 6"),
        ({"data_dir": 3}, "`data_dir` must be a string; got 3"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Steps(**settings).arrays("train")


class Reader(SequenceModel):
    """An LSTM and a projection of every step."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.lstm = LSTM(8)
        self.project = keras.layers.Dense(units)

    @property
    def state_layers(self):
        return {"lstm": self.lstm}

    def build(self, input_shape):
        super().build(input_shape)
        self.lstm.build(input_shape)
        self.project.build((None, None, 8))

    def compute(self, inputs, through):
        return self.project(through.mix("lstm", self.lstm, inputs))


def test_packed_is_padded(small_file, tmp_path):  # noqa: F811
    """`fit` and `evaluate` take both, and the loss of a step is the same."""
    small_file(datasets.JSBChorales)
    padded, packed = (JSBChorales(size, data_dir=str(tmp_path)) for size in (0, 16))
    keras.utils.set_random_seed(0)
    reader = Reader(88)
    losses = []
    for task in (padded, packed):
        model = marked(reader, task.dataset(3)[0][0])
        loss = keras.losses.BinaryCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        )
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
        losses.append(model.evaluate(task.dataset(3), verbose=0))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    history = model.fit(packed.dataset(3), epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]


@pytest.mark.parametrize("task", [JSBChorales, Nottingham])
def test_music_goes_on_by_a_step(task, small_file, tmp_path):  # noqa: F811
    small_file(getattr(datasets, task.__name__))
    one = task(data_dir=str(tmp_path))
    for split, steps in {"train": [4, 8, 2], "validation": [3, 1], "test": [6]}.items():
        arrays = one.arrays(split)
        assert arrays["inputs"].dtype == arrays["targets"].dtype == np.float32
        np.testing.assert_array_equal(arrays["mask"].sum(1), steps)
        np.testing.assert_array_equal(arrays["weights"].sum(1), steps)
        later = arrays["mask"][:, 1:, None] * arrays["inputs"][:, 1:]
        earlier = arrays["mask"][:, 1:, None] * arrays["targets"][:, :-1]
        np.testing.assert_array_equal(later, earlier)
    with pytest.raises(ValueError, match="`split` must be one of"):
        one.arrays("dev")


def test_held_out_utterances_are_some_of_every_speaker(small_file, tmp_path):  # noqa: F811
    small_file(datasets.JapaneseVowels)
    task = JapaneseVowels(data_dir=str(tmp_path))
    whole = JapaneseVowels(held_out=0, data_dir=str(tmp_path)).arrays("train")
    train, validation, test = (task.arrays(split) for split in ("train", "validation", "test"))
    np.testing.assert_array_equal(np.bincount(train["targets"]), np.full(9, UTTERANCES - 6))
    np.testing.assert_array_equal(np.bincount(validation["targets"]), np.full(9, 6))
    assert len(whole["targets"]) == 270 and len(test["targets"]) == 4
    firsts = [set(one["inputs"][:, 0, 0].tolist()) for one in (train, validation, whole)]
    assert not firsts[0] & firsts[1] and firsts[0] | firsts[1] == firsts[2]
    # The file has the utterance's number before the point and the step after it.
    np.testing.assert_allclose(test["inputs"][2, :4, 5], [2.0, 2.1, 2.2, 2.3])
    np.testing.assert_array_equal(test["mask"].sum(1), [2, 3, 4, 2])
    with pytest.raises(ValueError, match="`split` must be one of .*'train', 'test'"):
        JapaneseVowels(held_out=0).arrays("validation")
    with pytest.raises(ValueError, match="`held_out` must be an integer from 0 to 29; got 30"):
        JapaneseVowels(held_out=30)


def test_windows_of_text(small_file, tmp_path):  # noqa: F811
    small_file(datasets.ShakespeareCharacters)
    task = ShakespeareCharacters(20, str(tmp_path))
    text = "Hark! What light?\n" * 100

    def spelled(symbols):
        return ["".join(ALPHABET[place] for place in row) for row in symbols]

    for split, part in {"validation": text[1620:1710], "test": text[1710:]}.items():
        arrays = task.arrays(split)
        assert "".join(spelled(arrays["inputs"])) == part[:80]
        assert "".join(spelled(arrays["targets"])) == part[1:81]
    batch = task.batch(100, seed=1, step=2)
    for one, other in zip(*(spelled(batch[name]) for name in ("inputs", "targets")), strict=True):
        assert one in text[:1620] and other[:-1] == one[1:] and one + other[-1] in text
    assert len(set(spelled(batch["inputs"]))) == 18  # windows start anywhere
    again = task.batch(100, seed=1, step=2)
    np.testing.assert_array_equal(again["inputs"], batch["inputs"])
    assert (task.batch(100, seed=1, step=3)["inputs"] != batch["inputs"]).any()
    with pytest.raises(ValueError, match="`length` must be an integer from 1 to 50000; got 0"):
        ShakespeareCharacters(0)


def test_the_alphabet_is_that_of_the_real_text():
    source = datasets.ShakespeareCharacters.SOURCE
    text = source.find(real_file(source)).read_text()
    assert "".join(sorted(set(text))) == ALPHABET and len(ALPHABET) == 65
