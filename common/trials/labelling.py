"""Predicting tokens at the scored steps: recall, copying, induction, formal languages."""

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

import common.tasks
from common.reproduce.execute.run import Run
from common.reproduce.execute.timing import compiled
from common.reproduce.execute.training import Diverged
from common.tasks import Task, evaluation_set
from common.tasks.task import Arrays
from common.trials.answers import NOTHING, likeliest, likeliest_in_graph
from common.typing import State, Tensor

# Seed of the validation and test sets: what a model is trained on never depends on it.
EVALUATION_SEED = 0


def labelling(
    run: Run,
    *,
    model: str,
    model_settings: Mapping[str, Any],
    task: str,
    task_settings: Mapping[str, Any],
    batch_size: int,
    steps: int,
    learning_rates: Sequence[float],
    eval_every: int,
    eval_size: int,
    schedule: str = "constant",
    warmup: float = 0.0,
    weight_decay: float = 0.0,
    no_decay: Sequence[str] = (),
    clip: float | None = 1.0,
    stop_accuracy: float | None = 1.0,
    stop_after: int = 2,
    keep: str = "best",
    tests: Mapping[str, Mapping[str, Any]] | None = None,
    test_size: int = 256,
    test_model: Mapping[str, Any] | None = None,
    stream: int = 0,
    chance: float = 0.0,
    percent: bool = False,
) -> dict[str, float]:
    """Trains a language model on the scored steps of a task; tests it, elsewhere too.

    Batches are freshly drawn at every step (a `FiniteTask` goes through its examples). For each
    learning rate a model is trained from the same seed; the best of all on validation data is
    tested. The sweep ends early with a learning rate that has reached `stop_accuracy`. A learning
    rate that diverges is out; if all do, so does the run.

    Args:
        run: The run.
        model: `"package.module:factory"`, called with `vocabulary_size` and the settings; what it
            returns takes what `common.models.LanguageModel` takes.
        model_settings: Arguments of the factory.
        task: Name of a task in `common.tasks`.
        task_settings: Its settings.
        batch_size: Sequences a step.
        steps: Training steps at most.
        learning_rates: To be swept over.
        eval_every: Steps between evaluations.
        eval_size: Validation examples.
        schedule: `"constant"`, or `"cosine"` to 0 over `steps`.
        warmup: Share of `steps` in which the learning rate rises from 0.
        weight_decay: Of AdamW.
        no_decay: Names of weights that do not decay.
        clip: Norm that the whole gradient is clipped to.
        stop_accuracy: Training stops after `stop_after` evaluations in a row that reach it;
            `None`: not before `steps`.
        stop_after: See `stop_accuracy`.
        keep: `"best"` tests the weights with the best validation accuracy, of equal ones the
            first; `"last"` those at the end, which may have learned more than validation shows.
        tests: Name to settings of the task that differ from those of training.
        test_size: Examples of each test.
        test_model: Settings of the model that differ in tests, such as the window of an
            attention; the weights stay the same.
        stream: If positive, tests run through the sequence in chunks of so many steps, the state
            carried over: memory does not grow with the length.
        chance: Accuracy of guessing; if positive, accuracies are returned as
            `(accuracy - chance) / (1 - chance)`.
        percent: Whether accuracies are returned in percent.

    Returns:
        `accuracy` on fresh examples like those of training, `accuracy_<name>` for each test, the
        best `learning_rate`, and `updates`, the step of the tested weights.
    """
    if keep not in ("best", "last"):
        raise ValueError(f"keep is {keep!r}, expected 'best' or 'last'.")
    source = getattr(common.tasks, task)(**task_settings)
    make = _factory(model, source.vocabulary_size)
    validation = evaluation_set(source, "validation", eval_size, EVALUATION_SEED, run.data_dir)
    bound = math.inf if stop_accuracy is None else stop_accuracy
    best_accuracy, best, rate, updates = -1.0, None, 0.0, 0.0
    for learning_rate in learning_rates:
        keras.utils.set_random_seed(run.seed)
        net = make(**model_settings)
        net.build((None, None))
        optimizer = keras.optimizers.AdamW(
            _schedule(learning_rate, schedule, warmup, steps),
            weight_decay=weight_decay,
            global_clipnorm=clip,
        )
        if no_decay:
            optimizer.exclude_from_weight_decay(var_names=list(no_decay))
        net.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=keras.backend.backend() != "torch",
        )

        def batches(step: int) -> tuple:
            return _scored(source.batch(batch_size, run.seed, step))

        def evaluate(net: keras.Model = net) -> dict[str, float]:
            return {"accuracy": accuracy(_predicted(net, validation, batch_size), validation)}

        try:
            row = run.train(
                net,
                batches,
                steps=steps,
                evaluate=evaluate,
                eval_every=eval_every,
                best=("max", "accuracy") if keep == "best" else None,
                stop=lambda history: _reached(history, bound, stop_after),
                name="train" if len(learning_rates) == 1 else f"train-{learning_rate:g}",
            )
        except Diverged:
            if best is None and learning_rate == learning_rates[-1]:
                raise
            continue
        if row["accuracy"] > best_accuracy:
            best_accuracy, best = row["accuracy"], net.get_weights()
            rate, updates = learning_rate, row["step"]
        if row["accuracy"] >= bound:
            break

    net = make(**{**model_settings, **(test_model or {})})
    net.build((None, None))
    net.set_weights(best)
    run.save(net)
    tested = _Tester(net, test_size, batch_size, stream, run.data_dir)
    results = {"accuracy": tested(source)}
    for name, changed in (tests or {}).items():
        harder = getattr(common.tasks, task)(**{**task_settings, **changed})
        results[f"accuracy_{name}"] = tested(harder)
    results = {
        name: (100 if percent else 1) * (value - chance) / (1 - chance)
        for name, value in results.items()
    }
    run.log(int(updates), **results)
    return {**results, "learning_rate": rate, "updates": updates}


def accuracy(predicted: np.ndarray, arrays: Arrays) -> float:
    """Share of the steps that count at which `predicted`, `(B, T)`, is the target."""
    right = (predicted == arrays["targets"]) * arrays["weights"]
    return float(right.sum() / arrays["weights"].sum())


def _factory(path: str, vocabulary_size: int) -> Callable[..., keras.Model]:
    module, _, name = path.partition(":")
    factory = getattr(importlib.import_module(module), name)
    return lambda **settings: factory(vocabulary_size=vocabulary_size, **settings)


def _schedule(
    learning_rate: float, schedule: str, warmup: float, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if schedule not in ("constant", "cosine"):
        raise ValueError(f"schedule is {schedule!r}, expected 'constant' or 'cosine'.")
    rising = int(warmup * steps)
    if schedule == "constant" and not rising:
        return learning_rate
    return keras.optimizers.schedules.CosineDecay(
        0.0 if rising else learning_rate,
        max(1, steps - rising),
        alpha=1.0 if schedule == "constant" else 0.0,
        warmup_target=learning_rate if rising else None,
        warmup_steps=rising,
    )


def _reached(history: Sequence[Mapping[str, float]], bound: float, times: int) -> bool:
    last = history[-times:]
    return len(last) == times and all(row["accuracy"] >= bound for row in last)


def _scored(batch: Arrays) -> tuple:
    """A training batch; logits at the scored steps only where these are few and as many a row."""
    at = _steps_that_count(batch)
    if at is None:
        return batch["inputs"], batch["targets"], batch["weights"]
    targets = np.take_along_axis(batch["targets"], at, axis=1)
    return {"inputs": batch["inputs"], "at": at}, targets


def _steps_that_count(arrays: Arrays) -> np.ndarray | None:
    scored = arrays["weights"] > 0
    counts = scored.sum(axis=1)
    if counts.min() != counts.max() or 2 * counts[0] > scored.shape[1]:
        return None
    return np.nonzero(scored)[1].reshape(len(scored), -1).astype("int32")


def _predicted(net: keras.Model, arrays: Arrays, batch_size: int) -> np.ndarray:
    """The argmax token at every scored step, `(B, T)`."""
    at = _steps_that_count(arrays)
    if at is None:
        return likeliest(net.predict(arrays["inputs"], batch_size=batch_size, verbose=0))
    inputs = {"inputs": arrays["inputs"], "at": at}
    named = likeliest(net.predict(inputs, batch_size=batch_size, verbose=0))
    predicted = np.full_like(arrays["targets"], NOTHING)
    np.put_along_axis(predicted, at, named.astype(predicted.dtype), axis=1)
    return predicted


class _Tester:
    """Tests a network on sets of any length; what it compiles serves all of them."""

    def __init__(
        self,
        net: keras.Model,
        size: int,
        batch_size: int,
        stream: int,
        data_dir: Path | None,
    ):
        self.net, self.size, self.batch_size, self.stream = net, size, batch_size, stream
        self.data_dir = data_dir
        self.label = compiled(self._label)
        # Where nothing counts the compiler leaves out what the state does not need: all of the
        # last layer but its state.
        self.advance = compiled(lambda inputs, state: self._label(inputs, state)[1])

    def __call__(self, task: Task) -> float:
        """Accuracy on the test set of `task`."""
        arrays = evaluation_set(task, "test", self.size, EVALUATION_SEED, self.data_dir)
        if self.stream:
            return accuracy(self._streamed(arrays), arrays)
        return accuracy(_predicted(self.net, arrays, self.batch_size), arrays)

    def _label(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        logits, state = self.net(inputs, initial_state=state, return_state=True, training=False)
        return likeliest_in_graph(logits), state

    def _streamed(self, arrays: Arrays) -> np.ndarray:
        predicted = np.full_like(arrays["targets"], NOTHING)
        for start in range(0, self.size, self.batch_size):
            rows = slice(start, min(start + self.batch_size, self.size))
            inputs, weights = arrays["inputs"][rows], arrays["weights"][rows]
            state = self.net.get_initial_state(len(inputs))
            for t in range(0, inputs.shape[1], self.stream):
                steps = ops.convert_to_tensor(inputs[:, t : t + self.stream])
                if weights[:, t : t + self.stream].any():
                    named, state = self.label(steps, state)
                    predicted[rows, t : t + self.stream] = ops.convert_to_numpy(named)
                else:
                    state = self.advance(steps, state)
        return predicted
