"""Decode steps where generation takes them: in one compiled loop, which keeps states in place."""

from collections.abc import Callable

from keras import ops

from common.reproduce.execute.timing import compiled
from common.typing import State, Tensor

# A call copies the state that it was given once, for so many steps.
STEPS = 64


def decode_loop(
    step: Callable, inputs: Tensor, state: State, follow: Callable | None = None, steps: int = STEPS
) -> Callable[[], object]:
    """A function without arguments: so many steps, one after the other, compiled with XLA.

    A compiled call of a single step must leave its caller's state as it is, and so copies a whole
    cache to write one entry of it. In a loop nothing is copied.

    Args:
        step: `(inputs, state) -> (outputs, state)`.
        inputs: Of the first step.
        state: Before the first step.
        follow: Makes the next step's inputs of a step's outputs; they are the outputs by default.
        steps: How many.
    """

    def body(_: Tensor, carry: tuple[Tensor, State]) -> tuple[Tensor, State]:
        outputs, state = step(*carry)
        return (outputs if follow is None else follow(outputs)), state

    run = compiled(lambda inputs, state: ops.fori_loop(0, steps, body, (inputs, state))[0])
    return lambda: run(inputs, state)


def greedy(logits: Tensor) -> Tensor:
    """The argmax tokens, `(B,)` int32."""
    return ops.cast(ops.argmax(logits, axis=-1), "int32")
