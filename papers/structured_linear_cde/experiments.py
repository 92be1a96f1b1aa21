"""Regular languages: a sequence layer in two blocks, trained on short words, tried on long ones."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from common.reproduce import Run
from common.tasks.frozen import evaluation_set
from common.tasks.regular_languages import RegularLanguage
from common.tasks.task import Arrays
from common.trials.answers import likeliest
from papers.structured_linear_cde.model import StackedBlocks

# What the paper's learning rate falls to, over what it starts from.
FINAL_RATE = 1e-5


def stacked(
    vocabulary_size: int,
    *,
    units: int,
    num_layers: int,
    mixer: str,
    mixer_settings: Mapping[str, Any],
    block: str,
    dropout: float,
) -> StackedBlocks:
    """Blocks around the layer `"package.module:class"` of width `units`."""
    layer = _import(mixer)
    mixers = [layer(units, **mixer_settings) for _ in range(num_layers)]
    return StackedBlocks(vocabulary_size, units, mixers, block, dropout)


def regular_language(
    run: Run,
    *,
    model: str,
    model_settings: Mapping[str, Any],
    units: int,
    language: str,
    training_lengths: Sequence[int],
    validation_lengths: Sequence[int],
    batch_size: int,
    steps: int,
    learning_rate: float,
    warmup: float,
    weight_decay: float,
    no_decay: Sequence[str],
    eval_every: int,
    eval_size: int,
    stop_accuracy: float,
    jit_compile: bool,
) -> dict[str, float]:
    """Trains a model on short words and validates it on long ones (section 5.2).

    The learning rate rises linearly in the first `warmup` of the steps and falls by a cosine to
    1e-5 in the others. Training ends with the first validation that is above `stop_accuracy`.

    Args:
        run: The run.
        model: `"package.module:factory"`, called with the vocabulary's size, `units` and the
            settings.
        model_settings: Arguments of the factory.
        units: Width of the model.
        language: Of `RegularLanguage`.
        training_lengths: Smallest and largest length of the words in training.
        validation_lengths: The same in validation.
        batch_size: Words a step.
        steps: Training steps at most.
        learning_rate: The largest.
        warmup: See above.
        weight_decay: Of AdamW.
        no_decay: Names of weights that do not decay.
        eval_every: Steps between validations.
        eval_size: Validation words.
        stop_accuracy: See above.
        jit_compile: Whether XLA compiles the training, where there is XLA.

    Returns:
        In percent the best accuracy of all validations, `accuracy`, and that of the last one,
        `final_accuracy`; and `updates`, the step of the best.
    """
    task = RegularLanguage(language, *training_lengths)
    longer = RegularLanguage(language, *validation_lengths)
    validation = evaluation_set(longer, "validation", eval_size, 0, run.data_dir)
    asked, answers = _asked(validation)
    keras.utils.set_random_seed(run.seed)
    net = _import(model)(task.vocabulary_size, units=units, **model_settings)
    net.build((None, None))
    rising = int(warmup * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if rising else learning_rate,
        steps - rising,
        alpha=FINAL_RATE / learning_rate,
        warmup_target=learning_rate if rising else None,
        warmup_steps=rising,
    )
    # torch's epsilon.
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=weight_decay, epsilon=1e-8)
    optimizer.exclude_from_weight_decay(var_names=list(no_decay))
    net.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile and keras.backend.backend() != "torch",
    )

    def evaluate() -> dict[str, float]:
        named = likeliest(net.predict(asked, batch_size=batch_size, verbose=0))
        return {"accuracy": 100 * float((named == answers).mean())}

    best = run.train(
        net,
        lambda step: _asked(task.batch(batch_size, run.seed, step)),
        steps=steps,
        evaluate=evaluate,
        eval_every=eval_every,
        stop=lambda history: history[-1]["accuracy"] > 100 * stop_accuracy,
        best=("max", "accuracy"),
    )
    return {
        "accuracy": best["accuracy"],
        "final_accuracy": run.history[-1]["accuracy"],
        "updates": best["step"],
    }


def _asked(batch: Arrays) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Inputs with the step that is asked at, `(B, 1)`, and the answers `(B, 1)`."""
    at = batch["weights"].argmax(axis=1)[:, None].astype("int32")
    targets = np.take_along_axis(batch["targets"], at, axis=1)
    return {"inputs": batch["inputs"], "at": at}, targets


def _import(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
