"""What the backends' modules return."""

from collections.abc import Callable
from dataclasses import dataclass

# Learning rate of the timed steps: thousands of them must not change what is timed.
SMALL = 1e-6


@dataclass(frozen=True)
class Program:
    """`call()` does the work and returns tensors, maybe before the device has computed them.

    Attributes:
        call: outputs of "forward" and "step" (with the state); `[outputs, gradient in the inputs,
            gradients in the weights...]` of "forward+backward"; the new weights of "train".
        memory: bytes of temporaries and outputs by the compiler's plan, where it tells.
    """

    call: Callable[[], object]
    memory: Callable[[], int | None] = lambda: None
