"""Recall of 4 to 64 pairs by one model, how many memories there are, and parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from common.models import count_parameters
from common.reproduce import Run
from common.tasks import MQAR, evaluation_set
from common.tasks.task import Arrays
from common.trials.answers import likeliest
from papers.log_linear.layers import LogLinearMamba2
from papers.log_linear.model import SIZES, LogLinearLM

# Validation and test sets are the same for all seeds.
EVALUATION_SEED = 0


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a language model of section 4.2, in millions."""
    return {"millions": count_parameters(lambda: LogLinearLM(**SIZES[size])) / 1e6}


def memories(run: Run, *, length: int) -> dict[str, float]:
    """How many memories a step reads at most, its own included, and how many are kept for it.

    Returns:
        `most`, counted from the states of a layer in which nothing fades away, and `kept`, the
        shape of the state that it needs for so many steps.
    """
    num_levels = (length - 1).bit_length() + 1
    layer = LogLinearMamba2(1, num_levels, state_dim=1, head_dim=2, chunk_size=2)
    layer.build((None, None, 1))
    layer.a_log.assign([-30.0])
    rng = np.random.default_rng(run.seed)
    inputs = rng.standard_normal((length, 1)).astype("float32")
    # A row each, as a batch: the states before all steps.
    lengths = np.arange(length)
    state = layer(
        np.broadcast_to(inputs, (length, length, 1)),
        mask=lengths[None] < lengths[:, None],
        return_state=True,
    )[1]
    there = (keras.ops.convert_to_numpy(state["ssm"]) != 0).any(axis=(1, 3, 4))
    return {"most": float(there.sum(axis=1).max() + 1), "kept": float(there.shape[1])}


def recall(
    run: Run,
    *,
    model_settings: Mapping[str, Any],
    num_layers: int,
    vocabulary_size: int,
    curriculum: Sequence[Sequence[int]],
    length: int,
    pairs: Sequence[int],
    batch_size: int,
    steps: int,
    learning_rate: float,
    eval_every: int,
    eval_size: int,
    test_size: int,
) -> dict[str, float]:
    """Trains one model on recall, easy and hard in turn; tests it with each number of pairs.

    As in Zoology's protocol AdamW decays by 0.1, after a warm-up of a tenth of the updates to 0 by
    a cosine, and training stops once 99 % of the values are right.

    Args:
        run: The run.
        model_settings: Arguments of `LogLinearLM`, but those that stand here.
        num_layers: Of the model.
        vocabulary_size: Of the task, and the model.
        curriculum: Steps of a sequence and pairs in it, which updates take in turn.
        length: Steps of a sequence of the tests.
        pairs: Their numbers of pairs, and of queries.
        batch_size: Sequences of an update, all with as many pairs.
        steps: Updates at most.
        learning_rate: At the end of the warm-up.
        eval_every: Updates between evaluations.
        eval_size: Validation sequences of each number of pairs.
        test_size: Test sequences likewise.

    Returns:
        `accuracy`, in percent, the mean over the numbers of pairs, by the weights that are best on
        the validation sets; `accuracy_most` with the most pairs; `updates`, when these were
        reached.
    """
    learned = [MQAR(vocabulary_size, size, count) for size, count in curriculum]
    tasks = [MQAR(vocabulary_size, length, count) for count in pairs]
    validation, test = (
        [evaluation_set(task, split, size, EVALUATION_SEED, run.data_dir) for task in tasks]
        for split, size in (("validation", eval_size), ("test", test_size))
    )
    net = LogLinearLM(vocabulary_size, num_layers=num_layers, **model_settings)
    net.build((None, None))
    rising = steps // 10
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - rising), warmup_target=learning_rate, warmup_steps=max(1, rising)
    )
    net.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.1, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() != "torch",
    )

    def batches(step: int) -> tuple[np.ndarray, ...]:
        batch = learned[step % len(learned)].batch(batch_size, run.seed, step)
        # The mean over the queries, however many.
        weights = batch["weights"] / batch["weights"].mean()
        return batch["inputs"], batch["targets"], weights

    def accuracy(arrays: Arrays) -> float:
        right = 0.0
        for start in range(0, len(arrays["inputs"]), batch_size):
            part = {name: values[start : start + batch_size] for name, values in arrays.items()}
            named = likeliest(net.predict(part["inputs"], batch_size=batch_size, verbose=0))
            right += ((named == part["targets"]) * part["weights"]).sum()
        return 100 * float(right / arrays["weights"].sum())

    row = run.train(
        net,
        batches,
        steps=steps,
        evaluate=lambda: {"accuracy": float(np.mean([accuracy(one) for one in validation]))},
        eval_every=eval_every,
        best=("max", "accuracy"),
        stop=lambda history: history[-1]["accuracy"] >= 99,
    )
    each = [accuracy(one) for one in test]
    return {"accuracy": float(np.mean(each)), "accuracy_most": each[-1], "updates": row["step"]}
