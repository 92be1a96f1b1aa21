"""Handwritten digits by their pixels, in order and permuted."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from common.reproduce import Run
from common.tasks.sequential_mnist import SequentialMNIST
from common.trials.answers import likeliest
from papers.tcn.networks import make_network

# Mean and standard deviation of the training images' pixels.
MEAN, DEVIATION = 0.1307, 0.3081


def digits(
    run: Run,
    *,
    permuted: bool,
    network: Mapping[str, Any],
    learning_rate: float,
    clip: float | None,
    batch_size: int,
    updates: int,
    examples: int | None = None,
) -> dict[str, float]:
    """Trains a network to name the digit after its last pixel; the last weights are tested.

    As in the authors' `pmnist_test.py`: pixels are normalised, and the learning rate is divided by
    10 half way, after ten epochs of twenty.

    Args:
        run: The run.
        permuted: Whether the pixels come in a random order, the same for all images.
        network: Arguments of `make_network` but for the widths of inputs and outputs.
        learning_rate: Of Adam, at first.
        clip: Norm that the gradient of an update is clipped to; `None` is not at all.
        batch_size: Images an update.
        updates: Number of updates.
        examples: Images of validation and test; `None` is all.

    Returns:
        In percent `accuracy` on the test set and `validation_accuracy`; the network's `parameters`.

    Raises:
        MissingFile: if MNIST is not there and can't be downloaded.
    """
    data_dir = None if run.data_dir is None else str(run.data_dir)
    task = SequentialMNIST(permuted=permuted, data_dir=data_dir)
    epoch = task.steps_per_epoch(batch_size)  # first of all, as it fails where MNIST is not
    net = make_network(input_dim=1, output_dim=10, return_sequences=False, **network)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [max(1, updates // 2)], [learning_rate, learning_rate / 10]
    )
    net.compile(
        keras.optimizers.Adam(schedule, global_clipnorm=clip),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # Keras has no XLA with torch.
        jit_compile=keras.backend.backend() != "torch",
    )

    def batches(step: int) -> tuple[np.ndarray, np.ndarray]:
        batch = task.batch(batch_size, run.seed, step)
        return normalised(batch["inputs"]), batch["targets"]

    def accuracy(split: str) -> float:
        arrays = {name: values[:examples] for name, values in task.arrays(split).items()}
        logits = net.predict(normalised(arrays["inputs"]), batch_size=batch_size, verbose=0)
        return 100 * float((likeliest(logits) == arrays["targets"]).mean())

    row = run.train(
        net,
        batches,
        steps=updates,
        evaluate=lambda: {"validation_accuracy": accuracy("validation")},
        eval_every=min(updates, epoch),
    )
    return {
        "accuracy": accuracy("test"),
        "validation_accuracy": row["validation_accuracy"],
        "parameters": float(net.count_params()),
    }


def normalised(pixels: np.ndarray) -> np.ndarray:
    """Pixels from 0 to 1, float32 of any shape, to zero mean and unit deviation."""
    return (pixels - np.float32(MEAN)) / np.float32(DEVIATION)
