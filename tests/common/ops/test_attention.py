import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.attention import causal_attention, causal_attention_step, empty_cache
from common.ops.scan import scan_marked
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
    return [rng.normal(size=(*shape, n)) for n in (KEYS, KEYS, VALUES)]


def problem(window, filled=None):
    def draw_state(rng):
        return {
            "keys": rng.normal(size=(BATCH, HEADS, window, KEYS)),
            "values": rng.normal(size=(BATCH, HEADS, window, VALUES)),
            # A ring that is half full, and one that went round.
            "position": np.array(
                [window // 2, window + 3] if filled is None else [0, filled], "int32"
            ),
        }

    return Problem(
        reference.causal_attention,
        draw_inputs,
        draw_state,
        options={"window": window},
        takes_initial=False,
    )


def stepped(q, k, v, state=None, *, window, mask=None, reset=None):
    """`causal_attention` by its step form."""
    if state is None:
        state = empty_cache(q.shape[0], window, HEADS, KEYS, VALUES, q.dtype)

    def step(state, x):
        o, state = causal_attention_step(*x, state)
        return state, o

    final, o = scan_marked(step, state, (q, k, v), mask=mask, reset=reset)
    return o, final


NARROW, WIDE = problem(5), problem(300)
FORMS = [causal_attention, stepped]


def unfilled_zeroed(op):
    """What a cache holds outside its filled entries is nobody's business."""

    def call(*args, **kwargs):
        o, state = op(*args, **kwargs)
        held = ops.arange(state["keys"].shape[2])[None] < state["position"][:, None]
        for name in ("keys", "values"):
            state[name] = ops.where(held[:, None, :, None], state[name], 0)
        return o, state

    return call


def with_zeroed_reference(p):
    return Problem(unfilled_zeroed(p.reference), p.inputs, p.state, 0, p.options, False)


NARROW, WIDE = with_zeroed_reference(NARROW), with_zeroed_reference(WIDE)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_the_definition(form, length):
    assert_agrees(unfilled_zeroed(form), NARROW, length, "all")


@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize("form", FORMS)
def test_every_combination_of_marks(form, marks):
    assert_agrees(unfilled_zeroed(form), NARROW, 63, marks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("length", [1, 5, 6, 64])
def test_blocks_of_queries_without_a_mask(length, mode):
    assert_agrees(unfilled_zeroed(causal_attention), NARROW, length, "reset", mode)


@pytest.mark.parametrize("marks", ["plain", "all"])
def test_window_longer_than_the_sequence(marks):
    assert_agrees(unfilled_zeroed(causal_attention), WIDE, 63, marks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("filled", [0, 150, 151, 300, 301, 600])
def test_a_long_cache_that_is_not_full(filled, mode):
    """At 600 entries the first 150 or 300 are attended to while there are no more."""
    long = with_zeroed_reference(problem(600, filled))
    assert_agrees(unfilled_zeroed(causal_attention), long, 3, "all", mode)


@pytest.mark.parametrize("mode", MODES)
def test_compiled(mode):
    assert_agrees(unfilled_zeroed(causal_attention), NARROW, 64, "all", mode)


def test_float32():
    form = unfilled_zeroed(causal_attention)
    assert_agrees(form, NARROW, 200, "all", dtype="float32", bound=2e-5)


@pytest.mark.parametrize("cut", [1, 63])
def test_two_calls_equal_one(cut):
    assert_splits(unfilled_zeroed(causal_attention), NARROW, 100, cut)


def test_a_window_of_one_sees_only_itself():
    rng = np.random.default_rng(0)
    q, k, v = (ops.convert_to_tensor(x) for x in draw_inputs(rng, 7))
    o, state = causal_attention(q, k, v, window=1)
    np.testing.assert_allclose(ops.convert_to_numpy(o), ops.convert_to_numpy(v))
    assert ops.convert_to_numpy(state["position"]).tolist() == [7, 7]


@pytest.mark.parametrize("marks", ["plain", "all"])
def test_groups_of_queries_share_keys_and_values(marks):
    """As if each group's keys and values were there once for every query head of it."""
    rng = np.random.default_rng(0)
    length, groups, shared = 30, 2, 3
    q = rng.normal(size=(BATCH, length, groups * shared, KEYS))
    k, v = (rng.normal(size=(BATCH, length, groups, n)) for n in (KEYS, VALUES))
    flags = {}
    if marks == "all":
        flags = {"mask": rng.random((BATCH, length)) < 0.7, "reset": rng.random((2, length)) < 0.1}
        flags = {name: ops.convert_to_tensor(flag) for name, flag in flags.items()}
    got, state = causal_attention(*map(ops.convert_to_tensor, (q, k, v)), window=7, **flags)
    repeated = [ops.convert_to_tensor(np.repeat(x, shared, axis=2)) for x in (k, v)]
    want, _ = causal_attention(ops.convert_to_tensor(q), *repeated, window=7, **flags)
    np.testing.assert_allclose(ops.convert_to_numpy(got), ops.convert_to_numpy(want), rtol=1e-10)
    assert tuple(state["keys"].shape) == (BATCH, groups, 7, KEYS)
    step, _ = causal_attention_step(
        *(ops.convert_to_tensor(x[:, 0]) for x in (q, k, v)),
        empty_cache(BATCH, 7, groups, KEYS, VALUES, got.dtype),
    )
    if marks == "plain":
        np.testing.assert_allclose(
            ops.convert_to_numpy(step), ops.convert_to_numpy(want)[:, 0], rtol=1e-10
        )


def test_names_the_argument_that_does_not_fit():
    q, k, v = (ops.zeros((1, 3, HEADS, n)) for n in (KEYS, KEYS, VALUES))
    with pytest.raises(ValueError, match="`window`"):
        causal_attention(q, k, v, window=0)
    with pytest.raises(ValueError, match="`state`"):
        causal_attention(q, k, v, empty_cache(1, 4, HEADS, KEYS, VALUES), window=5)
    with pytest.raises(ValueError, match="`v`"):
        causal_attention(q, k, v[:, :, :1], window=5)
    with pytest.raises(ValueError, match="`k`"):
        causal_attention(q[:, :, :1], k, v, window=5)


@pytest.mark.parametrize("length", [3, 7, 64])  # shorter than the window, and blocks of it
def test_an_empty_batch(length):
    q, k, v = (ops.zeros((0, length, HEADS, n)) for n in (KEYS, KEYS, VALUES))
    for state in (None, empty_cache(0, 5, HEADS, KEYS, VALUES)):
        for reset in (None, ops.zeros((0, length), "bool")):
            o, new = causal_attention(q, k, v, state, window=5, reset=reset)
            assert tuple(o.shape) == (0, length, HEADS, VALUES)
            assert tuple(new["keys"].shape) == (0, HEADS, 5, KEYS)
