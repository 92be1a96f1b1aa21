import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.delta_rule import chunkwise_delta_rule, recurrent_delta_rule
from tests.common.ops.agreement import (
    BATCH,
    LENGTHS,
    MARKS,
    MODES,
    Problem,
    assert_agrees,
    assert_splits,
)

HEADS, KEYS, VALUES = 2, 4, 3


def draw_inputs(rng, length):
    shape = (BATCH, length, HEADS)
    k = rng.normal(size=(*shape, KEYS))
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    beta = rng.uniform(0, 2, size=shape)
    beta[rng.random(shape) < 0.1] = 0
    beta[rng.random(shape) < 0.1] = 1
    return [rng.normal(size=(*shape, KEYS)), k, rng.normal(size=(*shape, VALUES)), beta]


def draw_state(rng):
    return rng.normal(size=(BATCH, HEADS, KEYS, VALUES))


PROBLEM = Problem(reference.delta_rule, draw_inputs, draw_state)
FORMS = [recurrent_delta_rule, chunkwise_delta_rule]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_the_definition(form, length):
    assert_agrees(form, PROBLEM, length, "all")


@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize("form", FORMS)
def test_every_combination_of_marks(form, marks):
    assert_agrees(form, PROBLEM, 63, marks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", FORMS)
def test_compiled(form, mode):
    assert_agrees(form, PROBLEM, 200, "all", mode)


@pytest.mark.parametrize("form", FORMS)
def test_float32(form):
    assert_agrees(form, PROBLEM, 200, "all", dtype="float32", bound=2e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cut", [1, 63])
def test_two_calls_equal_one(form, cut):
    assert_splits(form, PROBLEM, 100, cut)


def test_is_as_safe_as_the_recurrence_with_long_keys():
    """Unnormalised keys: `beta |k|^2` reaches 2, and no product of matrices may blow up."""

    def draw(rng, length):
        q, k, v, beta = draw_inputs(rng, length)
        scale = rng.uniform(0.1, 30, size=beta.shape)
        return [q, k * scale[..., None], v, beta / scale**2]

    problem = Problem(reference.delta_rule, draw, draw_state)
    assert_agrees(chunkwise_delta_rule, problem, 200, "all", bound=1e-9)


def test_same_key_again_replaces_its_value():
    k = ops.ones((1, 2, 1, 1))
    v = ops.reshape(ops.array([3.0, 5.0]), (1, 2, 1, 1))
    o, final = chunkwise_delta_rule(k, k, v, ops.ones((1, 2, 1)))
    np.testing.assert_allclose(ops.convert_to_numpy(o)[0, :, 0, 0], [3, 5])
    np.testing.assert_allclose(ops.convert_to_numpy(final)[0, 0], [[5]])


def test_names_the_argument_that_does_not_fit():
    k, v = ops.ones((1, 2, 2, 4)), ops.ones((1, 2, 2, 3))
    with pytest.raises(ValueError, match="`beta`"):
        chunkwise_delta_rule(k, k, v, ops.ones((1, 2, 3)))
    with pytest.raises(ValueError, match="`q`"):
        chunkwise_delta_rule(v, k, v, ops.ones((1, 2, 2)))
    with pytest.raises(ValueError, match="`chunk_size`"):
        chunkwise_delta_rule(k, k, v, ops.ones((1, 2, 2)), chunk_size=0)
