"""Compares a fast form with its step-by-step definition: values, final state and gradients."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from tests.helpers.gradients import gradients

BATCH = 2
# What `gradients` can compile with; the other backends know one mode only.
MODES = ("graph", "xla") if keras.backend.backend() == "tensorflow" else ()
LENGTHS = (1, 63, 64, 200)
MARKS = ("plain", "mask", "reset")  # and "state" or "all"


@dataclass(frozen=True)
class Problem:
    """A recurrence: its definition and how to draw inputs for it.

    Attributes:
        reference: The step-by-step definition, called like the fast forms.
        inputs: `(rng, length) -> ` arrays `(B, T, ...)` and, after them, those of `constants`.
        state: `rng ->` nested arrays `(B, ...)`; drawn for `state` and for `initial`.
        constants: How many of the inputs have no time axis.
        options: Keyword arguments for the reference and the fast forms alike.
        takes_initial: Whether the op knows `initial`.
    """

    reference: Callable[..., Any]
    inputs: Callable[[np.random.Generator, int], list[np.ndarray]]
    state: Callable[[np.random.Generator], Any]
    constants: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    takes_initial: bool = True

    __hash__ = object.__hash__
    __eq__ = object.__eq__


def draw(problem: Problem, length: int, marks: str, dtype="float64"):
    """Draws `(inputs, state, initial, mask, reset)`, None for what `marks` leaves out."""
    rng = np.random.default_rng(length)
    inputs = [x.astype(dtype) for x in problem.inputs(rng, length)]
    as_dtype = lambda x: x.astype(dtype) if x.dtype.kind == "f" else x  # noqa: E731
    state = tree.map_structure(as_dtype, problem.state(rng))
    initial = tree.map_structure(as_dtype, problem.state(rng))
    mask = rng.random((BATCH, length)) < 0.7
    reset = rng.random((BATCH, length)) < 3 / 64
    reset[0, length // 2] = True
    return (
        inputs,
        state if marks in ("state", "all") else None,
        initial if marks in ("reset", "all") and problem.takes_initial else None,
        mask if marks in ("mask", "all") else None,
        reset if marks in ("reset", "all") else None,
    )


def run(op, problem: Problem, length: int, marks: str, mode="eager", dtype="float64"):
    """Outputs and gradients of `op`; outputs of masked steps are zeroed first."""
    inputs, state, initial, mask, reset = draw(problem, length, marks, dtype)
    given = {"state": state, "initial": initial}
    given = {name: value for name, value in given.items() if value is not None}
    flat = tree.flatten(given)
    floats = [x for x in flat if x.dtype.kind == "f"]

    def f(*tensors):
        xs, states = tensors[: len(inputs)], iter(tensors[len(inputs) :])
        filled = [next(states) if x.dtype.kind == "f" else ops.convert_to_tensor(x) for x in flat]
        marks_given = {"mask": mask, "reset": reset}
        marks_given = {
            name: ops.convert_to_tensor(x) for name, x in marks_given.items() if x is not None
        }
        outputs, final = op(
            *xs, **tree.pack_sequence_as(given, filled), **marks_given, **problem.options
        )
        if mask is not None:
            keep = mask.reshape(*mask.shape, *[1] * (len(outputs.shape) - 2))
            outputs = ops.where(keep, outputs, ops.zeros_like(outputs))
        return outputs, final

    timed = len(inputs) - problem.constants
    shapes = [(None, None, *x.shape[2:]) for x in inputs[:timed]]
    shapes += [x.shape for x in inputs[timed:]]
    shapes += [(None, *x.shape[1:]) for x in floats]
    return gradients(f, [*inputs, *floats], mode, shapes)


@cache
def expected(problem: Problem, length: int, marks: str):
    return run(problem.reference, problem, length, marks)


def assert_close(got, want, bound: float) -> None:
    """Every array is within `bound` of the wanted one, relative to its largest entry."""
    assert len(got) == len(want)
    for i, (x, y) in enumerate(zip(got, want, strict=True)):
        assert x.shape == y.shape
        scale = max(1e-3, float(np.abs(y).max(initial=0)))
        worst = float(np.abs(x.astype("float64") - y).max(initial=0)) / scale
        assert worst <= bound, f"array {i}: off by {worst:.2e} of its largest entry {scale:.2e}"


def assert_agrees(
    op, problem: Problem, length: int, marks: str, mode="eager", dtype="float64", bound=1e-9
) -> None:
    """`op` gives the reference's outputs, final state and gradients, all within `bound`."""
    outputs, grads = run(op, problem, length, marks, mode, dtype)
    want_outputs, want_grads = expected(problem, length, marks)
    assert_close(outputs, want_outputs, bound)
    assert_close(grads, want_grads, bound)


def jitted(f):
    """`f` itself, except on JAX, which is slow without."""
    if keras.backend.backend() != "jax":
        return f
    import jax

    return jax.jit(f)


def assert_splits(op, problem: Problem, length: int, cut: int) -> None:
    """Two calls with the state carried over give what one call gives."""
    inputs, state, initial, mask, reset = draw(problem, length, "all")
    timed = len(inputs) - problem.constants
    options = dict(problem.options)
    if problem.takes_initial:
        options["initial"] = tree.map_structure(ops.convert_to_tensor, initial)

    def part(state, span):
        xs = [x[:, span] for x in inputs[:timed]] + inputs[timed:]
        xs = [ops.convert_to_tensor(x) for x in xs]
        marks = {"mask": mask[:, span], "reset": reset[:, span]}
        marks = {name: ops.convert_to_tensor(x) for name, x in marks.items()}
        call = jitted(lambda state: op(*xs, state=state, **marks, **options))
        outputs, final = call(state)
        return ops.convert_to_numpy(outputs) * mask[:, span].reshape(
            *mask[:, span].shape, *[1] * (len(outputs.shape) - 2)
        ), final

    start = tree.map_structure(ops.convert_to_tensor, state)
    whole, whole_final = part(start, slice(None))
    first, middle = part(start, slice(cut))
    second, final = part(middle, slice(cut, None))
    assert_close([np.concatenate([first, second], axis=1)], [whole], 1e-9)
    to_numpy = lambda tree_: [ops.convert_to_numpy(x) for x in tree.flatten(tree_)]  # noqa: E731
    assert_close(to_numpy(final), to_numpy(whole_final), 1e-9)
