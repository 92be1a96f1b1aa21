"""The scan of small matrices against its definition, step by step, and against NumPy's products."""

from functools import partial

import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.linear_scan import linear_scan
from common.ops.matrix_scan import matrix_scan
from tests.common.ops.agreement import (
    BATCH,
    MARKS,
    MODES,
    Problem,
    assert_agrees,
    assert_splits,
)

HEADS, SIZE = 3, 2


def draw_inputs(rng, length):
    a = rng.normal(scale=0.5, size=(BATCH, length, HEADS, SIZE, SIZE))
    a[rng.random(a.shape[:2]) < 0.1] = 0  # nothing is divided by
    return [a, rng.normal(size=a.shape[:-1])]


PROBLEM = Problem(
    reference.matrix_scan,
    draw_inputs,
    lambda rng: rng.normal(size=(BATCH, HEADS, SIZE)),
    takes_initial=False,
)
LOOP, ASSOCIATIVE = (partial(matrix_scan, scan=scan) for scan in ("loop", "associative"))
scans = pytest.mark.parametrize("op", [LOOP, ASSOCIATIVE], ids=["loop", "associative"])


@scans
@pytest.mark.parametrize("length", [1, 2, 63, 64])
def test_agrees_with_the_definition(op, length):
    assert_agrees(op, PROBLEM, length, "all")


@scans
@pytest.mark.parametrize("marks", [*MARKS, "state"])
def test_every_combination_of_marks(op, marks):
    assert_agrees(op, PROBLEM, 13, marks)


@pytest.mark.parametrize("mode", MODES)
def test_compiled(mode):
    assert_agrees(LOOP, PROBLEM, 13, "all", mode)


def test_float32():
    assert_agrees(ASSOCIATIVE, PROBLEM, 200, "all", dtype="float32", bound=2e-5)


@scans
def test_two_calls_equal_one(op):
    assert_splits(op, PROBLEM, 20, 7)


@scans
def test_products_in_numpy(op):
    rng = np.random.default_rng(0)
    a, h = rng.normal(size=(1, 5, 3, 3)), rng.normal(size=(1, 3))
    got, _ = op(*map(ops.convert_to_tensor, (a, np.zeros((1, 5, 3)), h)))
    for t in range(5):
        h = h @ a[0, t].T
        np.testing.assert_allclose(ops.convert_to_numpy(got)[:, t], h, rtol=1e-12)


def test_matrices_of_one_are_the_elementwise_scan():
    rng = np.random.default_rng(0)
    a, b = (ops.convert_to_tensor(rng.normal(size=(2, 9, 4))) for _ in range(2))
    got, _ = matrix_scan(a[..., None, None], b[..., None])
    want, _ = linear_scan(a, b)
    np.testing.assert_allclose(
        ops.convert_to_numpy(got)[..., 0], ops.convert_to_numpy(want), rtol=1e-12
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_accumulate_in_float32(dtype):
    ones = ops.ones((1, 3000, 1), dtype)
    h, final = matrix_scan(ones[..., None], ones)
    assert float(final[0, 0]) == 3000
    assert h.dtype == ones.dtype


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"`a` must have the shape of `b` .* got \(1, 2, 3, 4\)"):
        matrix_scan(ops.ones((1, 2, 3, 4)), ops.ones((1, 2, 3)))
