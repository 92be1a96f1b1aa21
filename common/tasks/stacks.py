"""Many stacks at once: what was pushed onto one last, comes from it first."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_integers, check_rates
from common.tasks.task import Arrays, Task

PUSH, POP = range(2)


@dataclass(frozen=True)
class Stacks(Task):
    """Triples of an operation, a stack and an element: pushed onto it, or popped and to be named.

    Kimi Team 2025 (Kimi Linear), section 5.1, "Stack". The paper does not say how operations are
    drawn. Here an operation pushes with probability `push`, or where all stacks are empty, and
    otherwise pops; stack and element of a push are drawn evenly, the stack of a pop from those
    with an element. A sequence without a pop up to its last operation has one there. Symbols are 0
    to push, 1 to pop, then the stacks, then the elements. A batch holds:

    - `"inputs"`: int32 `(B, 3 operations)`.
    - `"targets"`: int32 `(B, 3 operations)`, at the stack of a pop the element after it, 0
      elsewhere.
    - `"weights"`: float32 `(B, 3 operations)`, 1 at the stack of a pop.

    Args:
        operations: Triples in a sequence, at least 2.
        num_stacks: Number of stacks.
        num_elements: Number of elements.
        push: Probability of a push.

    Raises:
        ValueError: if an argument is out of range.
    """

    operations: int = 85
    num_stacks: int = 64
    num_elements: int = 59
    push: float = 0.6

    def __post_init__(self) -> None:
        check_integers(self, 2, operations=self.operations)
        check_integers(self, 1, num_stacks=self.num_stacks, num_elements=self.num_elements)
        check_rates(self, push=self.push)

    @property
    def vocabulary_size(self) -> int:
        """Two operations, the stacks and the elements."""
        return 2 + self.num_stacks + self.num_elements

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        shape, rows = (batch_size, self.operations), np.arange(batch_size)
        pushes = rng.random(shape) < self.push
        stacks = rng.integers(self.num_stacks, size=shape)
        elements = rng.integers(self.num_elements, size=shape)
        content = np.zeros((batch_size, self.num_stacks, self.operations), np.int64)
        height = np.zeros((batch_size, self.num_stacks), np.int64)
        for i in range(self.operations):
            if i == self.operations - 1:
                pushes[:, i] &= ~pushes[:, :i].all(axis=1)
            pushes[:, i] |= ~height.any(axis=1)
            # One that is not empty: of random numbers the largest.
            filled = np.argmax(rng.random(height.shape) * (height > 0), axis=1)
            stacks[:, i] = stack = np.where(pushes[:, i], stacks[:, i], filled)
            top = np.maximum(height[rows, stack] - 1, 0)
            popped = content[rows, stack, top]
            elements[:, i] = np.where(pushes[:, i], elements[:, i], popped)
            height[rows, stack] += np.where(pushes[:, i], 1, -1)
            content[rows, stack, height[rows, stack] - pushes[:, i]] = elements[:, i]
        inputs = np.stack(
            [np.where(pushes, PUSH, POP), 2 + stacks, 2 + self.num_stacks + elements], axis=-1
        )
        targets, weights = np.zeros_like(inputs), np.zeros(inputs.shape, np.float32)
        targets[..., 1] = np.where(pushes, 0, inputs[..., 2])
        weights[..., 1] = ~pushes
        return {
            "inputs": inputs.reshape(batch_size, -1).astype(np.int32),
            "targets": targets.reshape(batch_size, -1).astype(np.int32),
            "weights": weights.reshape(batch_size, -1),
        }
