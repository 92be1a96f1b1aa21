"""Timing of functions against each other, for experiments that measure speed."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
from keras import tree


@dataclass(frozen=True)
class Timing:
    """Seconds a call takes: the median of `samples` samples, their p20 and p80.

    `first` is the seconds of the first call, compilation included.
    """

    median: float
    p20: float
    p80: float
    samples: int
    first: float


def synchronise(result) -> None:
    """Waits until every tensor of `result` is computed."""
    leaves = tree.flatten(result)
    if keras.backend.backend() == "jax":
        import jax

        jax.block_until_ready(leaves)
        return
    for leaf in leaves:
        # Reading back one element waits for the device, and moves no more than it must.
        keras.ops.convert_to_numpy(keras.ops.ravel(leaf)[:1])


def measure(
    functions: Mapping[str, Callable[[], object]],
    samples: int = 15,
    sample_seconds: float = 0.01,
) -> dict[str, Timing]:
    """Times functions without arguments, interleaved, after one warm-up call of each.

    Args:
        functions: Name to function; what it returns is waited for.
        samples: Samples of each.
        sample_seconds: Least length of a sample; shorter calls are repeated within one.

    Returns:
        Name to `Timing`.
    """
    first, repeats = {}, {}
    for name, function in functions.items():
        first[name] = _seconds(function, 1)
    for name, function in functions.items():
        repeats[name] = max(1, round(sample_seconds / max(_seconds(function, 1), 1e-9)))
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(samples):
        for name, function in functions.items():
            seconds[name].append(_seconds(function, repeats[name]) / repeats[name])
    return {name: _timing(values, first[name]) for name, values in seconds.items()}


def _seconds(function: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        result = function()
    synchronise(result)
    return time.perf_counter() - start


def _timing(values: list[float], first: float) -> Timing:
    p20, *_, p80 = statistics.quantiles(values, n=5, method="inclusive")
    return Timing(statistics.median(values), p20, p80, len(values), first)


def compiled(function: Callable, jit_compile: bool = True) -> Callable:
    """`function` compiled by the backend: `tf.function`, `jax.jit`, or as it is on torch."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=jit_compile, autograph=False)
    if backend == "jax":
        import jax

        return jax.jit(function)
    return function


def exponent(lengths, seconds) -> float:
    """Slope of log time against log length, by least squares: 1 is linear, 2 quadratic."""
    import numpy as np

    return float(np.polyfit(np.log(lengths), np.log(seconds), 1)[0])
