import keras
import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.gated_attention import chunkwise_gated_attention, recurrent_gated_attention
from tests.common.ops.agreement import (
    BATCH,
    LENGTHS,
    MARKS,
    MODES,
    Problem,
    assert_agrees,
    assert_splits,
)
from tests.helpers.gradients import gradients

HEADS, KEYS, VALUES = 2, 4, 3


def problem(gates: int) -> Problem:
    def draw_inputs(rng, length):
        shape = (BATCH, length, HEADS)
        q, k, v = (rng.normal(size=(*shape, n)) for n in (KEYS, KEYS, VALUES))
        return [q, k, v, -rng.exponential(size=(*shape, gates))]

    def draw_memory(rng):
        return rng.normal(size=(BATCH, HEADS, KEYS, VALUES))

    return Problem(reference.gated_attention, draw_inputs, draw_memory)


PROBLEMS = {"head": problem(1), "key": problem(KEYS)}
FORMS = [recurrent_gated_attention, chunkwise_gated_attention]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("gate", PROBLEMS)
@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_the_definition(form, gate, length):
    assert_agrees(form, PROBLEMS[gate], length, "all")


@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize("gate", PROBLEMS)
@pytest.mark.parametrize("form", FORMS)
def test_every_combination_of_marks(form, gate, marks):
    assert_agrees(form, PROBLEMS[gate], 63, marks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("gate", PROBLEMS)
@pytest.mark.parametrize("form", FORMS)
def test_compiled(form, gate, mode):
    assert_agrees(form, PROBLEMS[gate], 200, "all", mode)


@pytest.mark.parametrize("gate", PROBLEMS)
@pytest.mark.parametrize("form", FORMS)
def test_float32(form, gate):
    assert_agrees(form, PROBLEMS[gate], 200, "all", dtype="float32", bound=2e-5)


@pytest.mark.parametrize("gate", PROBLEMS)
@pytest.mark.parametrize("cut", [1, 63])
def test_two_calls_equal_one(gate, cut):
    assert_splits(chunkwise_gated_attention, PROBLEMS[gate], 100, cut)


@pytest.mark.parametrize("chunk_size", [1, 2, 4, 16, 128])
@pytest.mark.parametrize("gate", PROBLEMS)
def test_chunk_sizes(gate, chunk_size):
    def form(*args, **kwargs):
        return chunkwise_gated_attention(*args, chunk_size=chunk_size, **kwargs)

    assert_agrees(form, PROBLEMS[gate], 63, "all")


@pytest.mark.parametrize("gates", [1, KEYS])
def test_extreme_gates_are_exact(gates):
    """Gates of exactly 0 and 1 among gates whose products underflow and logs of 1e4."""
    rng = np.random.default_rng(0)
    inputs = PROBLEMS["head" if gates == 1 else "key"].inputs(rng, 130)
    choice = rng.integers(0, 4, size=inputs[3].shape)
    inputs[3] = np.select([choice == 0, choice == 1, choice == 2], [0.0, -1e4, -1e-9], -30.0)
    inputs = [x.astype("float32") for x in inputs]
    results = [gradients(form, inputs, "xla") for form in FORMS]
    for got, want in zip(results[1][0] + results[1][1], results[0][0] + results[0][1], strict=True):
        assert np.all(np.isfinite(got))
        np.testing.assert_allclose(got, want, atol=2e-4 * np.abs(want).max())


def test_names_the_argument_that_does_not_fit():
    q, k, v = (ops.zeros((1, 3, HEADS, n)) for n in (KEYS, KEYS, VALUES))
    with pytest.raises(ValueError, match="`log_decay`"):
        chunkwise_gated_attention(q, k, v, ops.zeros((1, 3, HEADS, 3)))
    with pytest.raises(ValueError, match="`log_decay`"):
        chunkwise_gated_attention(q, k, v, ops.zeros((1, 3, HEADS)))
    with pytest.raises(ValueError, match="`chunk_size`"):
        chunkwise_gated_attention(q, k, v, q, chunk_size=48)


def test_sixteen_bit_inputs_accumulate_in_float32():
    inputs = PROBLEMS["key"].inputs(np.random.default_rng(0), 100)
    o, final = chunkwise_gated_attention(*[ops.cast(x, "bfloat16") for x in inputs])
    assert keras.backend.standardize_dtype(o.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(final.dtype) == "float32"
