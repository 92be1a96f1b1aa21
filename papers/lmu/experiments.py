"""The paper's experiments: capacity, Mackey-Glass and its speed, permuted sequential MNIST."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from common.layers import LSTM, SequenceLayer
from common.reproduce import Run
from common.reproduce.execute.timing import compiled, measure
from common.tasks import DelayedWhiteNoise, MackeyGlass, SequentialMNIST, evaluation_set
from common.trials.answers import likeliest
from papers.lmu.layers import LMU
from papers.lmu.legendre import LegendreReadout
from papers.lmu.model import LMUModel

# Signals are read in pieces of this many steps, the state carried over.
_PIECE = 2500

# Keras has no XLA with torch.
_JIT = keras.backend.backend() != "torch"


def capacity(run: Run, *, window: int, order: int, signals: int) -> dict[str, float]:
    """Reads delayed white noise out of a memory that nothing has trained (LMU-0).

    Returns:
        The mean squared error at each delay, `mse_P` for P percent of the window, and the lowest
        and highest of those at delays above 0, which the paper's figure shows.
    """
    task = DelayedWhiteNoise(window=window)
    data = evaluation_set(task, "test", signals, run.seed, run.data_dir)
    layer = untrained_lmu(task.outputs, order, window - 0.5)
    layer.build((None, None, 1))
    read = compiled(lambda inputs, state: layer(inputs, initial_state=state, return_state=True))
    state = layer.get_initial_state(signals)
    errors = np.zeros(task.outputs)
    for start in range(0, task.length, _PIECE):
        piece = slice(start, start + _PIECE)
        outputs, state = read(keras.ops.convert_to_tensor(data["inputs"][:, piece]), state)
        error = keras.ops.convert_to_numpy(outputs) - data["targets"][:, piece]
        errors += (np.square(error) * data["weights"][:, piece, None]).sum((0, 1), dtype="float64")
    return _delay_errors(errors / data["weights"].sum(dtype="float64"))


def untrained_lmu(output_dim: int, order: int, theta: float) -> LMU:
    """The paper's LMU-0: it writes its input and reads it back at evenly spaced delays."""
    return LMU(
        output_dim,
        order,
        theta,
        activation="linear",
        input_encoders_initializer="ones",
        hidden_encoders_initializer="zeros",
        input_kernel_initializer="zeros",
        hidden_kernel_initializer="zeros",
        memory_kernel_initializer=LegendreReadout(),
    )


def _delay_errors(mse: np.ndarray) -> dict[str, float]:
    percents = np.linspace(0, 100, len(mse)).astype(int)
    return {
        "highest_mse": float(mse[1:].max()),
        "lowest_mse": float(mse[1:].min()),
        **{f"mse_{percent}": float(e) for percent, e in zip(percents, mse, strict=True)},
    }


def lstm_capacity(
    run: Run, *, window: int, units: int, signals: int, epochs: int, batch_size: int
) -> dict[str, float]:
    """Trains an LSTM on the capacity task, on four fifths of `signals` as in the notebook."""
    task = DelayedWhiteNoise(window=window)
    held_out = signals // 5
    train = task.batch(signals - held_out, run.seed, 0)
    validation = evaluation_set(task, "validation", held_out, run.seed, run.data_dir)
    test = evaluation_set(task, "test", signals, run.seed, run.data_dir)
    model = LMUModel([LSTM(units)], task.outputs)
    model.compile("adam", "mse")
    epoch = -(-len(train["inputs"]) // batch_size)

    def batches(step):
        number, position = divmod(step, epoch)
        order = np.random.default_rng([run.seed, number]).permutation(len(train["inputs"]))
        chosen = order[position * batch_size : (position + 1) * batch_size]
        return train["inputs"][chosen], train["targets"][chosen]

    def evaluate():
        predicted = model.predict(validation["inputs"], batch_size=batch_size, verbose=0)
        return {"validation_mse": float(np.square(predicted - validation["targets"]).mean())}

    # Every twentieth epoch: the weights tested are the last ones, as in the notebook.
    run.train(model, batches, steps=epochs * epoch, evaluate=evaluate, eval_every=20 * epoch)
    predicted = model.predict(test["inputs"], batch_size=batch_size, verbose=0)
    error = np.square(predicted - test["targets"])[:, window:].mean((0, 1), dtype="float64")
    values = _delay_errors(error)
    return {
        "mse": float(error.mean()),
        **{name: values[name] for name in ("highest_mse", "lowest_mse")},
    }


def make_network(recurrent: Sequence[str], output_activation: str) -> LMUModel:
    """A Mackey-Glass network from names such as `"lmu-49"` and `"lstm-25"`, compiled.

    LMUs have order 4, theta 4, biases and small uniform hidden kernels, as in the authors'
    corrected notebook.
    """
    model = LMUModel([_make_layer(name) for name in recurrent], 1, output_activation)
    model.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=_JIT)
    return model


def _make_layer(name: str) -> SequenceLayer:
    kind, units = name.split("-")
    if kind == "lstm":
        return LSTM(int(units))
    return LMU(
        int(units),
        order=4,
        theta=4.0,
        use_bias=True,
        hidden_kernel_initializer=keras.initializers.RandomUniform(-0.05, 0.05),
    )


def mackey_glass(
    run: Run,
    *,
    recurrent: Sequence[str],
    output_activation: str,
    series: int,
    length: int,
    crop: int,
    updates: int,
    eval_every: int,
) -> dict[str, float]:
    """Trains a network to predict the series; tests the weights of the best validation loss.

    An update is on `crop` consecutive steps of the training series, drawn afresh each time;
    validation and test are on all `length` steps.

    Returns:
        Test error as root mean square in percent of the target's, and as mean square; that of
        predicting no change; seconds an update, without validation.
    """
    task = MackeyGlass(series=series, length=length)
    model = make_network(recurrent, output_activation)
    train = task.arrays("train")
    validation, test = (
        evaluation_set(task, split, data_dir=run.data_dir) for split in ("validation", "test")
    )

    def predict(inputs):
        return model.predict(inputs, batch_size=32, verbose=0)

    def evaluate():
        error = predict(validation["inputs"]) - validation["targets"]
        return {"validation_mse": float(np.square(error).mean())}

    def batches(step):
        start = np.random.default_rng([run.seed, step]).integers(length - crop + 1)
        return tuple(train[name][:, start : start + crop] for name in ("inputs", "targets"))

    run.train(
        model,
        batches,
        steps=updates,
        evaluate=evaluate,
        eval_every=eval_every,
        best=("min", "validation_mse"),
    )
    predicted = predict(test["inputs"])
    return {
        "nrmse": nrmse(predicted, test["targets"]),
        "mse": float(np.square(predicted - test["targets"]).mean()),
        "baseline_nrmse": nrmse(test["inputs"], test["targets"]),
        "update_seconds": run.clocks["train"] / updates,
    }


def nrmse(predicted: np.ndarray, targets: np.ndarray) -> float:
    """Root mean squared error in percent of the targets' root mean square."""
    error = np.square(predicted - targets).mean(dtype="float64")
    return float(100 * np.sqrt(error / np.square(targets).mean(dtype="float64")))


def speed(
    run: Run,
    *,
    networks: Mapping[str, Mapping[str, Any]],
    series: int,
    length: int,
    samples: int,
) -> dict[str, float]:
    """Median seconds of one update and one validation pass of each network, interleaved."""
    task = MackeyGlass(series=series, length=length)
    train, validation = task.arrays("train"), task.arrays("validation")

    def epoch_of(model):
        def epoch():
            model.train_on_batch(train["inputs"], train["targets"])
            return model.test_on_batch(validation["inputs"], validation["targets"])

        return epoch

    timings = measure(
        {name: epoch_of(make_network(**settings)) for name, settings in networks.items()},
        samples=samples,
    )
    for name, timing in timings.items():
        run.log(0, **{f"{name}_p20": timing.p20, f"{name}_p80": timing.p80})
    return {name: timing.median for name, timing in timings.items()}


def psmnist(
    run: Run, *, units: int, order: int, steps: int, batch_size: int, examples: int
) -> dict[str, float]:
    """Classifies permuted sequential MNIST; tests the weights of the best validation loss.

    Raises:
        FileNotFoundError: if MNIST is not there and can't be downloaded.
    """
    data_dir = None if run.data_dir is None else str(run.data_dir)
    task = SequentialMNIST(permuted=True, data_dir=data_dir)
    epoch = task.steps_per_epoch(batch_size)  # first of all, as it fails where MNIST is not
    layer = LMU(
        units,
        order,
        theta=784,
        input_encoders_initializer="ones",
        hidden_encoders_initializer="zeros",
        input_kernel_initializer="zeros",
        hidden_kernel_initializer="zeros",
    )
    model = LMUModel([layer], 10, "softmax", return_sequences=False)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=_JIT)

    def score(split):
        arrays = task.arrays(split)
        targets = arrays["targets"][:examples]
        predicted = model.predict(arrays["inputs"][:examples], batch_size=batch_size, verbose=0)
        right = np.maximum(predicted[np.arange(len(targets)), targets], 1e-7)
        return -np.log(right).mean(), 100 * (likeliest(predicted) == targets).mean()

    def evaluate():
        loss, accuracy = score("validation")
        return {"validation_loss": loss, "validation_accuracy": accuracy}

    def batches(step):
        batch = task.batch(batch_size, run.seed, step)
        return batch["inputs"], batch["targets"]

    row = run.train(
        model,
        batches,
        steps=steps,
        evaluate=evaluate,
        eval_every=min(steps, epoch),
        best=("min", "validation_loss"),
    )
    return {"accuracy": score("test")[1], "validation_accuracy": row["validation_accuracy"]}
