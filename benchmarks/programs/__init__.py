"""Functions without arguments that do one piece of work: forward, backward, train, step."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from benchmarks.models import Model

# Learning rate of the timed steps: thousands of them must not change what is timed.
SMALL = 1e-6


@dataclass(frozen=True)
class Workload:
    """What an implementation is timed on.

    Attributes:
        mode: "forward"; "forward+backward", the gradients in inputs and weights for a fixed
            upstream gradient; "train", a step of Adam on the mean of the squared outputs; "step",
            one step of decoding; "stream", a chunk from a state on.
        inputs: arrays, the first of them `(B, T, ...)`, in a step `(B, ...)`.
        upstream: the upstream gradient, of the shape of the outputs.
        dtype: in which they are given.
    """

    mode: str
    inputs: list[np.ndarray]
    upstream: np.ndarray
    dtype: str


@dataclass(frozen=True)
class Program:
    """`call()` does the work and returns tensors, maybe before the device has computed them.

    Attributes:
        call: outputs of "forward" and "step" (with the state); `[outputs, gradients in the inputs,
            gradients in the weights...]` of "forward+backward"; the new weights of "train".
        memory: bytes of temporaries and outputs by the compiler's plan, where it tells.
    """

    call: Callable[[], object]
    memory: Callable[[], int | None] = lambda: None


def make_program(model: Model, workload: Workload, compiler: str) -> Program:
    """The program that does `workload`, not called yet.

    Args:
        model: what does it.
        workload: what is to be done.
        compiler: "eager", "graph", "xla" (TensorFlow), "jit" (JAX); torch is eager.
    """
    if model.torch_device is not None or keras.backend.backend() == "torch":
        from benchmarks.programs.on_torch import make
    else:
        from benchmarks.programs.on_keras import make
    return make(model, workload, compiler)
