"""The copy memory task, against the rule of Bai et al.'s `data_generator`."""

import numpy as np

from common.tasks.copy_memory import CopyMemory


def test_digits_blanks_markers_and_the_digits_once_more():
    batch = CopyMemory(delay=5, length=3).batch(2000, 0, 0)
    inputs, targets = batch["inputs"], batch["targets"]
    assert inputs.shape == targets.shape == batch["weights"].shape == (2000, 11)
    digits = inputs[:, :3]
    assert set(np.unique(digits)) == set(range(1, 9))
    np.testing.assert_array_equal(inputs[:, 3:], np.tile([0] * 4 + [9] * 4, (2000, 1)))
    np.testing.assert_array_equal(targets[:, :8], 0)
    np.testing.assert_array_equal(targets[:, 8:], digits)
    np.testing.assert_array_equal(batch["weights"], np.tile([0] * 8 + [1] * 3, (2000, 1)))


def test_the_paper_s_length():
    assert CopyMemory().batch(1, 0, 0)["inputs"].shape == (1, 1020)
