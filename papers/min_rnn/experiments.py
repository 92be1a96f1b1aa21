"""Parameters, training time against length, selective copying."""

import keras
import numpy as np

from common.reproduce import Run
from common.reproduce.execute.timing import layer_gradient_maker, measure_fastest
from common.tasks import MambaSelectiveCopying, evaluation_set
from common.trials.answers import likeliest
from papers.min_rnn.layers import MinGRU, MinLSTM
from papers.min_rnn.model import MinRNN

MINIMAL = {"mingru": MinGRU, "minlstm": MinLSTM}
BASELINES = {"mingru": keras.layers.GRU, "minlstm": keras.layers.LSTM}


def parameters(run: Run, *, cell: str, expansion: int, units: int) -> dict[str, float]:
    """Parameters of a minimal layer relative to its baseline, biases not counted (section 3)."""
    minimal = MINIMAL[cell](expansion * units)
    baseline = BASELINES[cell](expansion * units, use_bias=False)
    for layer in (minimal, baseline):
        layer.build((None, None, units))
    return {"fraction": int(np.prod(minimal.kernel.shape)) / baseline.count_params()}


def training_time(
    run: Run, *, cell: str, lengths: list[int], units: int, batch_size: int, samples: int
) -> dict[str, float]:
    """Forward and backward time of the baseline over the minimal layer's, at three lengths.

    The baseline is `keras.layers.GRU` or `LSTM`, a compiled loop over time. Both see the same
    `batch_size` sequences at every length and give gradients in inputs and weights. On TensorFlow
    both are compiled with and without XLA, and of each the faster one counts.
    """
    ratios: list[float] = []
    for length in lengths:
        layers = {
            "minimal": MINIMAL[cell](units),
            "baseline": BASELINES[cell](units, return_sequences=True),
        }
        shape = (batch_size, length, units)
        make = {name: layer_gradient_maker(one, shape, run.seed) for name, one in layers.items()}
        seconds = measure_fastest(make, samples)
        ratios.append(seconds["baseline"] / seconds["minimal"])
        run.log(
            step=length,
            ratio=ratios[-1],
            **{f"{name}_milliseconds": 1e3 * value for name, value in seconds.items()},
        )
    return {"first_ratio": ratios[0], "middle_ratio": ratios[-2], "last_ratio": ratios[-1]}


def selective_copying(
    run: Run,
    *,
    cell: str,
    num_layers: int,
    length: int,
    num_tokens: int,
    units: int,
    expansion: int,
    batch_size: int,
    learning_rate: float,
    steps: int,
    validation_size: int,
    test_size: int,
) -> dict[str, float]:
    """Trains on selective copying; tests the weights that are best on validation data, once.

    Returns:
        On the test set, the accuracy of the copied tokens and of whole sequences, in percent.
    """
    task = MambaSelectiveCopying(length=length, num_tokens=num_tokens)
    model = MinRNN(task.vocabulary_size, units, num_layers, cell, expansion)
    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=0.05, global_clipnorm=1.0)
    model.build((None, length + num_tokens))
    # The authors decay everything but the gates' projections.
    optimizer.exclude_from_weight_decay([mixer.kernel for mixer in model.mixers])
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() != "torch",
    )
    validation = evaluation_set(task, "validation", validation_size, run.seed, run.data_dir)

    def batches(step):
        batch = task.batch(batch_size, run.seed, step)
        return batch["inputs"], batch["targets"], batch["weights"]

    def score(held_out):
        logits = model.predict(held_out["inputs"], batch_size=batch_size, verbose=0)
        right = (likeliest(logits) == held_out["targets"])[:, -num_tokens:]
        return {
            "accuracy": 100 * float(right.mean()),
            "sequence_accuracy": 100 * float(right.all(-1).mean()),
        }

    run.train(
        model,
        batches,
        steps=steps,
        evaluate=lambda: score(validation),
        eval_every=max(1, steps // 10),
        best=("max", "accuracy"),
    )
    return score(evaluation_set(task, "test", test_size, run.seed, run.data_dir))
