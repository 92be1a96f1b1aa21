"""The synthetic stress tests: the adding problem and the copy memory task."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from common.reproduce import Run
from common.tasks.adding_problem import AddingProblem
from common.tasks.copy_memory import CopyMemory
from common.tasks.frozen import evaluation_set
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

    Args:
        run: The run.
        delay: Steps between the digits and their copy.
        network: Arguments of `make_network` but for the widths of inputs and outputs.
        clip: Norm that the gradient of an update is clipped to.
        batch_size: Sequences an update.
        updates: Number of updates at most; training ends once every digit of the test set is right.
        eval_every: Updates between looks at the test set.
        test_size: Sequences of the test set.

    Returns:
        On the test set `accuracy`, the percentage of the digits that are copied, and `loss`, the
        cross-entropy at all steps, blanks included, in nats; the network's `parameters`.
    """
    task = CopyMemory(delay=delay)
    test = evaluation_set(task, "test", test_size, SEED, run.data_dir)
    net = make_network(input_dim=1, output_dim=10, **network)
    net.compile(
        keras.optimizers.RMSprop(5e-4, rho=0.99, epsilon=1e-8, global_clipnorm=clip),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=_JIT,
    )

    def batches(step: int) -> tuple:
        batch = task.batch(batch_size, run.seed, step)
        return digits(batch["inputs"]), batch["targets"]

    def evaluate() -> dict[str, float]:
        logits = net.predict(digits(test["inputs"]), batch_size=batch_size, verbose=0)
        right = (logits.argmax(-1) == test["targets"]) * test["weights"]
        top = logits.max(-1, keepdims=True)
        logits = logits - top
        named = np.take_along_axis(logits, test["targets"][..., None], axis=-1)[..., 0]
        losses = np.log(np.exp(logits).sum(-1)) - named
        return {
            "accuracy": float(100 * right.sum() / test["weights"].sum()),
            "test_loss": float(losses.mean(dtype="float64")),
        }

    row = run.train(
        net,
        batches,
        steps=updates,
        evaluate=evaluate,
        eval_every=eval_every,
        stop=lambda history: history[-1]["accuracy"] == 100,
    )
    return {
        "accuracy": row["accuracy"],
        "loss": row["test_loss"],
        "parameters": float(net.count_params()),
    }


def digits(tokens: np.ndarray) -> np.ndarray:
    """Tokens as the numbers that they are, `(B, T)` to float32 `(B, T, 1)`."""
    return tokens[..., None].astype("float32")
