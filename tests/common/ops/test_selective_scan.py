import functools

import keras
import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.selective_scan import (
    fused_selective_scan,
    recurrent_selective_scan,
    selective_scan_step,
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

CHANNELS, STATES = 5, 3


def problem(negative: bool) -> Problem:
    def draw_inputs(rng, length):
        x = rng.normal(size=(BATCH, length, CHANNELS))
        delta = rng.exponential(0.5, size=x.shape)
        b, c = rng.normal(size=(2, BATCH, length, STATES))
        return [x, delta, b, c, -rng.exponential(size=(CHANNELS, STATES))]

    def draw_state(rng):
        return rng.normal(size=(BATCH, CHANNELS, STATES))

    options = {"negative": True} if negative else {}
    return Problem(reference.selective_scan, draw_inputs, draw_state, 1, options)


PROBLEMS = {"positive": problem(False), "negative": problem(True)}
FORMS = [recurrent_selective_scan, fused_selective_scan]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("sign", PROBLEMS)
@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_the_definition(form, sign, length):
    assert_agrees(form, PROBLEMS[sign], length, "all")


@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize("form", FORMS)
def test_every_combination_of_marks(form, marks):
    assert_agrees(form, PROBLEMS["positive"], 63, marks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sign", PROBLEMS)
@pytest.mark.parametrize("form", FORMS)
def test_compiled(form, sign, mode):
    assert_agrees(form, PROBLEMS[sign], 200, "all", mode)


@pytest.fixture
def at_once(monkeypatch):
    """The way of an accelerator, here on whatever there is, with blocks short enough to join."""
    monkeypatch.setattr("common.ops.loops.default_device", lambda: "gpu")
    monkeypatch.setattr("common.ops.selective_scan._LARGE_BLOCK", 64)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sign", PROBLEMS)
def test_all_steps_of_a_block_at_once(at_once, sign, mode):
    assert_agrees(fused_selective_scan, PROBLEMS[sign], 200, "all", mode)


@pytest.mark.parametrize("marks", MARKS)
def test_all_steps_of_a_block_at_once_with_marks(at_once, marks):
    assert_agrees(fused_selective_scan, PROBLEMS["positive"], 63, marks)


@pytest.mark.parametrize("form", FORMS)
def test_float32(form):
    assert_agrees(form, PROBLEMS["positive"], 200, "all", dtype="float32", bound=2e-5)


@pytest.mark.parametrize("cut", [1, 63])
@pytest.mark.parametrize("form", FORMS)
def test_two_calls_equal_one(form, cut):
    assert_splits(form, PROBLEMS["positive"], 100, cut)


@pytest.mark.parametrize("negative", [False, True])
def test_steps_are_the_scan(negative):
    rng = np.random.default_rng(0)
    *xs, a = (ops.convert_to_tensor(x) for x in PROBLEMS["positive"].inputs(rng, 12))
    state = ops.convert_to_tensor(PROBLEMS["positive"].state(rng))
    y, final = fused_selective_scan(*xs, a, state, negative=negative)
    for t in range(12):
        got, state = selective_scan_step(*(x[:, t] for x in xs), a, state, negative)
        np.testing.assert_allclose(
            ops.convert_to_numpy(got), ops.convert_to_numpy(y[:, t]), atol=1e-12
        )
    np.testing.assert_allclose(ops.convert_to_numpy(state), ops.convert_to_numpy(final), atol=1e-12)


def test_extreme_steps_are_exact():
    """Decays of exactly 0 and 1, among others whose products underflow."""
    rng = np.random.default_rng(0)
    inputs = PROBLEMS["positive"].inputs(rng, 130)
    choice = rng.integers(0, 4, size=inputs[1].shape)
    inputs[1] = np.select([choice == 0, choice == 1, choice == 2], [0.0, 1e4, 1e-9], 30.0)
    inputs = [x.astype("float32") for x in inputs]
    results = [gradients(form, inputs, "xla") for form in FORMS]
    for got, want in zip(results[1][0] + results[1][1], results[0][0] + results[0][1], strict=True):
        assert np.all(np.isfinite(got))
        np.testing.assert_allclose(got, want, atol=2e-5 * np.abs(want).max())


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="looks into the graph")
def test_neither_decays_nor_states_are_held_for_all_steps():
    import tensorflow as tf

    length = 640
    inputs = PROBLEMS["positive"].inputs(np.random.default_rng(0), length)

    @functools.partial(tf.function, autograph=False)
    def run(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y, _ = fused_selective_scan(*inputs)
        return tape.gradient(y, inputs)

    graph = run.get_concrete_function(*map(tf.constant, inputs)).graph
    functions = [graph, *(f.graph for f in graph._functions.values() if hasattr(f, "graph"))]
    sizes = {
        output.shape.num_elements() or 0
        for one in functions
        for operation in one.get_operations()
        for output in operation.outputs
        if output.shape.rank is not None
    }
    # The widest are a few arrays (B, T, D); a gate a step would be (B, T, D, N).
    assert max(sizes) < 2 * BATCH * length * CHANNELS < BATCH * length * CHANNELS * STATES


def test_names_the_argument_that_does_not_fit():
    x, b, a = ops.zeros((1, 3, 4)), ops.zeros((1, 3, 2)), ops.zeros((4, 2))
    with pytest.raises(ValueError, match="`delta`"):
        fused_selective_scan(x, x[:, :, :3], b, b, a)
    with pytest.raises(ValueError, match="`c`"):
        fused_selective_scan(x, x, b, x, a)
    with pytest.raises(ValueError, match="`x`"):
        fused_selective_scan(x, x, b, b, ops.zeros((5, 2)))
    with pytest.raises(ValueError, match="`a`"):
        fused_selective_scan(x, x, b, b, ops.zeros((1, 4, 2)))


def test_sixteen_bit_inputs_accumulate_in_float32():
    inputs = PROBLEMS["positive"].inputs(np.random.default_rng(0), 100)
    y, final = fused_selective_scan(*[ops.cast(x, "bfloat16") for x in inputs])
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(final.dtype) == "float32"
