"""The synthetic stress tests: the adding problem and the copy memory task."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from common.reproduce import Run
from common.tasks.adding_problem import AddingProblem
from common.tasks.copy_memory import CopyMemory
from common.tasks.frozen import evaluation_set
from common.tasks.task import Arrays
from papers.tcn.networks import make_network

# Of the evaluation sets.
SEED = 0

# Keras has no XLA with torch.
_JIT = keras.backend.backend() != "torch"


def adding(
    run: Run,
    *,
    length: int,
    network: Mapping[str, Any],
    learning_rate: float,
    clip: float | None,
    batch_size: int,
    updates: int,
    eval_every: int,
    test_size: int,
    narrowing: int = 1,
) -> dict[str, float]:
    """Trains a network on the adding problem, on fresh examples; the last weights are tested.

    Args:
        run: The run.
        length: Steps of a sequence.
        network: Arguments of `make_network` but for the widths of inputs and outputs.
        learning_rate: Of Adam.
        clip: Norm that the gradient of an update is clipped to; `None` is not at all.
        batch_size: Sequences an update.
        updates: Number of updates.
        eval_every: Updates between looks at the test set.
        test_size: Sequences of the test set.
        narrowing: What the width of the network's layers is divided by.

    Returns:
        The mean squared error on the test set, `mse`, and the network's `parameters`.
    """
    task = AddingProblem(length=length)
    test = evaluation_set(task, "test", test_size, SEED, run.data_dir)
    network = {**network, "units": network["units"] // narrowing}
    net = make_network(input_dim=2, output_dim=1, return_sequences=False, **network)
    net.compile(keras.optimizers.Adam(learning_rate, global_clipnorm=clip), "mse", jit_compile=_JIT)

    def batches(step: int) -> tuple:
        batch = task.batch(batch_size, run.seed, step)
        return batch["inputs"], batch["targets"]

    def evaluate() -> dict[str, float]:
        predicted = net.predict(test["inputs"], batch_size=batch_size, verbose=0)
        return {"mse": float(np.square(predicted - test["targets"]).mean(dtype="float64"))}

    row = run.train(net, batches, steps=updates, evaluate=evaluate, eval_every=eval_every)
    return {"mse": row["mse"], "parameters": float(net.count_params())}


def copying(
    run: Run,
    *,
    delay: int,
    network: Mapping[str, Any],
    clip: float,
    batch_size: int,
    updates: int,
    eval_every: int,
    test_size: int,
) -> dict[str, float]:
    """Trains a network to copy ten digits after a delay, on fresh examples, with RMSprop.

    The weights that copy most of the validation set's digits are tested.

    Args:
        run: The run.
        delay: Steps between the digits and their copy.
        network: Arguments of `make_network` but for the widths of inputs and outputs.
        clip: Norm that the gradient of an update is clipped to.
        batch_size: Sequences an update.
        updates: Number of updates at most; training ends once all digits are right in validation.
        eval_every: Updates between validations.
        test_size: Sequences of the test set and of the validation set.

    Returns:
        On the test set `accuracy`, the percentage of the digits that are copied, and `loss`, the
        cross-entropy at all steps, blanks included, in nats; the network's `parameters`.
    """
    task = CopyMemory(delay=delay)
    validation, test = (
        evaluation_set(task, split, test_size, SEED, run.data_dir)
        for split in ("validation", "test")
    )
    net = make_network(input_dim=1, output_dim=10, **network)
    net.compile(
        keras.optimizers.RMSprop(5e-4, rho=0.99, epsilon=1e-8, global_clipnorm=clip),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=_JIT,
    )

    def batches(step: int) -> tuple:
        batch = task.batch(batch_size, run.seed, step)
        return digits(batch["inputs"]), batch["targets"]

    def measure(data: Arrays) -> dict[str, float]:
        logits = net.predict(digits(data["inputs"]), batch_size=batch_size, verbose=0)
        right = (logits.argmax(-1) == data["targets"]) * data["weights"]
        named = np.take_along_axis(logits, data["targets"][..., None], axis=-1)[..., 0]
        losses = np.logaddexp.reduce(logits.astype("float64"), axis=-1) - named
        accuracy = 100 * right.sum(dtype="float64") / data["weights"].sum(dtype="float64")
        return {"accuracy": float(accuracy), "all_steps_loss": float(losses.mean())}

    run.train(
        net,
        batches,
        steps=updates,
        evaluate=lambda: measure(validation),
        eval_every=eval_every,
        stop=lambda history: history[-1]["accuracy"] == 100,
        best=("max", "accuracy"),
    )
    result = measure(test)
    return {
        "accuracy": result["accuracy"],
        "loss": result["all_steps_loss"],
        "parameters": float(net.count_params()),
    }


def digits(tokens: np.ndarray) -> np.ndarray:
    """Tokens as the numbers that they are, `(B, T)` to float32 `(B, T, 1)`."""
    return tokens[..., None].astype("float32")
