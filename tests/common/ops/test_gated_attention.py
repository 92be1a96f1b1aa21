import keras
import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.gated_attention import (
    chunkwise_gated_attention,
    parallel_gated_attention,
    recurrent_gated_attention,
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
from tests.helpers.gradients import gradients

HEADS, KEYS, VALUES = 2, 4, 3


def problem(gates: int, scale: float = 1.0, groups: int = HEADS) -> Problem:
    def draw_inputs(rng, length):
        q, k = (rng.normal(size=(BATCH, length, groups, KEYS)) for _ in "qk")
        v = rng.normal(size=(BATCH, length, HEADS, VALUES))
        return [q, k, v, -scale * rng.exponential(size=(BATCH, length, HEADS, gates))]

    def draw_memory(rng):
        return rng.normal(size=(BATCH, HEADS, KEYS, VALUES))

    def definition(q, k, *args, **kwargs):
        q, k = (ops.repeat(x, HEADS // groups, axis=2) for x in (q, k))
        return reference.gated_attention(q, k, *args, **kwargs)

    return Problem(definition, draw_inputs, draw_memory)


# Gates of 64 steps multiply to less than exp(-40), and to more where they are mild.
PROBLEMS = {
    "head": problem(1),
    "group": problem(1, groups=1),
    "key": problem(KEYS),
    "mild-key": problem(KEYS, scale=0.1),
}
FORMS = {
    "recurrent": recurrent_gated_attention,
    "parallel": parallel_gated_attention,
    "chunkwise": chunkwise_gated_attention,
}
CASES = [
    pytest.param(FORMS[form], PROBLEMS[gate], id=f"{form}-{gate}")
    for form in FORMS
    for gate in PROBLEMS
    if not (form == "parallel" and "key" in gate)
]
each_case = pytest.mark.parametrize(("form", "problem"), CASES)
each_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=list(PROBLEMS))


@each_case
@pytest.mark.parametrize("length", LENGTHS)
def test_agrees_with_the_definition(form, problem, length):
    assert_agrees(form, problem, length, "all")


@each_case
@pytest.mark.parametrize("marks", MARKS)
def test_every_combination_of_marks(form, problem, marks):
    assert_agrees(form, problem, 63, marks)


@each_case
@pytest.mark.parametrize("mode", MODES)
def test_compiled(form, problem, mode):
    assert_agrees(form, problem, 200, "all", mode)


@each_case
@pytest.mark.parametrize("mode", MODES)
def test_compiled_without_marks(form, problem, mode):
    assert_agrees(form, problem, 130, "plain", mode)


@each_case
def test_float32(form, problem):
    assert_agrees(form, problem, 200, "all", dtype="float32", bound=2e-5)


@each_case
def test_float32_without_marks(form, problem):
    assert_agrees(form, problem, 200, "plain", dtype="float32", bound=2e-5)


@each_case
@pytest.mark.parametrize("cut", [1, 63])
def test_two_calls_equal_one(form, problem, cut):
    assert_splits(form, problem, 100, cut)


@pytest.mark.parametrize("chunk_size", [1, 2, 4, 16, 128])
@each_problem
def test_chunk_sizes(problem, chunk_size):
    def form(*args, **kwargs):
        return chunkwise_gated_attention(*args, chunk_size=chunk_size, **kwargs)

    assert_agrees(form, problem, 63, "all")


@pytest.mark.parametrize("gates", [1, KEYS])
def test_extreme_gates_are_exact(gates):
    """Gates of exactly 0 and 1 among gates whose products underflow and logs of 1e4."""
    rng = np.random.default_rng(0)
    inputs = PROBLEMS["head" if gates == 1 else "key"].inputs(rng, 130)
    choice = rng.integers(0, 4, size=inputs[3].shape)
    inputs[3] = np.select([choice == 0, choice == 1, choice == 2], [0.0, -1e4, -1e-9], -30.0)
    inputs = [x.astype("float32") for x in inputs]
    forms = [f for name, f in FORMS.items() if gates == 1 or name != "parallel"]
    (outputs, grads), *others = [gradients(form, inputs, "xla") for form in forms]
    for other in others:
        for got, want in zip(other[0] + other[1], outputs + grads, strict=True):
            assert np.all(np.isfinite(got))
            np.testing.assert_allclose(got, want, atol=2e-4 * np.abs(want).max())


@pytest.mark.parametrize("mode", MODES or ("eager",))
@pytest.mark.parametrize("lowest", [-39.9, -40.1])
def test_both_sides_of_the_limit_to_products(lowest, mode):
    """A chunk whose gates multiply to just more and just less than exp(-40)."""
    rng = np.random.default_rng(0)
    inputs = PROBLEMS["mild-key"].inputs(rng, 64)
    inputs[3][0, :, 0, 0] *= lowest / inputs[3][0, :, 0, 0].sum()
    inputs = [x.astype("float32") for x in inputs]
    want = gradients(recurrent_gated_attention, inputs, mode)
    got = gradients(chunkwise_gated_attention, inputs, mode)
    for x, y in zip(got[0] + got[1], want[0] + want[1], strict=True):
        np.testing.assert_allclose(x, y, atol=2e-5 * np.abs(y).max())


def test_names_the_argument_that_does_not_fit():
    q, k, v = (ops.zeros((1, 3, HEADS, n)) for n in (KEYS, KEYS, VALUES))
    with pytest.raises(ValueError, match="`log_decay`"):
        chunkwise_gated_attention(q, k, v, ops.zeros((1, 3, HEADS, 3)))
    with pytest.raises(ValueError, match="`log_decay`"):
        chunkwise_gated_attention(q, k, v, ops.zeros((1, 3, HEADS)))
    with pytest.raises(ValueError, match="`log_decay`.*one gate a head"):
        parallel_gated_attention(q, k, v, k)
    with pytest.raises(ValueError, match="`log_decay`"):
        chunkwise_gated_attention(q[:, :, :1], k[:, :, :1], v, k)
    with pytest.raises(ValueError, match="`v`"):
        chunkwise_gated_attention(q, k, ops.zeros((1, 3, 3, VALUES)), ops.zeros((1, 3, 3, 1)))
    with pytest.raises(ValueError, match="`q`"):
        chunkwise_gated_attention(q[:, :, :1], k, v, k)
    with pytest.raises(ValueError, match="`chunk_size`"):
        chunkwise_gated_attention(q, k, v, q, chunk_size=48)


def test_sixteen_bit_inputs_accumulate_in_float32():
    inputs = PROBLEMS["key"].inputs(np.random.default_rng(0), 100)
    o, final = chunkwise_gated_attention(*[ops.cast(x, "bfloat16") for x in inputs])
    assert keras.backend.standardize_dtype(o.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(final.dtype) == "float32"
