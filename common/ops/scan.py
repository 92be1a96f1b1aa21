"""`scan`: a differentiable loop over time on nested structures, the same on every backend."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
from keras import ops, tree

from common.ops.loops import Collected, in_tf_graph, jax_loop, python_loop, tf_loop
from common.ops.time_axis import select
from common.typing import Nest, Tensor

Body = Callable[[Nest, Nest], tuple[Nest, Nest]]


def scan(body: Body, initial: Nest, xs: Nest) -> tuple[Nest, Nest]:
    """Loops `body` over the time axis and stacks what it emits.

    `keras.ops.scan` cannot be differentiated under TensorFlow's XLA, because its loop does not
    state its trip count; this one can, in eager mode, in a `tf.function` with unknown batch and
    length, and under `jit_compile=True`. The graph's size does not depend on the length.

    Args:
        body: `(carry, x) -> (carry, y)`, where `carry` keeps its structure, shapes and dtypes
            and `x` is `xs` at one time step. `y` may be any nested structure of tensors. It is
            a pure function: it may be recomputed for the gradient, so it draws no random
            numbers and assigns to no variable.
        initial: Nested structure of tensors, the carry before the first step.
        xs: Nested structure of tensors of shape `(B, T, ...)`, at least one, T at least 1.

    Returns:
        `(carry, ys)`: the carry after the last step, and what the steps emitted, stacked to
        shape `(B, T, ...)`.
    """
    if keras.backend.backend() == "jax":
        import jax

        # Of every step the carry is kept, and the rest computed again, as on TensorFlow.
        body = jax.checkpoint(body, prevent_cse=False)
        return jax_loop(body, initial, xs, axis=1)
    return (_tf_scan if in_tf_graph() else partial(python_loop, axis=1))(body, initial, xs)


def scan_marked(
    step: Callable[[Nest, Nest], tuple[Nest, Nest]],
    state: Nest,
    xs: Nest,
    initial: Nest | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Nest, Nest]:
    """`scan` that keeps the state at masked steps and puts it back to `initial` at resets.

    Args:
        step: `(state, x) -> (state, y)`.
        state: Nested structure of tensors, the state before the first step.
        xs: Nested structure of tensors of shape `(B, T, ...)`.
        initial: What a reset puts back, structured as `state`; zeros by default.
        mask: `(B, T)` bool or None.
        reset: `(B, T)` bool or None.

    Returns:
        `(state, ys)` as `scan` does.
    """
    if initial is None:
        initial = tree.map_structure(ops.zeros_like, state)
    marks = {"mask": mask, "reset": reset}
    marks = {name: flags for name, flags in marks.items() if flags is not None}

    def marked_step(state: Nest, inputs: tuple[Nest, dict[str, Tensor]]) -> tuple[Nest, Nest]:
        x, marks = inputs
        if "reset" in marks:
            state = select(marks["reset"], initial, state)
        new_state, y = step(state, x)
        if "mask" in marks:
            new_state = select(marks["mask"], new_state, state)
        return new_state, y

    return scan(marked_step, state, (xs, marks))


def _tf_scan(body: Body, initial: Nest, xs: Nest) -> tuple[Nest, Nest]:
    """`scan` in a TensorFlow graph, with a custom gradient.

    TensorFlow differentiates a loop by keeping every intermediate of every step, and under XLA in
    time quadratic in T. Here only the carries are kept, and the backward pass recomputes each step,
    so both passes take time and memory linear in T.
    """
    import tensorflow as tf

    flat_initial = [ops.convert_to_tensor(x) for x in tree.flatten(initial)]
    flat_xs = [ops.convert_to_tensor(x) for x in tree.flatten(xs)]
    scopes = _keras_scopes()

    def step(carry: list[Tensor], columns: list[Tensor]) -> tuple[list[Tensor], Nest]:
        carry, xs_t = tree.pack_sequence_as(initial, carry), tree.pack_sequence_as(xs, columns)
        with scopes():
            carry, y = body(carry, xs_t)
        return tree.flatten(carry), y

    # What one step emits, and what else it depends on.
    traced = tf.function(step, autograph=False).get_concrete_function(
        [tf.TensorSpec(x.shape, x.dtype) for x in flat_initial],
        [tf.TensorSpec(x.shape[:1] + x.shape[2:], x.dtype) for x in flat_xs],
    )
    emitted = traced.structured_outputs[1]
    captured = [x for x in traced.captured_inputs if _tf_differentiable(x)]

    def flat_step(carry: list[Tensor], columns: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        carry, y = step(carry, columns)
        return carry, tree.flatten(y)

    run = _tf_differentiable_loop(flat_step, tree.flatten(emitted))
    carry, ys = run(flat_initial, [ops.swapaxes(x, 0, 1) for x in flat_xs], captured)
    ys = [ops.swapaxes(y, 0, 1) for y in ys]
    return tree.pack_sequence_as(initial, carry), tree.pack_sequence_as(emitted, ys)


def _tf_differentiable_loop(step: Callable, emitted: list[Tensor]) -> Callable:
    """The loop of `step`, `(carry, columns) -> (carry, ys)`, all lists of tensors.

    Args:
        step: One time step.
        emitted: Tensors like the `ys` of one step.

    Returns:
        `(carry, columns, captured) -> (carry, ys)`, where `columns` and `ys` have the time first
        and `captured` are the tensors `step` closes over and is to be differentiated in.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def run(
        initial: list[Tensor], columns: list[Tensor], captured: list[Tensor]
    ) -> tuple[tuple[list[Tensor], list[Tensor]], Callable]:
        def forward(
            carry: list[Tensor], columns: list[Tensor]
        ) -> tuple[list[Tensor], list[Tensor]]:
            new, ys = step(carry, columns)
            return new, [*carry, *ys]

        carry, arrays = _collect(forward, initial, columns, [*initial, *emitted])
        before, ys = arrays[: len(initial)], arrays[len(initial) :]

        def grad(
            *upstream: Tensor, variables: list[Any] | None = None
        ) -> tuple[tuple[Tensor, ...], list[Tensor]]:
            weights = [*captured, *(variables or ())]
            d_carry = [
                tf.zeros_like(x) if g is None else g
                for x, g in zip(initial, upstream[: len(initial)], strict=True)
            ]
            d_ys = [
                tf.zeros_like(y) if g is None else g
                for y, g in zip(ys, upstream[len(initial) :], strict=True)
            ]

            def backward(
                carry: tuple[list[Tensor], list[Tensor]], arrays: tuple[list[Tensor], ...]
            ) -> tuple[tuple[list[Tensor], list[Tensor]], list[Tensor]]:
                d_carry, d_weights = carry
                before, columns, d_ys = arrays
                sources = [*before, *columns, *weights]
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch([x for x in sources if _tf_differentiable(x)])
                    new, ys = step(before, columns)
                gradients = _tf_gradients(tape, [*new, *ys], [*d_carry, *d_ys], sources)
                d_before, d_columns, d_now = _split(gradients, len(before), len(columns))
                d_weights = [total + now for total, now in zip(d_weights, d_now, strict=True)]
                return (d_before, d_weights), d_columns

            (d_initial, d_weights), d_columns = _collect(
                backward,
                (d_carry, [tf.zeros_like(w) for w in weights]),
                (before, columns, d_ys),
                [x[0] for x in columns],
                reverse=True,
            )
            d_captured, d_variables = _split(d_weights, len(captured))
            return (*d_initial, *d_columns, *d_captured), d_variables

        return (carry, ys), grad

    return run


def _collect(
    step: Callable, carry: Nest, columns: Nest, emitted: list[Tensor], reverse: bool = False
) -> tuple[Nest, list[Tensor]]:
    """Loops `step` over axis 0 of `columns` and stacks what it emits, which is like `emitted`."""
    count = ops.shape(tree.flatten(columns)[0])[0]
    results = Collected([(y.shape, y.dtype) for y in emitted], count)
    carry, arrays = tf_loop(step, carry, columns, count, results, axis=0, reverse=reverse)
    return carry, [array.stack() for array in arrays]


def _tf_gradients(
    tape: Any, targets: list[Tensor], upstream: list[Tensor], sources: list[Tensor]
) -> list[Tensor]:
    """Gradients in all of `sources`, zeros where they have no influence or are not continuous."""
    import tensorflow as tf

    pairs = [p for p in zip(targets, upstream, strict=True) if _tf_differentiable(p[0])]
    wanted = [x for x in sources if _tf_differentiable(x)]
    found = iter(
        tape.gradient(
            [target for target, _ in pairs],
            wanted,
            [g for _, g in pairs],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
    )
    return [
        tf.convert_to_tensor(next(found)) if _tf_differentiable(x) else tf.zeros_like(x)
        for x in sources
    ]


def _keras_scopes() -> Callable:
    """A context manager that opens the scopes of Keras that are open now.

    The backward pass is built after `Layer.stateless_call` and the like have closed them, and they
    hold which values the variables have and in which dtype they are read.
    """
    from keras.src.backend.common import global_state  # Keras has no public way to ask.

    names = ("stateless_scope", "autocast_scope", "current_call_ctx")
    now = {name: global_state.get_global_attribute(name) for name in names}

    def set_all(values: dict) -> None:
        for name, value in values.items():
            global_state.set_global_attribute(name, value)

    @contextmanager
    def scopes() -> Iterator[None]:
        outside = {name: global_state.get_global_attribute(name) for name in names}
        set_all(now)
        try:
            yield
        finally:
            set_all(outside)

    return scopes


def _tf_differentiable(x: Tensor) -> bool:
    return x.dtype.is_floating or x.dtype.is_complex


def _split(values: list, *sizes: int) -> list[list]:
    """Cuts a list into parts of the given sizes and the rest."""
    parts = []
    for size in sizes:
        parts.append(values[:size])
        values = values[size:]
    return [*parts, values]
