"""Functions without arguments that do one piece of work: forward, backward, train, step."""

from dataclasses import dataclass

import keras

from benchmarks.models import Model, draw
from benchmarks.programs.program import Program


@dataclass(frozen=True)
class Work:
    """A piece of work.

    Attributes:
        mode: "forward"; "forward+backward", the gradients in inputs and weights for a fixed
            upstream gradient; "train", a step of Adam on the mean of the squared outputs; "step",
            one step of decoding.
        compiler: "eager", "graph", "xla" (TensorFlow), "jit" (JAX).
        batch: sequences B.
        length: time steps T; "step" has one.
        dtype: of the inputs.
    """

    mode: str
    compiler: str
    batch: int
    length: int
    dtype: str


def make_program(model: Model, width: int, work: Work) -> Program:
    """The program that does `work` on inputs `(B, T, width)`, not called yet."""
    shape = (work.batch, width) if work.mode == "step" else (work.batch, work.length, width)
    inputs = draw(*shape)
    backend = "torch" if model.framework == "torch" else keras.backend.backend()
    if backend == "tensorflow":
        from benchmarks.programs.on_tensorflow import make
    elif backend == "jax":
        from benchmarks.programs.on_jax import make
    else:
        from benchmarks.programs.on_torch import make
    return make(model, work.mode, work.compiler, inputs, work.dtype)
