import numpy as np
import pytest

from common.tasks import MackeyGlass


def test_default_data_have_the_baseline_error_of_the_notebook():
    test = MackeyGlass().arrays("test")
    x, y = (test[name].astype(np.float64) for name in ("inputs", "targets"))
    # Output of the last but one cell of `mackey-glass.ipynb`, branch `fix-mackey-glass`:
    # "Baseline 162.400", the error of predicting no change, in percent of the signal.
    assert round(100 * np.sqrt(np.mean((x - y) ** 2) / np.mean(y**2)), 3) == 162.400
    assert x.shape == y.shape == (64, 5000, 1)


def test_values_follow_the_equation():
    task = MackeyGlass(series=4, length=20, horizon=3, tau=2, substeps=5, washout=7, data_seed=9)
    rng = np.random.RandomState(9)
    series, x = [], 1.2
    for _ in range(4):
        # A list of all values: the one `tau * substeps` before the last is the delayed one.
        path = list(1.1 + 0.2 * rng.rand(10))
        path.append(x)
        for _ in range(5 * (7 + 20 + 3)):
            delayed = path[-1 - 10]
            path.append(path[-1] + (0.2 * delayed / (1 + delayed**10) - 0.1 * path[-1]) / 5)
        series.append(np.tanh(np.array(path[11:][4::5]) - 1)[7:])
        x = path[-1]
    expected = np.array(series) - np.mean(series)
    for split, rows in {"train": [0], "validation": [1], "test": [2, 3]}.items():
        arrays = task.arrays(split)
        np.testing.assert_allclose(arrays["inputs"][..., 0], expected[rows, :20], atol=1e-6)
        np.testing.assert_allclose(arrays["targets"][..., 0], expected[rows, 3:], atol=1e-6)


def test_shared_data_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        MackeyGlass(series=4, length=5).arrays()["inputs"][0] = 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"series": 6}, "`series` must be a multiple of 4; got 6"),
        ({"horizon": 0}, "`horizon` must be a positive integer.* got 0"),
        ({"washout": -1}, "`washout` must be a non-negative integer.* got -1"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        MackeyGlass(**settings)


def test_unknown_split():
    with pytest.raises(ValueError, match="`split` must be one of .* got 'dev'"):
        MackeyGlass(series=4, length=5).arrays("dev")
