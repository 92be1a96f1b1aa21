"""Copy, repeat copy and associative recall, each read step by step by a program that knows it."""

import numpy as np
import pytest

from common.tasks import AssociativeRecall, Copy, RepeatCopy


def check_end(example, scored, answer):
    """The answer is wanted on exactly the steps `scored`; the input is blank from there on."""
    inputs, targets, weights = example
    np.testing.assert_array_equal(np.flatnonzero(weights), scored)
    np.testing.assert_array_equal(targets[scored], answer)
    np.testing.assert_array_equal(np.delete(targets, scored, axis=0), 0.0)
    np.testing.assert_array_equal(inputs[scored[0] :], 0.0)


def check_copy(task, example):
    inputs, _, weights = example
    length = int(weights.sum())
    vectors = inputs[:length]
    assert set(np.unique(vectors)) <= {0.0, 1.0}
    np.testing.assert_array_equal(vectors[:, -1], 0.0)
    delimiter = np.ones(task.bits + 1) if task.delimiter == "ones" else [0] * task.bits + [1]
    np.testing.assert_array_equal(inputs[length], delimiter)
    check_end(example, np.arange(length + 1, 2 * length + 1), vectors[:, :-1])
    return length


def check_repeat_copy(task, example):
    inputs, _, _weights = example
    # The vectors have 0 in the last channel but one, the delimiter is the first step that has 1.
    length = int(np.argmax(inputs[:, -2]))
    vectors = inputs[:length, : task.bits]
    np.testing.assert_array_equal(inputs[:length, -2:], 0.0)
    repeats = round(inputs[length, -1] * task.count_scale)
    np.testing.assert_array_equal(inputs[length, :-1], 1.0)
    assert inputs[length, -1] == np.float32(repeats / task.count_scale)
    scored = np.arange(length + 1, length + 1 + length * repeats)
    check_end(example, scored, np.concatenate([vectors] * repeats))
    return length, repeats


def check_recall(task, example):
    inputs, _, weights = example
    items = (int(np.flatnonzero(weights)[0]) - 5) // 3
    shown = inputs[: 3 * items].reshape(items, 3, task.bits + 1)
    np.testing.assert_array_equal(shown[..., -1], 0.0)
    np.testing.assert_array_equal(inputs[[3 * items, 3 * items + 4]], 1.0)
    query = inputs[3 * items + 1 : 3 * items + 4]
    asked = [n for n in range(items - 1) if np.array_equal(shown[n], query)]
    assert asked  # the last item is never asked for
    scored = np.arange(3 * items + 5, 3 * items + 8)
    check_end(example, scored, shown[asked[0] + 1][:, :-1])
    return items, asked[0]


def examples(batch):
    return zip(batch["inputs"], batch["targets"], batch["weights"], strict=True)


CASES = {
    "copy": (Copy(), check_copy, 41),
    "copy_flag": (Copy(delimiter="flag", max_length=5), check_copy, 11),
    "repeat_copy": (RepeatCopy(), check_repeat_copy, 111),
    # With 18 bits an item, two that are alike do not occur in these few batches.
    "associative_recall": (AssociativeRecall(), check_recall, 26),
}


@pytest.mark.parametrize(("task", "check", "length"), CASES.values(), ids=CASES)
def test_padded_batches_have_one_shape_and_keep_the_rule(task, check, length):
    for step in range(30):
        batch = task.batch(4, 0, step)
        assert batch["inputs"].shape[:2] == batch["weights"].shape == (4, length)
        found = [check(task, example) for example in examples(batch)]
        assert np.all(batch["weights"] == batch["weights"][0])  # one length for the batch
        if task == AssociativeRecall():
            assert len({items for items, _ in found}) == 1


@pytest.mark.parametrize(
    ("make", "check"),
    [(Copy, check_copy), (RepeatCopy, check_repeat_copy), (AssociativeRecall, check_recall)],
)
def test_unpadded_batches_end_with_the_answer(make, check):
    task, lengths = make(pad=False), set()
    for step in range(30):
        batch = task.batch(4, 0, step)
        for example in examples(batch):
            check(task, example)
        np.testing.assert_array_equal(batch["weights"][:, -1], 1.0)
        lengths.add(batch["inputs"].shape[1])
    assert len(lengths) > 3


@pytest.mark.parametrize(
    ("make", "check"),
    [(Copy, check_copy), (RepeatCopy, check_repeat_copy), (AssociativeRecall, check_recall)],
)
def test_lengths_can_differ_within_a_batch(make, check):
    task = make(shared_length=False)
    batch = task.batch(64, 0, 0)
    for example in examples(batch):
        check(task, example)
    assert len(np.unique(batch["weights"], axis=0)) > 3


def test_lengths_are_uniform_over_their_range():
    batch = Copy(shared_length=False).batch(20_000, 0, 0)
    lengths = batch["weights"].sum(axis=1).astype(int)
    np.testing.assert_allclose(np.bincount(lengths)[1:] / 20_000, np.full(20, 0.05), atol=0.006)


def test_repeats_and_lengths_are_drawn_apart():
    task = RepeatCopy(max_length=3, max_repeats=3, shared_length=False)
    pairs = [check_repeat_copy(task, example) for example in examples(task.batch(900, 0, 0))]
    counts = np.unique(pairs, axis=0, return_counts=True)[1]
    assert len(counts) == 9
    np.testing.assert_allclose(counts / 900, 1 / 9, atol=0.04)


def test_every_item_but_the_last_is_asked_for_alike():
    task = AssociativeRecall(min_items=4, max_items=4, bits=8)
    asked = [check_recall(task, example)[1] for example in examples(task.batch(1500, 0, 0))]
    np.testing.assert_allclose(np.bincount(asked) / 1500, np.full(3, 1 / 3), atol=0.04)


def test_bits_are_fair():
    inputs = Copy(min_length=20).batch(500, 0, 0)["inputs"][:, :20, :-1]
    np.testing.assert_allclose(inputs.mean(axis=0), 0.5, atol=0.12)
    assert inputs.mean() == pytest.approx(0.5, abs=0.01)


def test_count_scale_outlives_longer_tests():
    task = RepeatCopy(min_repeats=20, max_repeats=20, count_scale=10)
    inputs = task.batch(1, 0, 0)["inputs"]
    assert inputs[..., -1].max() == 2.0


@pytest.mark.parametrize("make", [Copy, RepeatCopy, AssociativeRecall])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 0}, "`bits` must be a positive integer.* got 0"),
        ({"pad": 1}, "`pad` must be True or False; got 1"),
        ({"pad": False, "shared_length": False}, "`pad` must be True unless .* got False"),
    ],
)
def test_bad_common_settings(make, settings, message):
    with pytest.raises(ValueError, match=f"{make.__name__}: {message}"):
        make(**settings)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (Copy, {"min_length": 5, "max_length": 4}, "`max_length` must be an integer of at least 5"),
        (Copy, {"delimiter": "one"}, "`delimiter` must be one of .*'flag'.*; got 'one'"),
        (
            RepeatCopy,
            {"min_repeats": 11},
            "`max_repeats` must be an integer of .* 11; got 10",
        ),
        (RepeatCopy, {"count_scale": 0}, "`count_scale` must be a positive integer.* got 0"),
        (
            AssociativeRecall,
            {"min_items": 1},
            "`min_items` must be an integer of .* 2; got 1",
        ),
    ],
)
def test_bad_settings(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)
