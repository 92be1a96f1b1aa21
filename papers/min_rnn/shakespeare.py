"""Language models of tiny Shakespeare's characters: minimal RNNs, Mamba and a Transformer."""

import importlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from common.models import MLP, LanguageModel
from common.reproduce import Run
from common.tasks.shakespeare_characters import ALPHABET, ShakespeareCharacters
from common.tasks.task import Arrays


def shakespeare(
    run: Run,
    *,
    mixer: str,
    mixer_settings: Mapping[str, Any],
    units: int,
    num_layers: int,
    hidden_units: int,
    dropout: float,
    length: int,
    batch_size: int,
    learning_rate: float,
    steps: int,
    eval_every: int,
    eval_size: int | None = None,
    max_positions: int = 0,
) -> dict[str, float]:
    """Trains a language model on windows of characters; tests the weights best on validation data.

    Args:
        run: The run.
        mixer: `"package.module:class"` of the layer, of width `units`.
        mixer_settings: Its other settings.
        units: Width of the model.
        num_layers: Blocks.
        hidden_units: Of the MLP in every block.
        dropout: After the embedding and on what the blocks add.
        length: Characters of a window.
        batch_size: Windows of an update.
        learning_rate: Of AdamW, constant.
        steps: Updates.
        eval_every: Updates between validations.
        eval_size: Windows of validation and test; `None` is all.
        max_positions: Positions that are learned, 0 for none.

    Returns:
        Cross-entropy a character in nats: `loss` on the test split and `validation_loss`;
        `updates`, when the tested weights were reached.

    Raises:
        MissingFile: if the text is not there and can't be downloaded.
    """
    task = ShakespeareCharacters(length, None if run.data_dir is None else str(run.data_dir))
    validation, test = (
        {name: values[:eval_size] for name, values in task.arrays(split).items()}
        for split in ("validation", "test")
    )
    module, _, name = mixer.partition(":")
    layer = getattr(importlib.import_module(module), name)
    net = LanguageModel(
        len(ALPHABET),
        units,
        [layer(units, **mixer_settings) for _ in range(num_layers)],
        [MLP(hidden_units) for _ in range(num_layers)],
        dropout=dropout,
        max_positions=max_positions,
    )
    net.build((None, None))
    net.compile(
        keras.optimizers.AdamW(learning_rate, weight_decay=0.1, beta_2=0.99, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # Under XLA on a CPU the random numbers of the dropout take longer than all else.
        jit_compile=keras.backend.backend() == "jax" or not dropout,
    )

    def batches(step: int) -> tuple[np.ndarray, np.ndarray]:
        batch = task.batch(batch_size, run.seed, step)
        return batch["inputs"], batch["targets"]

    row = run.train(
        net,
        batches,
        steps=steps,
        evaluate=lambda: {"validation_loss": nats(net, validation, batch_size)},
        eval_every=eval_every,
        best=("min", "validation_loss"),
    )
    return {
        "loss": nats(net, test, batch_size),
        "validation_loss": row["validation_loss"],
        "updates": row["step"],
    }


def nats(net: keras.Model, windows: Arrays, batch_size: int) -> float:
    """Mean cross-entropy of a character."""
    logits = net.predict(windows["inputs"], batch_size=batch_size, verbose=0).astype("float64")
    named = np.take_along_axis(logits, windows["targets"][..., None], axis=-1)[..., 0]
    return float((np.logaddexp.reduce(logits, axis=-1) - named).mean())
