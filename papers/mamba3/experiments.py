"""Formal languages with words that grow in training (appendix D), and parameters."""

import importlib
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

import common.tasks
from common.models import GatedMLP, LanguageModel, count_parameters
from common.reproduce import Run
from common.reproduce.execute.training import Diverged
from common.tasks import evaluation_set
from common.tasks.task import Arrays
from common.trials.answers import likeliest
from papers.mamba3.model import SIZES, Mamba3LM

# Test and validation sets are the same for all seeds.
EVALUATION_SEED = 0
WARMUP = 0.1


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a language model, in millions."""
    return {"millions": count_parameters(lambda: Mamba3LM(**SIZES[size])) / 1e6}


def stacked(
    vocabulary_size: int,
    units: int,
    num_layers: int,
    mixer: str,
    mixer_settings: Mapping[str, Any],
) -> LanguageModel:
    """Mamba-3's blocks around the layer `"package.module:class"` of width `units`."""
    module, _, name = mixer.partition(":")
    layer = getattr(importlib.import_module(module), name)
    mixers = [layer(units, **mixer_settings) for _ in range(num_layers)]
    mlps = [GatedMLP(2 * units) for _ in range(num_layers)]
    return LanguageModel(vocabulary_size, units, mixers, mlps)


def state_tracking(
    run: Run,
    *,
    task: str,
    task_settings: Mapping[str, Any],
    mixer: str,
    mixer_settings: Mapping[str, Any],
    num_layers: int,
    widths: Sequence[int],
    learning_rates: Sequence[float],
    min_length: int,
    stages: Sequence[int],
    stage_steps: int,
    batch_size: int,
    short_length: int,
    test_length: int,
    eval_every: int,
    eval_size: int,
    test_size: int,
    stop_accuracy: float,
    jit_compile: bool,
) -> dict[str, float]:
    """Trains on words up to a length that grows, and tests on longer ones.

    Of every width and learning rate a model is trained from the same seed. The weights of the best
    evaluation on validation words, which are as long as the test's, are tested, once. Training
    ends with an evaluation that reaches `stop_accuracy`, and so do the widths and rates.

    Args:
        run: The run.
        task: Name of a task in `common.tasks` with lengths.
        task_settings: Its other settings.
        mixer: Of `stacked`, as are `mixer_settings` and `num_layers`.
        mixer_settings: See `mixer`.
        num_layers: See `mixer`.
        widths: Of the model, to be swept over.
        learning_rates: To be swept over: AdamW's, after a rise in the first tenth of the updates
            and before a fall to 0 by a cosine.
        min_length: Of the words in training.
        stages: The largest lengths, one after another.
        stage_steps: Updates with each.
        batch_size: Words of an update.
        short_length: The largest of the short words.
        test_length: Of the validation and test words.
        eval_every: Updates between evaluations.
        eval_size: Validation words.
        test_size: Test words.
        stop_accuracy: See above; as a share of the words, not scaled.
        jit_compile: Whether XLA compiles the training, where there is XLA.

    Returns:
        In percent of what is above guessing `scaled_accuracy` of the test, `short_accuracy` of
        short words, and `validation_accuracy`; the best `learning_rate` and width `units`, and
        `updates`, the step of the tested weights.
    """
    make = getattr(common.tasks, task)
    longer = make(min_length=test_length, max_length=test_length, **task_settings)
    sources = [make(min_length=min_length, max_length=most, **task_settings) for most in stages]
    shorter = make(min_length=min_length, max_length=short_length, **task_settings)
    validation, test, short = (
        evaluation_set(source, split, size, EVALUATION_SEED, run.data_dir)
        for source, split, size in (
            (longer, "validation", eval_size),
            (longer, "test", test_size),
            (shorter, "test", test_size),
        )
    )
    steps = len(stages) * stage_steps

    def batches(step: int) -> tuple:
        return _asked(sources[step // stage_steps].batch(batch_size, run.seed, step))

    def accuracy(net: keras.Model, words: Arrays) -> float:
        asked, answers = _asked(words)
        named = likeliest(net.predict(asked, batch_size=batch_size, verbose=0))
        return float((named == answers).mean())

    best: dict[str, float] = {}
    weights, tested = None, None
    for units, learning_rate in itertools.product(widths, learning_rates):
        keras.utils.set_random_seed(run.seed)
        net = stacked(longer.vocabulary_size, units, num_layers, mixer, mixer_settings)
        net.build((None, None))
        rising = math.ceil(WARMUP * steps)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps - rising), warmup_target=learning_rate, warmup_steps=rising
        )
        net.compile(
            keras.optimizers.AdamW(schedule, weight_decay=0.0, global_clipnorm=1.0),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=jit_compile and keras.backend.backend() != "torch",
        )

        def evaluate(net: keras.Model = net) -> dict[str, float]:
            return {"accuracy": accuracy(net, validation)}

        try:
            row = run.train(
                net,
                batches,
                steps=steps,
                evaluate=evaluate,
                eval_every=eval_every,
                stop=lambda history: history[-1]["accuracy"] >= stop_accuracy,
                best=("max", "accuracy"),
                name=f"train-{units}-{learning_rate:g}",
            )
        except Diverged:
            continue
        if weights is None or row["accuracy"] > best["accuracy"]:
            best = {**row, "units": units, "learning_rate": learning_rate}
            weights, tested = net.get_weights(), net
        if row["accuracy"] >= stop_accuracy:
            break
    if tested is None:
        raise Diverged(0, "every learning rate's loss")
    tested.set_weights(weights)
    run.save(tested)
    chance = longer.chance

    def scaled(share: float) -> float:
        return 100 * (share - chance) / (1 - chance)

    return {
        "scaled_accuracy": scaled(accuracy(tested, test)),
        "short_accuracy": scaled(accuracy(tested, short)),
        "validation_accuracy": scaled(best["accuracy"]),
        "learning_rate": best["learning_rate"],
        "units": best["units"],
        "updates": best["step"],
    }


def _asked(batch: Arrays) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Inputs with the step that is asked at, `(B, 1)`, and the answers `(B, 1)`."""
    at = batch["weights"].argmax(axis=1)[:, None].astype("int32")
    return {"inputs": batch["inputs"], "at": at}, np.take_along_axis(batch["targets"], at, axis=1)
