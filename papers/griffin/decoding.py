"""Latency of decoding: recurrent blocks and local attention against global attention."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from common.reproduce import Run
from common.reproduce.execute.timing import measure
from common.trials.decoding import STEPS, decode_loop, greedy
from papers.griffin.model import Griffin

VOCABULARY_SIZE = 256


def decoding(
    run: Run,
    *,
    blocks: Mapping[str, str],
    model_settings: Mapping[str, Any],
    lengths: list[int],
    batch_size: int,
    samples: int,
) -> dict[str, float]:
    """A step of greedy decoding after so many tokens, by models of random weights (Figure 4).

    Global attention holds all tokens before. What a step costs depends on the shapes alone, so the
    caches are of that length and empty. All models are timed in turns, in a loop of steps that is
    compiled with XLA.

    Args:
        run: The run.
        blocks: Of each model, as of `Griffin`: `hawk`, `griffin` and `transformer`.
        model_settings: Other settings of `Griffin`, the same for all.
        lengths: Tokens before the step.
        batch_size: Sequences.
        samples: Samples of each time.

    Returns:
        At the most tokens the transformer's time over that of either, `hawk_speedup` and
        `griffin_speedup`, and of every model the `..._growth`, its time there over that at the
        fewest tokens.
    """
    seconds: dict[str, list[float]] = {name: [] for name in blocks}
    for length in lengths:
        functions = {}
        for name, letters in blocks.items():
            model = Griffin(VOCABULARY_SIZE, blocks=letters, context=length, **model_settings)
            model.build((None, None))
            state = model.get_initial_state(batch_size)
            tokens = ops.zeros((batch_size,), "int32")
            functions[name] = decode_loop(model.step, tokens, state, greedy)
        timings = measure(functions, samples=samples)
        for name, timing in timings.items():
            seconds[name].append(timing.median / STEPS)
        run.log(
            step=length,
            **{f"{name}_milliseconds": 1e3 * values[-1] for name, values in seconds.items()},
        )
    last = {name: values[-1] for name, values in seconds.items()}
    return {
        **{f"{name}_speedup": last["transformer"] / last[name] for name in ("hawk", "griffin")},
        **{f"{name}_growth": values[-1] / values[0] for name, values in seconds.items()},
    }
