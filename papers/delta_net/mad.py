"""The tasks of MAD (Table 3): DeltaNet, and the layers that the table and others have beside it."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from common.models import GatedMLP, LanguageModel
from common.reproduce import Run
from common.tasks import MADSelectiveCopying, evaluation_set
from common.tasks.mad import MADRecall
from common.tasks.task import Arrays
from common.trials.answers import likeliest
from common.trials.labelling import EVALUATION_SEED, accuracy

TASKS = {"recall": MADRecall, "selective_copying": MADSelectiveCopying}


def mad(
    run: Run,
    *,
    task: str,
    task_settings: Mapping[str, Any],
    mixer: str,
    mixer_settings: Mapping[str, Any],
    units: int,
    num_layers: int,
    hidden_units: int,
    batch_size: int,
    steps: int,
    learning_rates: Sequence[float],
    weight_decay: float,
    eval_every: int,
    eval_size: int,
    test_size: int,
    stop_accuracy: float,
) -> dict[str, float]:
    """Trains a stack of one layer and gated MLPs on a task of MAD, drawn anew at every update.

    The learning rate falls by a cosine to 1e-6. Training ends with the first validation that
    reaches `stop_accuracy`, and so does the sweep over the learning rates, of which the best on
    validation data counts.

    Args:
        run: The run.
        task: A name in `TASKS`.
        task_settings: Its settings.
        mixer: `"package.module:class"` of the layer, of width `units`.
        mixer_settings: Its other settings.
        units: Width of the model.
        num_layers: Blocks.
        hidden_units: Of the SwiGLU in every block; 0 for blocks without.
        batch_size: Sequences of an update.
        steps: Updates at most.
        learning_rates: To be swept over.
        weight_decay: Of AdamW.
        eval_every: Updates between validations.
        eval_size: Validation sequences.
        test_size: Test sequences.
        stop_accuracy: See above.

    Returns:
        In percent the `accuracy` of the answers on the test set, by the weights that were best on
        the validation set; their `learning_rate`, and `updates`, when they were reached.
    """
    source = TASKS[task](**task_settings)
    validation, test = (
        evaluation_set(source, split, size, EVALUATION_SEED, run.data_dir)
        for split, size in (("validation", eval_size), ("test", test_size))
    )

    def percent(net: keras.Model, arrays: Arrays) -> float:
        logits = net.predict(arrays["inputs"], batch_size=batch_size, verbose=0)
        return 100 * accuracy(likeliest(logits), arrays)

    module, _, name = mixer.partition(":")
    layer = getattr(importlib.import_module(module), name)
    best: dict[str, Any] = {"accuracy": -1.0}
    for learning_rate in learning_rates:
        keras.utils.set_random_seed(run.seed)
        net = LanguageModel(
            source.vocabulary_size,
            units,
            [layer(units, **mixer_settings) for _ in range(num_layers)],
            [GatedMLP(hidden_units) if hidden_units else None for _ in range(num_layers)],
        )
        net.build((None, None))
        schedule = keras.optimizers.schedules.CosineDecay(
            learning_rate, steps, alpha=1e-6 / learning_rate
        )
        net.compile(
            # torch's epsilon.
            keras.optimizers.AdamW(schedule, weight_decay=weight_decay, epsilon=1e-8),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=keras.backend.backend() != "torch",
        )

        def batches(step: int) -> tuple[np.ndarray, ...]:
            batch = source.batch(batch_size, run.seed, step)
            return batch["inputs"], batch["targets"], batch["weights"]

        def evaluate(net: keras.Model = net) -> dict[str, float]:
            return {"accuracy": percent(net, validation)}

        row = run.train(
            net,
            batches,
            steps=steps,
            evaluate=evaluate,
            eval_every=eval_every,
            best=("max", "accuracy"),
            stop=lambda history: history[-1]["accuracy"] >= stop_accuracy,
            name="train" if len(learning_rates) == 1 else f"train-{learning_rate:g}",
        )
        if row["accuracy"] > best["accuracy"]:
            best = {**row, "learning_rate": learning_rate, "net": net}
        if row["accuracy"] >= stop_accuracy:
            break
    run.save(best["net"])
    return {
        "accuracy": percent(best["net"], test),
        "learning_rate": best["learning_rate"],
        "updates": best["step"],
    }
