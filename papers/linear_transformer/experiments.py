"""The paper's experiments: duplication, time against length, generation."""

from functools import partial

import keras
import numpy as np
from keras import ops

from common.layers import SoftmaxAttention
from common.reproduce import Run
from common.reproduce.execute.timing import (
    compiled,
    exponent,
    layer_gradient_maker,
    measure,
    measure_fastest,
)
from common.tasks import SequenceDuplication, evaluation_set
from common.trials.answers import likeliest
from common.trials.decoding import STEPS, decode_loop, greedy
from papers.linear_transformer.layers import LinearAttention
from papers.linear_transformer.model import LinearTransformer


def duplication(
    run: Run,
    *,
    attention: str,
    length: int,
    units: int,
    num_layers: int,
    num_heads: int,
    batch_size: int,
    steps: int,
    drop_at: int,
    test_size: int,
) -> dict[str, float]:
    """Trains on sequence duplication (section 4.1.1) and scores the copied half.

    Learning rate 1e-3, then 1e-4 from update `drop_at` on, decoupled weight decay 0.01 and each
    weight's gradient clipped to norm 1, as in the authors' code; AdamW in place of RAdam.
    """
    task = SequenceDuplication(length=length)
    model = LinearTransformer(
        task.symbols + 1, units, num_layers, num_heads, max_length=length, attention=attention
    )
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([drop_at], [1e-3, 1e-4])
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.01, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    # Without the separator, whose place no model can predict: a perfect copy scores 0 and 1.
    scored = SequenceDuplication(length=length, score_separator=False)
    test = evaluation_set(scored, "test", test_size, run.seed, run.data_dir)

    def batches(step):
        batch = task.batch(batch_size, run.seed, step)
        return batch["inputs"], batch["targets"], batch["weights"]

    def evaluate():
        logits = model.predict(test["inputs"], batch_size=batch_size, verbose=0)
        logits = logits - logits.max(-1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        nats = -np.take_along_axis(log_p, test["targets"][..., None], -1)[..., 0]
        right = likeliest(logits) == test["targets"]
        weights = test["weights"]
        return {
            "copy_loss": float((nats * weights).sum() / weights.sum()),
            "copy_accuracy": float((right * weights).sum() / weights.sum()),
        }

    row = run.train(model, batches, steps=steps, evaluate=evaluate, eval_every=max(1, steps // 10))
    return {name: row[name] for name in ("copy_loss", "copy_accuracy")}


def scaling(
    run: Run, *, attention: str, lengths: list[int], units: int, num_heads: int, samples: int
) -> dict[str, float]:
    """Forward and backward time of one attention layer against the length (section 4.1.2).

    Gradients in the inputs and all weights, of one sequence; on TensorFlow each length is compiled
    with and without XLA, and the faster one counts.
    """
    make = {}
    for length in lengths:
        layer = make_attention(attention, units, num_heads, length)
        make[str(length)] = layer_gradient_maker(layer, (1, length, units), run.seed)
    fastest = measure_fastest(make, samples)
    seconds = [fastest[str(length)] for length in lengths]
    for length, value in zip(lengths, seconds, strict=True):
        run.log(step=length, milliseconds=1e3 * value)
    # The slope over the longer half, where constant costs no longer hide it.
    half = len(lengths) // 2
    return {
        "exponent": exponent(lengths[half:], seconds[half:]),
        "milliseconds": 1e3 * seconds[-1],
        "first_milliseconds": 1e3 * seconds[0],
    }


def make_attention(attention: str, units: int, num_heads: int, length: int):
    """A linear or softmax attention layer for sequences of `length`."""
    if attention == "linear":
        return LinearAttention(units, num_heads)
    return SoftmaxAttention(units, num_heads, window=length)


def generation(
    run: Run,
    *,
    attention: str,
    cached: bool,
    length: int,
    units: int,
    num_layers: int,
    num_heads: int,
    batch_size: int,
    samples: int,
    points: int,
) -> dict[str, float]:
    """Sequences a second when generating `length` symbols greedily (section 4.2, supplement).

    Cached and linear: the time of a step in a compiled loop, at the first and at the last
    positions, times the length. Uncached: the whole prefix is computed again for every symbol; its
    time is measured at `points` prefix lengths and summed up over all by linear interpolation.
    """
    vocabulary_size = 256
    model = LinearTransformer(
        vocabulary_size, units, num_layers, num_heads, max_length=length, attention=attention
    )
    model.build((batch_size, length))
    symbols = np.zeros((batch_size, length), "int32")
    if cached:
        steps = min(STEPS, length // 2)
        loop = partial(decode_loop, model.step, ops.convert_to_tensor(symbols[:, 0]))
        early = model.get_initial_state(batch_size)
        late = {**early, "position": ops.full((batch_size,), length - steps, "int32")}
        functions = {
            "early": loop(early, greedy, steps),
            "late": loop(late, greedy, steps),
        }
        timings = measure(functions, samples=samples)
        seconds = length * (timings["early"].median + timings["late"].median) / 2 / steps
        slowdown = timings["late"].median / timings["early"].median
    else:
        forward = compiled(lambda inputs: model(inputs)[:, -1])
        prefixes = np.unique(np.geomspace(length // 16, length, points).round().astype(int))
        inputs = {str(n): ops.convert_to_tensor(symbols[:, :n]) for n in prefixes}
        timings = measure({n: partial(forward, x) for n, x in inputs.items()}, samples=samples)
        medians = [timings[str(n)].median for n in prefixes]
        seconds = float(np.interp(np.arange(1, length + 1), prefixes, medians).sum())
        slowdown = medians[-1] / medians[0]
    return {"sequences_per_second": batch_size / seconds, "slowdown": slowdown}
