"""Speed of the scans. The training experiments run `common.trials.labelling`."""

import numpy as np
from keras import ops

from common.ops.linear_scan import linear_scan
from common.reproduce import Run
from common.reproduce.execute.timing import compiled, compiled_gradient, exponent, measure


def native_scan(a, b):
    """`h_t = a_t h_{t-1} + b_t` through `keras.ops.scan`, the backend's own loop."""

    def step(h, x):
        h = x[0] * h + x[1]
        return h, h

    inputs = tuple(ops.swapaxes(x, 0, 1) for x in (a, b))
    _, h = ops.scan(step, ops.zeros_like(b[:, 0]), inputs)
    return ops.swapaxes(h, 0, 1)


def associative_scan(a, b):
    """The same by the tree of prefix sums, `keras.ops.associative_scan`."""

    def combine(first, second):
        return first[0] * second[0], first[1] * second[0] + second[1]

    return ops.associative_scan(combine, (a, b), axis=1)[1]


SCANS = {
    "linear": lambda a, b: linear_scan(a, b)[0],
    "native": native_scan,
    "associative": associative_scan,
}


def speed(
    run: Run, *, backward: bool, lengths: list[int], batch_size: int, units: int, samples: int
) -> dict[str, float]:
    """Times `linear_scan` and the scans that Keras offers on the same decays and inputs.

    All three are compiled, without XLA, under which TensorFlow has no `associative_scan`. The
    ratios are those of the longest sequence.

    Args:
        run: The run.
        backward: Whether to time the gradients in both arguments too.
        lengths: T, in ascending order.
        batch_size: Number of sequences.
        units: Channels.
        samples: Samples of each time.

    Returns:
        `exponent` of the time of `linear_scan` in T, 1 if linear; `native_ratio` and
        `associative_ratio`, the times of the others over its own; `associative_native_ratio`.
    """
    seconds = []
    for length in lengths:
        rng = np.random.default_rng(run.seed)
        shape = (batch_size, length, units)
        a = ops.convert_to_tensor(rng.uniform(0.9, 0.999, shape).astype("float32"))
        b = ops.convert_to_tensor(rng.standard_normal(shape).astype("float32"))
        functions = {name: _timed(scan, a, b, backward) for name, scan in SCANS.items()}
        timings = measure(functions, samples=samples)
        seconds.append({name: timing.median for name, timing in timings.items()})
        run.log(step=length, **{f"{name}_milliseconds": 1e3 * t for name, t in seconds[-1].items()})
    last = seconds[-1]
    return {
        "exponent": exponent(lengths, [one["linear"] for one in seconds]),
        "native_ratio": last["native"] / last["linear"],
        "associative_ratio": last["associative"] / last["linear"],
        "associative_native_ratio": last["associative"] / last["native"],
    }


def _timed(scan, a, b, backward: bool):
    """A function without arguments: the scan, or its gradients, compiled."""
    function = compiled(scan, jit_compile=False)
    if backward:
        function = compiled_gradient(lambda a, b: ops.mean(ops.square(scan(a, b))), False)
    return lambda: function(a, b)
