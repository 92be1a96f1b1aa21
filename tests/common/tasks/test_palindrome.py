import numpy as np
import pytest

from common.tasks.palindrome import Palindrome


def test_it_is_laid_out_as_in_the_paper():
    """Section 5.1 of Kimi Linear: `O G R S U N E <SEP> E N U S R G O`."""
    batch = Palindrome(length=7, num_symbols=9).batch(50, 0, 0)
    inputs = batch["inputs"]
    np.testing.assert_array_equal(inputs[:, 7], 9)
    np.testing.assert_array_equal(inputs[:, :7], inputs[:, :7:-1])
    assert set(np.unique(inputs[:, :7])) == set(range(9))
    np.testing.assert_array_equal(batch["weights"], [[0.0] * 8 + [1.0] * 6 + [0.0]] * 50)
    np.testing.assert_array_equal(batch["targets"][:, 8:14], inputs[:, 9:])


def test_the_default_has_127_symbols_of_125():
    task = Palindrome()
    assert task.vocabulary_size == 126
    assert task.batch(2, 0, 0)["inputs"].shape == (2, 255)


@pytest.mark.parametrize("settings", [{"length": 1}, {"num_symbols": 0}])
def test_bad_settings_are_named(settings):
    with pytest.raises(ValueError, match=f"`{next(iter(settings))}`"):
        Palindrome(**settings)
