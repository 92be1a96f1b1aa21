import numpy as np
import pytest
from keras import ops

from common.ops.rotary import count_steps, rotate


def array(x):
    return ops.convert_to_numpy(x)


def test_positions_count_the_valid_steps_since_a_reset():
    rng = np.random.default_rng(0)
    mask, reset = rng.random((3, 50)) < 0.6, rng.random((3, 50)) < 0.1
    start = np.array([0, 3, 100], "int32")
    for marks in ({}, {"mask": mask}, {"reset": reset}, {"mask": mask, "reset": reset}):
        positions, final = count_steps(
            ops.convert_to_tensor(start),
            50,
            **{name: ops.convert_to_tensor(flags) for name, flags in marks.items()},
        )
        for b in range(3):
            count = int(start[b])
            for t in range(50):
                if "reset" in marks and reset[b, t]:
                    count = 0
                count += int("mask" not in marks or mask[b, t])
                if "mask" not in marks or mask[b, t]:
                    assert int(array(positions)[b, t]) == count - 1
            assert int(array(final)[b]) == count


def test_a_rotation_multiplies_complex_numbers():
    rng = np.random.default_rng(0)
    x, positions = rng.normal(size=(2, 5, 3, 8)), rng.integers(0, 1000, size=(2, 5))
    got = array(rotate(ops.convert_to_tensor(x), ops.convert_to_tensor(positions)))
    rates = 1e4 ** (-np.arange(4) / 4)
    turned = (x[..., :4] + 1j * x[..., 4:]) * np.exp(1j * positions[..., None, None] * rates)
    np.testing.assert_allclose(got[..., :4] + 1j * got[..., 4:], turned, atol=1e-9)


def test_products_depend_on_distances_only():
    rng = np.random.default_rng(0)
    q, k = (ops.convert_to_tensor(rng.normal(size=(1, 1, 1, 8))) for _ in range(2))

    def product(i, j):
        at = [rotate(x, ops.full((1, 1), p, "int32")) for x, p in ((q, i), (k, j))]
        return float(ops.sum(at[0] * at[1]))

    assert product(7, 3) == pytest.approx(product(104, 100), rel=1e-9)
    assert product(7, 3) != pytest.approx(product(7, 4), rel=1e-3)


def test_an_odd_width_is_named():
    with pytest.raises(ValueError, match=r"`x`.*\(1, 1, 1, 3\)"):
        rotate(ops.zeros((1, 1, 1, 3)), ops.zeros((1, 1), "int32"))
