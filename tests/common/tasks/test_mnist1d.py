"""MNIST-1D: the author's very numbers, and what is published about them."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from common.tasks import Mnist1d

# Of the package mnist1d 0.0.2, its default arguments: examples 0, 1, 3999 of the training set, 0
# and 999 of the test set, at steps 0, 5, 10, 20 and 39; in order and shuffled.
AT = ([0, 1, 3999, 4000, 4999], [0, 5, 10, 20, 39])
PLAIN = [-0.33200567, 0.79119423, -0.78387496, -1.08393317, 1.19315184]
SHUFFLED = [1.03587403, 0.15433557, -1.58293263, -0.21073171, -1.28103769]
DIGITS = [2, 6, 4, 5, 6, 6, 6, 0, 3, 1]
TRAINING_DIGITS = [398, 396, 411, 394, 394, 402, 401, 404, 402, 398]


def everything(task):
    splits = [task.arrays(split) for split in ("train", "validation", "test")]
    return tuple(np.concatenate([one[name] for one in splits]) for name in ("inputs", "targets"))


@pytest.mark.parametrize(("shuffled", "want"), [(False, PLAIN), (True, SHUFFLED)])
def test_the_author_s_numbers(shuffled, want):
    curves, digits = everything(Mnist1d(shuffled))
    assert curves.shape == (5000, 40, 1) and curves.dtype == np.float32
    np.testing.assert_allclose(curves[..., 0][AT], want, rtol=1e-5)
    assert digits[:10].tolist() == DIGITS
    np.testing.assert_array_equal(np.bincount(digits[:4000]), TRAINING_DIGITS)


def test_all_curves_have_mean_0_and_variance_1_and_the_digits_are_balanced():
    curves, digits = everything(Mnist1d())
    np.testing.assert_allclose([curves.mean(), curves.std()], [0, 1], atol=1e-5)
    np.testing.assert_array_equal(np.bincount(digits), np.full(10, 500))


def test_a_linear_classifier_gets_what_it_got_in_the_paper():
    # 32 %, in order and shuffled: it does not see the order.
    for task in (Mnist1d(held_out=0), Mnist1d(shuffled=True, held_out=0)):
        train, test = task.arrays("train"), task.arrays("test")
        weights = logistic_regression(with_ones(train["inputs"]), train["targets"])
        guessed = (with_ones(test["inputs"]) @ weights).argmax(1)
        accuracy = np.mean(guessed == test["targets"])
        assert 0.31 < accuracy < 0.34


def with_ones(inputs):
    """Float64 `(B, 41)`: the steps, and what a bias is multiplied with."""
    return np.pad(inputs[..., 0].astype(float), ((0, 0), (0, 1)), constant_values=1)


def logistic_regression(x, y):
    targets = np.eye(10)[y]

    def loss(weights):
        logits = x @ weights.reshape(-1, 10)
        logs = logits - scipy.special.logsumexp(logits, axis=1, keepdims=True)
        return -np.mean((logs * targets).sum(1)), (x.T @ (np.exp(logs) - targets) / len(x)).ravel()

    start = np.zeros(x.shape[1] * 10)
    found = scipy.optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60}
    )
    return found.x.reshape(-1, 10)


def test_splits():
    sizes = [len(Mnist1d().arrays(split)["targets"]) for split in ("train", "validation", "test")]
    assert sizes == [3600, 400, 1000]
    assert len(Mnist1d(held_out=0).arrays("train")["targets"]) == 4000
    with pytest.raises(ValueError, match="`split` must be one of .*'train', 'test'"):
        Mnist1d(held_out=0).arrays("validation")


def test_another_seed_gives_other_curves():
    one, other = (Mnist1d(data_seed=seed).arrays("test")["inputs"] for seed in (42, 43))
    assert np.abs(one - other).max() > 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shuffled": 1}, "`shuffled` must be True or False; got 1"),
        ({"held_out": 4000}, "`held_out` must be an integer from 0 to 3999; got 4000"),
        ({"data_seed": -1}, "`data_seed` must be a non-negative integer; got -1"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Mnist1d(**settings)
