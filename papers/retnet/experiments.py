"""Parameters, and decoding against the number of tokens before."""

from collections.abc import Sequence

import keras
from keras import ops

from common.layers import SequenceLayer, SoftmaxAttention
from common.models import count_parameters
from common.reproduce import Run
from common.reproduce.execute.timing import measure
from common.trials.decoding import STEPS, decode_loop
from papers.retnet.layers import Retention
from papers.retnet.model import SIZES, RetNet


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a language model of table 2, in millions."""
    return {"millions": count_parameters(lambda: RetNet(**SIZES[size])) / 1e6}


def decoding(
    run: Run,
    *,
    lengths: Sequence[int],
    units: int,
    num_heads: int,
    batch_size: int,
    samples: int,
) -> dict[str, float]:
    """A layer's decode step after so many tokens: retention, and attention with a cache (figure 6).

    The cache of attention holds the tokens before and grows with them; the state of retention is
    the same size after any number. Both are timed in a loop of steps compiled with XLA.

    Returns:
        Of retention and of attention, the time after the most tokens over that after the fewest,
        `retention_slowdown` and `attention_slowdown`; of both the same ratio of the bytes of the
        state, `retention_growth` and `attention_growth`; and after the most tokens how many times
        longer attention takes, `speedup`, and how many times more bytes it keeps, `memory_ratio`.
    """
    seconds: dict[str, list[float]] = {"retention": [], "attention": []}
    sizes: dict[str, list[int]] = {"retention": [], "attention": []}
    for length in lengths:
        layers: dict[str, SequenceLayer] = {
            "retention": Retention(units, num_heads),
            "attention": SoftmaxAttention(units, num_heads, window=length),
        }
        functions = {name: _decode(layer, batch_size, length) for name, layer in layers.items()}
        timings = measure(functions, samples=samples)
        for name, layer in layers.items():
            seconds[name].append(timings[name].median / STEPS)
            sizes[name].append(layer.state_bytes(batch_size))
        run.log(
            step=length,
            **{f"{name}_milliseconds": 1e3 * values[-1] for name, values in seconds.items()},
            **{f"{name}_bytes": values[-1] for name, values in sizes.items()},
        )
    return {
        **{f"{name}_slowdown": values[-1] / values[0] for name, values in seconds.items()},
        **{f"{name}_growth": values[-1] / values[0] for name, values in sizes.items()},
        "speedup": seconds["attention"][-1] / seconds["retention"][-1],
        "memory_ratio": sizes["attention"][-1] / sizes["retention"][-1],
    }


def _decode(layer: SequenceLayer, batch_size: int, length: int):
    """A function without arguments: steps after `length` tokens."""
    layer.build((None, None, layer.output_dim))
    inputs = keras.random.normal((batch_size, layer.output_dim), seed=0)
    state = layer.get_initial_state(batch_size)
    # What a step costs depends on the shapes only; the count is what it would be.
    state["position"] = ops.full((batch_size,), length, "int32")
    return decode_loop(layer.step, inputs, state)
