"""Induction head and associative recall, as in the authors' code (HazyResearch/safari)."""

import math

import keras
import numpy as np
from keras import ops

import common.tasks
from common.reproduce import Run
from common.tasks import evaluation_set
from common.trials.answers import likeliest
from papers.h3.model import H3Model


@keras.saving.register_keras_serializable(package="papers")
class Annealed(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise, then a fall by a cosine to a tenth or in a line to zero.

    The cosine is of all steps, not of those after the rise, as in the library that the authors
    use.

    Args:
        peak: Highest learning rate.
        steps: Number of steps.
        rising: Steps of the rise, 0 to `peak`.
        shape: `"cosine"` or `"linear"`.
    """

    def __init__(self, peak: float, steps: int, rising: int, shape: str):
        self.peak = peak
        self.steps = steps
        self.rising = rising
        self.shape = shape

    def __call__(self, step):
        step = ops.cast(step, "float32")
        if self.shape == "cosine":
            fall = 0.1 + 0.45 * (1 + ops.cos(math.pi * step / self.steps))
        else:
            fall = (self.steps - step) / (self.steps - self.rising)
        return self.peak * ops.where(step < self.rising, step / self.rising, fall)

    def get_config(self):
        return {
            "peak": self.peak,
            "steps": self.steps,
            "rising": self.rising,
            "shape": self.shape,
        }


def synthetic(
    run: Run,
    *,
    task: str,
    task_settings: dict,
    mixer: str,
    units: int,
    state_dim: int,
    epochs: int,
    schedule: str,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    evaluations: int,
    stop_after: int,
    discretisation: str = "bilinear",
    attention_dropout: float = 0.0,
) -> dict[str, float]:
    """Trains on every next token of a finite set; accuracy at the last one on unseen examples.

    Training stops after `stop_after` evaluations in a row with a validation accuracy of 100 %; of
    the weights then, or at the end, the test accuracy is returned.
    """
    source = getattr(common.tasks, task)(**task_settings)
    window = source.arrays("train")["inputs"].shape[1]
    model = H3Model(
        source.vocabulary_size,
        units,
        mixer=mixer,
        state_dim=state_dim,
        discretisation=discretisation,
        window=window,
        attention_dropout=attention_dropout,
    )
    model.build((None, None))
    steps = epochs * source.steps_per_epoch(batch_size)
    optimizer = keras.optimizers.AdamW(
        Annealed(learning_rate, steps, steps // 10, schedule),
        weight_decay=weight_decay,
        epsilon=1e-8,
    )
    optimizer.exclude_from_weight_decay(var_names=model.no_decay)
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # Under XLA the random numbers of the dropout take more than half of a step on a CPU: it
        # fuses the scrambling of the seed into every element.
        jit_compile=keras.backend.backend() == "jax",
    )

    def batches(step):
        batch = source.batch(batch_size, run.seed, step)
        # The last batch of an epoch is smaller. Filled up with rows that do not count, it has the
        # shape of the others, for which the step is compiled, and the same mean loss.
        size = len(batch["inputs"])
        rows = np.arange(batch_size) % size
        counts = (np.arange(batch_size) < size) * np.float32(batch_size / size)
        weights = batch["weights"][rows] * counts[:, None].astype("float32")
        return batch["inputs"][rows], batch["targets"][rows], weights

    held_out = {
        split: evaluation_set(source, split, data_dir=run.data_dir)
        for split in ("validation", "test")
    }

    def accuracy(split):
        arrays = held_out[split]
        logits = model.predict(arrays["inputs"], batch_size=500, verbose=0)
        return 100 * float((likeliest(logits[:, -1]) == arrays["targets"][:, -1]).mean())

    def solved(history):
        last = history[-stop_after:]
        return len(last) == stop_after and all(row["validation_accuracy"] == 100 for row in last)

    row = run.train(
        model,
        batches,
        steps=steps,
        evaluate=lambda: {"validation_accuracy": accuracy("validation")},
        eval_every=max(1, steps // evaluations),
        stop=solved,
    )
    return {
        "accuracy": accuracy("test"),
        "validation_accuracy": row["validation_accuracy"],
        "updates": row["step"],
    }
