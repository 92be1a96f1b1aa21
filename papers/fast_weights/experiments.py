"""Key-value retrieval: capacity (setting 1) and update rule (setting 2)."""

import keras
import numpy as np
from keras import ops

from common.reproduce import Run, evaluations_since_best
from common.tasks import KeyValueRetrieval, evaluation_set
from common.tasks.task import Arrays
from papers.fast_weights.model import KeyValueMemory

# The authors' evaluation: this many sequences, asked for every key, in pieces of 32 queries.
TEST_SEQUENCES = 20
QUERIES_AT_ONCE = 32


@keras.saving.register_keras_serializable(package="papers")
class HalfSquaredError(keras.losses.Loss):
    """`0.5 sum_s (y_s - yhat_s)^2`, summed over the components, for integer targets."""

    def call(self, y_true, y_pred):
        wanted = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
        return 0.5 * ops.sum(ops.square(wanted - y_pred), axis=-1)


def retrieval(
    run: Run,
    *,
    num_keys: int,
    replacement: bool,
    rule: str,
    feature_map: str,
    nu: int,
    steps: int,
    eval_every: int,
) -> dict[str, float]:
    """Trains until the loss is 0.001 or the 11th evaluation in a row brings no new best.

    Returns:
        The best evaluation loss; the loss on test sequences as long as in training, which is
        another number in setting 2, of the weights at the end; and the updates taken.
    """
    task = KeyValueRetrieval(num_keys, replacement)
    full = KeyValueRetrieval(num_keys, replacement, full_length_test=True)
    test, full_test = (
        evaluation_set(one, "test", TEST_SEQUENCES, run.seed, run.data_dir) for one in (task, full)
    )
    model = KeyValueMemory(num_keys, rule, feature_map, nu)
    model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8), HalfSquaredError(), jit_compile=False)

    def batches(step):
        batch = task.batch(32, run.seed, step)
        return {name: batch[name] for name in ("inputs", "query")}, batch["targets"]

    def evaluate():
        return {"best_loss": retrieval_loss(model, test)}

    def stop(history):
        return (
            history[-1]["best_loss"] <= 0.001
            or evaluations_since_best(history, ("min", "best_loss")) >= 11
        )

    row = run.train(
        model,
        batches,
        steps=steps,
        evaluate=evaluate,
        eval_every=eval_every,
        stop=stop,
        best=("min", "best_loss"),
    )
    return {
        "best_loss": row["best_loss"],
        "full_length_loss": retrieval_loss(model, full_test),
        "updates": run.history[-1]["step"],
    }


def retrieval_loss(model: KeyValueMemory, test: Arrays) -> float:
    """Mean over pieces of up to 32 queries of the piece's mean loss, as the authors compute it."""
    read = model.predict(
        {name: test[name] for name in ("inputs", "query")}, batch_size=TEST_SEQUENCES, verbose=0
    )
    wanted = np.eye(read.shape[-1], dtype=read.dtype)[test["targets"]]
    losses = 0.5 * np.square(wanted - read).sum(-1)
    pieces = []
    for loss, weights in zip(losses, test["weights"], strict=True):
        asked = loss[weights > 0]
        pieces += [
            asked[i : i + QUERIES_AT_ONCE].mean() for i in range(0, len(asked), QUERIES_AT_ONCE)
        ]
    return float(np.mean(pieces))
