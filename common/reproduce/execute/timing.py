"""Timing of functions against each other, for experiments that measure speed."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def synchronise(result: object) -> None:
    """Waits until every tensor of `result` is computed; torch's may be among any backend's."""
    leaves = tree.flatten(result)
    if keras.backend.backend() == "jax":
        import jax

        # Leaves that JAX does not know, torch's, pass through.
        jax.block_until_ready(leaves)
        leaves = [leaf for leaf in leaves if not isinstance(leaf, jax.Array)]
    for leaf in leaves:
        if "CPU" in str(getattr(leaf, "device", "")):
            leaf.numpy()  # TensorFlow on the CPU: waits, and copies nothing
        elif type(leaf).__module__.startswith("torch"):
            leaf.detach().reshape(-1)[:1].cpu()
        else:
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
    first = {name: call_seconds(function) for name, function in functions.items()}
    return sample(functions, first, samples, sample_seconds)


def sample(
    functions: Mapping[str, Callable[[], object]],
    first: Mapping[str, float],
    samples: int,
    sample_seconds: float = 0.01,
    most_seconds: float = math.inf,
    least_samples: int = 5,
) -> dict[str, Timing]:
    """Times functions without arguments that were called before, interleaved.

    Args:
        functions: Name to function; what it returns is waited for.
        first: Name to the seconds its first call took.
        samples: Samples of each.
        sample_seconds: Least length of a sample; shorter calls are repeated within one.
        most_seconds: A function that was sampled for so long is not sampled again, once it has
            `least_samples`.
        least_samples: See `most_seconds`; two suffice after ten times as long.

    Returns:
        Name to `Timing`.
    """
    repeats = {}
    for name, function in functions.items():
        once = call_seconds(function)
        if once < sample_seconds:
            once = min(once, call_seconds(function))
        repeats[name] = math.ceil(sample_seconds / max(once, 1e-9))
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(samples):
        for name, function in functions.items():
            spent = repeats[name] * sum(seconds[name])
            enough = least_samples if spent < 10 * most_seconds else 2
            if spent > most_seconds and len(seconds[name]) >= enough:
                continue
            seconds[name].append(call_seconds(function, repeats[name]) / repeats[name])
    return {name: _timing(values, first[name]) for name, values in seconds.items()}


def call_seconds(function: Callable[[], object], repeats: int = 1) -> float:
    """Seconds that `repeats` calls take, until everything the last one returned is computed."""
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


def compiled_gradient(loss: Callable, jit_compile: bool = True) -> Callable:
    """The gradient of a scalar function of tensors, in all of them, compiled as `compiled` does."""
    backend = keras.backend.backend()
    gradient: Callable
    if backend == "tensorflow":
        import tensorflow as tf

        def gradient(*inputs: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                value = loss(*inputs)
            return tape.gradient(value, inputs)

    elif backend == "jax":
        import jax

        def gradient(*inputs: Any) -> Any:
            return jax.grad(loss, argnums=tuple(range(len(inputs))))(*inputs)

    else:

        def gradient(*inputs: Any) -> Any:
            watched = [x.detach().requires_grad_() for x in inputs]
            loss(*watched).backward()
            return [x.grad for x in watched]

    return compiled(gradient, jit_compile)


def measure_fastest(
    make: Mapping[str, Callable[[bool], Callable[[], object]]], samples: int
) -> dict[str, float]:
    """Median seconds of functions, each under the compiler that suits it best.

    Args:
        make: Name to what makes a function without arguments, given whether to compile with XLA.
            Only TensorFlow has the choice; elsewhere it is true.
        samples: Samples of each.

    Returns:
        Name to seconds.
    """
    modes = (False, True) if keras.backend.backend() == "tensorflow" else (True,)
    functions = {(name, jit): one(jit) for name, one in make.items() for jit in modes}
    named = {f"{name} {jit}": function for (name, jit), function in functions.items()}
    timings = measure(named, samples=samples)
    return {name: min(timings[f"{name} {jit}"].median for jit in modes) for name in make}


def gradient_maker(loss: Callable, inputs: Sequence) -> Callable[[bool], Callable[[], object]]:
    """What makes the gradients of a scalar `loss` in all of its `inputs`, for `measure_fastest`."""

    def make(jit_compile: bool) -> Callable[[], object]:
        gradient = compiled_gradient(loss, jit_compile)
        return lambda: gradient(*inputs)

    return make


def layer_gradient_maker(
    layer: keras.Layer, shape: tuple[int, int, int], seed: int
) -> Callable[[bool], Callable[[], object]]:
    """What makes the gradients of a layer in inputs and weights, for `measure_fastest`.

    Args:
        layer: From `(B, T, D)` to a tensor of that shape.
        shape: B, T and D of the inputs and of the upstream gradient, which are drawn.
        seed: Of both.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    inputs, upstream = (
        keras.ops.convert_to_tensor(x) for x in rng.standard_normal((2, *shape)).astype("float32")
    )
    layer.build(shape)
    weights = [variable.value for variable in layer.trainable_variables]
    # Keras's own recurrent layers have a seed among theirs.
    others = [variable.value for variable in layer.non_trainable_variables]

    def loss(inputs: Any, upstream: Any, *weights: Any) -> Any:
        outputs, _ = layer.stateless_call(list(weights), others, inputs)
        return keras.ops.sum(outputs * upstream)

    return gradient_maker(loss, (inputs, upstream, *weights))


def exponent(lengths: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of log time against log length, by least squares: 1 is linear, 2 quadratic."""
    import numpy as np

    return float(np.polyfit(np.log(lengths), np.log(seconds), 1)[0])
