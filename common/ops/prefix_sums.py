"""Where recurrences are solved by prefix sums instead of a loop over time."""

from functools import cache

import keras


@cache
def prefers_prefix_sums() -> bool:
    """Whether to solve a linear recurrence in log T passes over all steps at once.

    On an accelerator a step of a loop takes as long as the launch of its kernels, however little
    it computes, and the passes win. On a CPU the loop does, which goes over memory once.
    TensorFlow keeps the loop everywhere: its XLA does not compile `keras.ops.associative_scan`.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    return False
