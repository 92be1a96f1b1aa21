"""Flip-flop language modelling (section 4.1): one rate of distraction to train, three to test."""

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import keras

from common.layers import LSTM
from common.models import LanguageModel
from common.reproduce import Run
from common.tasks import evaluation_set
from common.tasks.flip_flop import FlipFlop
from common.tasks.task import Arrays
from common.trials.answers import likeliest
from papers.path_attention.model import PaTH

# The rates of Liu et al., section 4: of training, with few acts, and with many.
RATES = {"id": 0.8, "sparse": 0.98, "dense": 0.1}
# Test and validation sets are the same for all seeds.
EVALUATION_SEED = 0


# Table 1's models.
rotary, fox, path = (partial(PaTH, attention=name) for name in ("rotary", "fox", "path"))


def lstm(vocabulary_size: int, units: int) -> LanguageModel:
    """An LSTM of one layer between an embedding and logits, with a norm before each."""
    return LanguageModel(vocabulary_size, units, [LSTM(units)])


@keras.saving.register_keras_serializable(package="papers")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to `peak` in `warmup` updates, and falls linearly to 0 at update `steps`."""

    def __init__(self, peak: float, warmup: int, steps: int):
        super().__init__()
        self.peak, self.warmup, self.steps = peak, warmup, steps

    def __call__(self, step: Any) -> Any:
        done = keras.ops.cast(step, "float32") + 1.0
        falling = (self.steps + 1.0 - done) / (self.steps + 1.0 - self.warmup)
        return self.peak * keras.ops.clip(keras.ops.minimum(done / self.warmup, falling), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup": self.warmup, "steps": self.steps}


def flip_flop(
    run: Run,
    *,
    model: str,
    model_settings: Mapping[str, Any],
    length: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    warmup: int,
    weight_decay: float,
    eval_every: int,
    eval_size: int,
    tests: Mapping[str, int],
) -> dict[str, float]:
    """Trains a language model on the bits that are read; tests the weights at the end.

    Args:
        run: The run.
        model: `"package.module:factory"`, called with `vocabulary_size` and the settings.
        model_settings: Arguments of the factory.
        length: Symbols of a sequence.
        steps: Updates.
        batch_size: Sequences of an update.
        learning_rate: At its highest, after `warmup`.
        warmup: Updates in which it rises from 0; it falls to 0 over the others.
        weight_decay: Of AdamW, on kernels and the embedding.
        eval_every: Updates between evaluations.
        eval_size: Validation sequences, like those of training.
        tests: Name of a rate in `RATES` to the number of sequences of its test.

    Returns:
        `error_<name>` for each test, in percent of the bits that are read.
    """
    source = FlipFlop(length, RATES["id"])
    validation = evaluation_set(source, "validation", eval_size, EVALUATION_SEED, run.data_dir)
    tested = {
        name: evaluation_set(
            FlipFlop(length, RATES[name]), "test", size, EVALUATION_SEED, run.data_dir
        )
        for name, size in tests.items()
    }
    module, _, name = model.partition(":")
    net = getattr(importlib.import_module(module), name)(
        vocabulary_size=source.vocabulary_size, **model_settings
    )
    net.build((None, None))
    optimizer = keras.optimizers.AdamW(
        LinearDecay(learning_rate, warmup, steps), weight_decay, global_clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "scale"])
    net.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() != "torch",
    )

    def batches(step: int) -> tuple:
        batch = source.batch(batch_size, run.seed, step)
        return batch["inputs"], batch["targets"], batch["weights"]

    def error(arrays: Arrays) -> float:
        named = likeliest(net.predict(arrays["inputs"], batch_size=4 * batch_size, verbose=0))
        wrong = (named != arrays["targets"]) * arrays["weights"]
        return float(100 * wrong.sum() / arrays["weights"].sum())

    run.train(
        net,
        batches,
        steps=steps,
        evaluate=lambda: {"validation_error": error(validation)},
        eval_every=eval_every,
    )
    return {f"error_{name}": error(arrays) for name, arrays in tested.items()}
