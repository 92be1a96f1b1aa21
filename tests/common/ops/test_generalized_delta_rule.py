import keras
import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.generalized_delta_rule import (
    chunkwise_generalized_delta_rule,
    generalized_delta_rule_step,
    recurrent_generalized_delta_rule,
)
from tests.common.ops import test_delta_rule, test_gated_attention, test_gated_delta_rule
from tests.common.ops.agreement import (
    BATCH,
    MODES,
    Problem,
    assert_agrees,
    assert_splits,
)
from tests.common.ops.test_delta_rule import HEADS, KEYS, VALUES, draw_state
from tests.helpers.gradients import gradients


def definition(q, k, v, right, log_decay, left=None, state=None, *, initial=None, mask, reset):
    """`S_t = (diag(a_t) + l_t r_t^T) S_{t-1} + k_t v_t^T`, with the matrix written out."""
    shape = (k.shape[0], *k.shape[2:], v.shape[-1])
    state, initial = reference._start(state, initial, shape, v.dtype)
    left = -k if left is None else left
    identity = ops.eye(k.shape[-1], dtype=k.dtype)

    def step(memory, q_t, k_t, v_t, r_t, g_t, l_t):
        transition = ops.exp(g_t)[..., None] * identity + l_t[..., :, None] * r_t[..., None, :]
        memory = transition @ memory + k_t[..., :, None] * v_t[..., None, :]
        return memory, ops.sum(memory * q_t[..., None], axis=-2)

    return reference._loop(step, state, initial, mask, reset, q, k, v, right, log_decay, left)


def reference_of(*inputs, mask=None, reset=None, **options):
    return definition(*inputs, mask=mask, reset=reset, **options)


def draw_inputs(rng, length):
    q, k, v, _ = test_delta_rule.draw_inputs(rng, length)
    log_decay = -rng.exponential(size=k.shape)
    # Gates that erase and write, a number each, as in Gated DeltaNet-2.
    return [q, k, v, np.exp(log_decay) * rng.uniform(0, 1, k.shape) * k, log_decay]


def draw_general(rng, length):
    q, k, v, _, log_decay = draw_inputs(rng, length)
    left, right = (0.4 * rng.normal(size=k.shape) for _ in range(2))
    return [q, k, v, right, log_decay, left]


def recurrent(q, k, v, right, log_decay, left=None, **options):
    return recurrent_generalized_delta_rule(q, k, v, right, log_decay, left=left, **options)


def chunkwise(q, k, v, right, log_decay, left=None, **options):
    return chunkwise_generalized_delta_rule(q, k, v, right, log_decay, left=left, **options)


PROBLEMS = {
    "delta": Problem(reference_of, draw_inputs, draw_state),
    "general": Problem(reference_of, draw_general, draw_state),
}
FORMS = [recurrent, chunkwise]
# Of one chunk, and of three, the last one padded; definitions are slow.
LENGTH = 130
LENGTHS = (1, 63, 64, LENGTH)
each_form = pytest.mark.parametrize("form", FORMS)
each_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=list(PROBLEMS))


@each_problem
@pytest.mark.parametrize(
    ("form", "length"), [(recurrent, 63), *((chunkwise, length) for length in LENGTHS)]
)
def test_agrees_with_the_definition(form, problem, length):
    assert_agrees(form, problem, length, "all")


@each_problem
@each_form
@pytest.mark.parametrize("marks", ["plain", "mask", "reset"])
def test_every_combination_of_marks(form, problem, marks):
    assert_agrees(form, problem, 20, marks)


@each_problem
@each_form
@pytest.mark.parametrize("mode", MODES)
def test_compiled(form, problem, mode):
    assert_agrees(form, problem, LENGTH, "all", mode)


@each_problem
@each_form
def test_float32(form, problem):
    assert_agrees(form, problem, LENGTH, "all", dtype="float32", bound=2e-5)


@each_problem
@pytest.mark.parametrize("cut", [1, 63])
def test_two_calls_equal_one(problem, cut):
    assert_splits(chunkwise, problem, 100, cut)


@each_problem
@pytest.mark.parametrize("chunk_size", [1, 2, 4, 16, 128])
def test_chunk_sizes(problem, chunk_size):
    def form(*args, **options):
        return chunkwise(*args, chunk_size=chunk_size, **options)

    assert_agrees(form, problem, 63, "all")


@each_form
def test_without_gates_it_is_the_delta_rule(form):
    def gateless(q, k, v, beta, **options):
        strong = beta[..., None]
        return form(q, k, strong * v, strong * k, ops.zeros_like(k), **options)

    assert_agrees(gateless, test_delta_rule.PROBLEM, 63, "all")


@each_form
@pytest.mark.parametrize("apart", [False, True])
def test_with_a_gate_a_head_it_is_the_gated_delta_rule(form, apart):
    def gated(q, k, v, beta, log_decay, **options):
        strong, log_decay = beta[..., None], log_decay[..., None] * ops.ones_like(k)
        if apart:
            left = -strong * k
            return form(q, strong * k, v, ops.exp(log_decay) * k, log_decay, left, **options)
        return form(q, k, strong * v, ops.exp(log_decay) * strong * k, log_decay, **options)

    assert_agrees(gated, test_gated_delta_rule.PROBLEM, 63, "all")


@each_form
def test_that_reads_nothing_is_gated_attention(form):
    def unread(q, k, v, log_decay, **options):
        return form(q, k, v, ops.zeros_like(k), log_decay, **options)

    assert_agrees(unread, test_gated_attention.PROBLEMS["key"], 63, "all")


@each_form
def test_removal_of_a_key_as_in_rwkv_7(form):
    """`S_t = (diag(a_t) - u_t (b_t u_t)^T) S_{t-1} + k_t v_t^T`: u is not k, and reads before a."""
    rng = np.random.default_rng(0)
    q, k, v, _, log_decay = draw_inputs(rng, 20)
    u = rng.normal(size=k.shape)
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    rate = rng.uniform(0, 1, k.shape)
    o, final = form(*map(ops.convert_to_tensor, (q, k, v, rate * u, log_decay, -u)))
    want = np.zeros_like(v)
    for b, h in np.ndindex(BATCH, HEADS):
        memory = np.zeros((KEYS, VALUES))
        for t in range(20):
            removed = np.outer(u[b, t, h], rate[b, t, h] * u[b, t, h])
            memory = (np.diag(np.exp(log_decay[b, t, h])) - removed) @ memory
            memory += np.outer(k[b, t, h], v[b, t, h])
            want[b, t, h] = memory.T @ q[b, t, h]
        np.testing.assert_allclose(ops.convert_to_numpy(final)[b, h], memory, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ops.convert_to_numpy(o), want, rtol=1e-9, atol=1e-9)


@each_problem
def test_one_step(problem):
    rng = np.random.default_rng(0)
    inputs = [ops.convert_to_tensor(x) for x in problem.inputs(rng, 1)]
    state = ops.convert_to_tensor(draw_state(rng))
    steps = [x[:, 0] for x in inputs]
    left = {"left": steps[5]} if len(steps) > 5 else {}
    o, final = generalized_delta_rule_step(*steps[:5], state, **left)
    want = recurrent(*inputs, state=state)
    for x, y in zip((o, final), (want[0][:, 0], want[1]), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(x), ops.convert_to_numpy(y), atol=1e-12)


@each_problem
def test_extreme_gates_are_exact(problem):
    """Gates of exactly 0 and 1, of exp(-50) at every step, and of logs of 1e4."""
    rng = np.random.default_rng(0)
    inputs = problem.inputs(rng, 130)
    choice = rng.integers(0, 4, size=inputs[4].shape)
    log_decay = np.select([choice == 0, choice == 1, choice == 2], [0.0, -1e4, -1e-9], -50.0)
    log_decay[:, :, 0, 0] = -50.0
    if len(inputs) == 5:
        inputs[3] = np.exp(log_decay) * inputs[1]
    else:
        # Gates of 1 keep all: what is read and written anew must not grow.
        inputs[3], inputs[5] = 0.5 * inputs[1], -inputs[1]
    inputs[4] = log_decay
    inputs = [x.astype("float32") for x in inputs]
    results = [gradients(form, inputs, "xla") for form in FORMS]
    for got, want in zip(results[1][0] + results[1][1], results[0][0] + results[0][1], strict=True):
        assert np.all(np.isfinite(got))
        np.testing.assert_allclose(got, want, atol=2e-4 * np.abs(want).max())


def test_sixteen_bit_inputs_accumulate_in_float32():
    inputs = draw_inputs(np.random.default_rng(0), 100)
    o, final = chunkwise(*[ops.cast(x, "bfloat16") for x in inputs])
    assert keras.backend.standardize_dtype(o.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(final.dtype) == "float32"


def test_names_the_argument_that_does_not_fit():
    k, v = ops.zeros((1, 3, HEADS, KEYS)), ops.zeros((1, 3, HEADS, VALUES))
    other = ops.zeros((1, 3, HEADS, KEYS + 1))
    for form in FORMS:
        with pytest.raises(ValueError, match="`log_decay`"):
            form(k, k, v, k, other)
        with pytest.raises(ValueError, match="`log_decay`"):
            form(k, k, v, k, k[..., 0])
        with pytest.raises(ValueError, match="`right`"):
            form(k, k, v, other, k)
        with pytest.raises(ValueError, match="`left`"):
            form(k, k, v, k, k, other)
    with pytest.raises(ValueError, match="`chunk_size`"):
        chunkwise(k, k, v, k, k, chunk_size=3)
