import keras
import pytest

from common.ops import reference
from common.ops.gated_attention import parallel_gated_attention
from common.ops.linear_attention import (
    chunkwise_linear_attention,
    parallel_linear_attention,
    recurrent_linear_attention,
)
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
    return [rng.uniform(size=(*shape, KEYS)), rng.uniform(size=(*shape, KEYS))] + [
        rng.normal(size=(*shape, VALUES))
    ]


def draw_memory(rng):
    return rng.normal(size=(BATCH, HEADS, KEYS, VALUES))


def draw_normalised(rng):
    return draw_memory(rng), rng.uniform(size=(BATCH, HEADS, KEYS))


PLAIN = Problem(reference.linear_attention, draw_inputs, draw_memory)
NORMALISED = Problem(
    reference.linear_attention, draw_inputs, draw_normalised, options={"normalise": True}
)
FORMS = [recurrent_linear_attention, parallel_linear_attention, chunkwise_linear_attention]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_the_definition(form, length):
    assert_agrees(form, NORMALISED, length, "all")


@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize("form", FORMS)
def test_every_combination_of_marks(form, marks):
    assert_agrees(form, PLAIN, 63, marks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", FORMS)
def test_compiled(form, mode):
    assert_agrees(form, NORMALISED, 200, "all", mode)


@pytest.mark.parametrize("form", FORMS)
def test_float32(form):
    assert_agrees(form, NORMALISED, 200, "all", dtype="float32", bound=2e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cut", [1, 63])
def test_two_calls_equal_one(form, cut):
    assert_splits(form, NORMALISED, 100, cut)


@pytest.mark.parametrize("parallel", [parallel_linear_attention, parallel_gated_attention])
def test_too_many_pairs_name_the_form_to_take(parallel):
    """4 heads of 65,536 steps would take 64 GiB; the shapes are symbolic, nothing is allocated."""
    q = keras.KerasTensor((1, 2**16, 4, 1))
    gates = [q] if parallel is parallel_gated_attention else []
    with pytest.raises(ValueError, match="17,179,869,184 pairs.*chunkwise"):
        parallel(q, q, q, *gates)
