import csv
import json
import signal

import keras
import numpy as np
import pytest

from common.reproduce.execute import checkpoint, interrupts, training
from common.reproduce.execute.interrupts import Interrupted
from common.reproduce.execute.run import Probed, Run
from common.reproduce.execute.training import Diverged
from common.reproduce.files import FileError


class Killed(Exception):
    """Stands for the end of the process."""


def make_model(width=4, eager=False):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(width, "tanh"), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    optimizer = keras.optimizers.Adam(0.03)
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=eager)
    return model


def batch(step):
    x = np.random.default_rng(step).normal(size=(8, 3)).astype("float32")
    return x, x.sum(axis=1, keepdims=True), np.ones(8, "float32")


def evaluation_error(model):
    x, y, _ = batch(10**6)
    return {"error": float(np.mean((model.predict_on_batch(x) - y) ** 2))}


def make_run(directory):
    return Run(variant="a", preset="cpu", seed=1, dir=directory)


def train(directory, killed_at=None, eager=True, **changes):
    """The returned row, the run, the final weights and the steps whose batches were drawn."""
    model = make_model(eager=eager)
    run = make_run(directory)
    drawn = []

    def batches(step):
        drawn.append(step)
        if step == killed_at:
            raise Killed
        return batch(step)

    def evaluate():
        return evaluation_error(model)

    options = {"steps": 10, "evaluate": evaluate, "eval_every": 2, "checkpoint_every_seconds": 0.0}
    row = run.train(model, batches, **{**options, **changes})
    return row, run, model.get_weights(), drawn


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_steps_are_keras_own(tmp_path):
    """The same weights and metrics as `train_on_batch` in a loop."""
    row, run, weights, drawn = train(tmp_path, eager=False)
    model = make_model()
    losses = []
    for step in range(10):
        losses.append(model.train_on_batch(*batch(step))[0])
    assert_same(weights, model.get_weights())
    assert drawn == list(range(10))
    assert [one["step"] for one in run.history] == [2, 4, 6, 8, 10]
    expected = [np.mean(losses[start : start + 2]) for start in range(0, 10, 2)]
    np.testing.assert_allclose([one["loss"] for one in run.history], expected, rtol=1e-5)
    assert row == run.history[-1]
    assert {"step", "loss", "mae", "error"} == set(row)
    assert {"compile", "data", "train", "eval", "checkpoint"} == set(run.clocks)


@pytest.mark.parametrize(
    "killed_at, best", [(1, None), (2, ("max", "loss")), (9, ("min", "error"))]
)
def test_resumed_training_is_the_same(tmp_path, killed_at, best):
    row, run, weights, _ = train(tmp_path / "whole", best=best)
    with pytest.raises(Killed):
        train(tmp_path / "killed", killed_at=killed_at, best=best)
    resumed_row, resumed, resumed_weights, drawn = train(tmp_path / "killed", best=best)
    assert resumed_row == row
    assert resumed.history == run.history
    assert_same(resumed_weights, weights)
    start = killed_at // 2 * 2
    assert drawn == [0, *range(max(start, 1), 10)]
    paths = [tmp_path / name / "metrics.csv" for name in ("whole", "killed")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_checkpoint_between_evaluations_is_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SHOW_EVERY_SECONDS", 0.0)
    row, _run, weights, _ = train(tmp_path / "whole", eval_every=10)
    with pytest.raises(Killed):
        train(tmp_path / "killed", eval_every=10, killed_at=7)
    resumed_row, _, resumed_weights, drawn = train(tmp_path / "killed", eval_every=10)
    assert drawn == [0, *range(7, 10)]
    assert resumed_row == row  # the training loss is the mean over all ten steps
    assert_same(resumed_weights, weights)


def test_finished_training_is_not_repeated(tmp_path):
    row, _, weights, _ = train(tmp_path, best=("max", "error"))
    again, _, same, drawn = train(tmp_path, best=("max", "error"))
    assert again == row
    assert_same(same, weights)
    assert drawn == [0]


def test_best_weights_are_put_back(tmp_path):
    row, run, weights, _ = train(tmp_path / "best", best=("max", "error"))
    errors = [one["error"] for one in run.history]
    assert row["error"] == max(errors) != errors[-1]
    steps = int(row["step"])
    _, _, expected, _ = train(tmp_path / "short", steps=steps)
    assert_same(weights, expected)


def test_stop_sees_the_history(tmp_path):
    seen = []

    def stop(history):
        seen.append([one["step"] for one in history])
        return len(history) == 3

    row, run, _, drawn = train(tmp_path, stop=stop)
    assert seen == [[2], [2, 4], [2, 4, 6]]
    assert row["step"] == 6 and len(drawn) == 6
    _, again, _, drawn = train(tmp_path, stop=stop)
    assert again.history == run.history and drawn == [0]


def test_best_row_ignores_nan_and_takes_the_first():
    history = [{"x": float("nan")}, {"x": 2.0}, {"x": 1.0}, {"x": 1.0}]
    assert training.best_row(history, ("min", "x")) is history[2]
    assert training.best_row(history, ("max", "x")) is history[1]
    assert training.best_row(history[:1], ("min", "x")) is None


def test_evaluations_since_best():
    history = [{"step": 2.0, "x": 3.0}, {"step": 4.0, "x": 1.0}, {"step": 6.0, "x": 1.0}]
    assert training.evaluations_since_best(history, ("min", "x")) == 1
    assert training.evaluations_since_best(history, ("max", "x")) == 2
    assert training.evaluations_since_best([{"step": 2.0, "x": float("nan")}], ("min", "x")) == 1


def dense_model(**units):
    """Dense layers by name and width, trained on a batch."""
    layers = [keras.layers.Dense(width, name=name) for name, width in units.items()]
    model = keras.Sequential([keras.Input((3,)), *layers], name="model")
    model.compile("sgd", "mse", run_eagerly=True)
    model.train_on_batch(np.ones((2, 3)), np.ones((2, model.output_shape[-1])))
    return model


@pytest.mark.parametrize(
    "units, said",
    [
        ({"a": 5, "b": 2}, "(of another shape: a/kernel (3, 4), expected (3, 5), a/bias"),
        ({"a": 4, "c": 2}, "(lacks: c/kernel, c/bias; unexpected: b/kernel, b/bias)"),
        ({"a": 4, "b": 2, "c": 2}, "(lacks: c/kernel, c/bias)"),
        ({"b": 2}, "unexpected: a/kernel, a/bias; of another shape: b/kernel (4, 2), expected (3"),
        ({"b": 2, "c": 2, "d": 2}, "(lacks: c/kernel, c/bias, d/kernel and 1 more; unexpected"),
    ],
)
def test_checkpoint_of_another_model_says_which_variables(tmp_path, units, said):
    path = tmp_path / "one.npz"
    checkpoint.save(path, dense_model(a=4, b=2), checkpoint.Progress(step=1))
    with pytest.raises(FileError, match="the code changed since") as caught:
        checkpoint.restore(path, dense_model(**units))
    message = str(caught.value)
    assert said in message.replace("model/", "") and "\n" not in message


def test_variables_of_one_path_are_told_by_their_order(tmp_path):
    class Twins(keras.Layer):
        def __init__(self):
            super().__init__()
            self.twins = [keras.layers.Dense(3, name="same") for _ in range(2)]

        def call(self, inputs):
            return self.twins[0](inputs) + self.twins[1](inputs)

    def build():
        model = keras.Sequential([keras.Input((3,)), Twins(), keras.layers.Dense(2)])
        model.compile("adam", "mse", run_eagerly=True)
        model.train_on_batch(np.ones((2, 3)), np.ones((2, 2)))
        return model

    model, path = build(), tmp_path / "one.npz"
    paths = [variable.path for variable in model.variables]
    assert len(set(paths)) < len(paths)
    checkpoint.save(path, model, checkpoint.Progress(step=1))
    other = build()  # Keras gives it other numbers
    checkpoint.restore(path, other)
    assert_same(other.get_weights(), model.get_weights())
    ours, theirs = checkpoint.state_variables(model), checkpoint.state_variables(other)
    assert_same([np.asarray(one) for one in theirs], [np.asarray(one) for one in ours])


def test_a_checkpoint_of_older_code_is_refused_in_one_line(tmp_path):
    model = dense_model(a=4)
    old = {f"variable/{i}/{one.path}": np.asarray(one) for i, one in enumerate(model.variables)}
    notes = json.dumps(vars(checkpoint.Progress(step=1)))
    np.savez(tmp_path / "one.npz", notes=np.array(notes), **old)
    with pytest.raises(FileError, match="lacks: model/a/kernel.*unexpected: 0/model/a/kernel"):
        checkpoint.restore(tmp_path / "one.npz", model)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"no archive", None])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    model = make_model(eager=True)
    model.train_on_batch(*batch(0))
    path = tmp_path / "one.npz"
    if content is None:
        np.savez(path, other=np.ones(3))
    else:
        path.write_bytes(content)
    with pytest.raises(FileError, match="is damaged .* expected a checkpoint") as caught:
        checkpoint.restore(path, model)
    assert str(path) in str(caught.value)


def test_a_checkpoint_cut_anywhere_is_named(tmp_path):
    model = make_model(eager=True)
    model.train_on_batch(*batch(0))
    path = tmp_path / "one.npz"
    checkpoint.save(path, model, checkpoint.Progress(step=1))
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(FileError, match="one.npz is damaged"):
            checkpoint.restore(path, model)


def test_arrays_are_named_by_the_path_of_their_variable(tmp_path):
    model = make_model(eager=True)
    model.train_on_batch(*batch(0))
    progress = checkpoint.Progress(step=1, best=model.get_weights())
    checkpoint.save(tmp_path / "one.npz", model, progress)
    with np.load(tmp_path / "one.npz") as file:
        kernel = model.layers[0].kernel
        np.testing.assert_array_equal(file[f"variable/{kernel.path}"], kernel)
        np.testing.assert_array_equal(file[f"best/{kernel.path}"], kernel)


def test_bfloat16_survives(tmp_path):
    model = keras.Sequential([keras.layers.Dense(2, dtype="bfloat16")])
    model.compile("sgd", "mse", jit_compile=False)
    x = np.ones((2, 3), "float32")
    model.train_on_batch(x, x[:, :2])
    before = [np.asarray(weight, "float32") for weight in model.get_weights()]
    checkpoint.save(tmp_path / "one.npz", model, checkpoint.Progress(best=model.get_weights()))
    model.train_on_batch(x, x[:, :2])
    progress = checkpoint.restore(tmp_path / "one.npz", model)
    assert_same([np.asarray(weight, "float32") for weight in model.get_weights()], before)
    assert_same([np.asarray(weight, "float32") for weight in progress.best], before)


def _spoilt(step):
    """The batches of `batch`, from step 7 (counted from 0) on with a target that is no number."""
    x, y, weights = batch(step)
    return x, y * np.float32(np.nan if step >= 7 else 1.0), weights


@pytest.mark.parametrize("seconds", [0.0, 0.5])
@pytest.mark.parametrize("eval_every", [2, 10])
def test_a_loss_that_is_no_number_stops_at_its_step(tmp_path, monkeypatch, seconds, eval_every):
    monkeypatch.setattr(training, "SHOW_EVERY_SECONDS", seconds)
    run = make_run(tmp_path)
    with pytest.raises(Diverged, match="loss is nan at step 8") as caught:
        run.train(make_model(eager=True), _spoilt, steps=10, eval_every=eval_every)
    assert caught.value.step == 8
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [float(row["step"]) for row in rows] == list(range(eval_every, 8, eval_every))


def test_a_first_loss_that_is_no_number(tmp_path):
    x, y, _ = batch(0)
    with pytest.raises(Diverged, match="loss is inf at step 1"):
        make_run(tmp_path).train(make_model(eager=True), lambda step: (x, y + 1e30), steps=10)


def test_a_loss_that_overflows(tmp_path):
    """At a learning rate of 1e30 the second loss is no float32."""
    model = make_model(eager=True)
    model.optimizer.learning_rate = 1e30
    with pytest.raises(Diverged, match="at step 2"):
        make_run(tmp_path).train(model, batch, steps=10)


def test_an_evaluation_that_is_no_number_stops(tmp_path):
    with pytest.raises(Diverged, match="error is nan at step 2"):
        train(tmp_path, evaluate=lambda: {"error": float("nan")})


def test_the_probe_is_the_losses_of_the_first_updates(tmp_path):
    model = make_model()
    expected = []
    for step in range(training.PROBED_UPDATES):
        model.reset_metrics()
        expected.append(model.train_on_batch(*batch(step))[0])
    for eval_every in (1, 2, 10):
        _, run, _, _ = train(tmp_path / str(eval_every), eval_every=eval_every)
        np.testing.assert_allclose(run.probe, expected, rtol=1e-5)
    probing = Run(variant="a", preset="cpu", seed=1, dir=tmp_path / "probe", probes=True)
    with pytest.raises(Probed) as caught:
        probing.train(make_model(), batch, steps=10)
    np.testing.assert_allclose(caught.value.losses, expected, rtol=1e-5)


@pytest.mark.parametrize("killed_at", [1, 2, 5])
def test_the_probe_survives_a_kill(tmp_path, killed_at):
    _, run, _, _ = train(tmp_path / "whole", eval_every=1)
    with pytest.raises(Killed):
        train(tmp_path / "killed", eval_every=1, killed_at=killed_at)
    _, resumed, _, _ = train(tmp_path / "killed", eval_every=1)
    assert resumed.probe == run.probe and len(run.probe) == 3


@pytest.mark.parametrize("number", interrupts.SIGNALS)
@pytest.mark.parametrize("where", ["batches", "evaluate"])
def test_a_signal_saves_first(tmp_path, number, where):
    """Long before the next checkpoint is due; in step 7 or in the evaluation after step 8."""
    row, whole, weights, _ = train(tmp_path / "whole")
    model = make_model(eager=True)
    sent = []

    def send(at):
        if at == where and not sent:
            sent.append(at)
            signal.raise_signal(number)

    def batches(step):
        if step == 6:
            send("batches")
        return batch(step)

    def evaluate():
        if int(model.optimizer.iterations) == 8:
            send("evaluate")
        return evaluation_error(model)

    options = {"evaluate": evaluate, "eval_every": 2, "checkpoint_every_seconds": 1e6}
    with interrupts.raised(), pytest.raises(Interrupted) as caught:
        make_run(tmp_path / "cut").train(model, batches, steps=10, **options)
    step = {"batches": 7, "evaluate": 8}[where]
    assert caught.value.number == number
    assert caught.value.saved == f"{tmp_path / 'cut' / 'train.checkpoint.npz'} holds step {step}"
    resumed_row, resumed, resumed_weights, drawn = train(tmp_path / "cut")
    assert drawn == [0, *range(step, 10)]
    assert resumed_row == row and resumed.history == whole.history
    assert_same(resumed_weights, weights)


def test_a_second_signal_does_not_wait(tmp_path):
    def batches(step):
        if step == 6:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return batch(step)

    with interrupts.raised(), pytest.raises(Interrupted) as caught:
        make_run(tmp_path).train(make_model(eager=True), batches, steps=10)
    assert caught.value.saved == ""
    assert not (tmp_path / "train.checkpoint.npz").exists()


def test_log_writes_metrics(tmp_path):
    run = make_run(tmp_path)
    run.log(step=3, a=1.5)
    run.log(step=4, b=2.0)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["a"] for row in rows] == ["1.5", ""]
    assert [row["b"] for row in rows] == ["", "2.0"]
    assert [row["step"] for row in rows] == ["3.0", "4.0"]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorBoard needs TensorFlow")
def test_tensorboard_holds_every_row_once(tmp_path):
    import tensorflow as tf

    with pytest.raises(Killed):
        train(tmp_path, killed_at=5)
    _, run, _, _ = train(tmp_path)
    (path,) = (tmp_path / "tensorboard").iterdir()
    found = {}
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    expected = {
        (f"train/{name}", int(row["step"])): value
        for row in run.history
        for name, value in row.items()
        if name != "step"
    }
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"steps": 0}, "steps is 0"),
        ({"eval_every": 0}, "eval_every is 0"),
        ({"best": ("least", "error")}, "best is"),
        ({"best": ("min", "eror")}, "expected a metric of"),
        ({"evaluate": lambda: {"loss": 1.0}}, r"evaluate returned \['loss'\]"),
    ],
)
def test_bad_arguments_are_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path, **changes)


@pytest.mark.parametrize("bad", [{"x": 1, "z": 2}, {"y": 1}, (1, 2, 3, 4), (), 5])
def test_bad_batches_are_named(bad):
    with pytest.raises(ValueError, match="batches returned"):
        training.unpack(bad)


def test_batches_may_be_tuples_or_mappings():
    assert training.unpack((1,)) == (1, None, None)
    assert training.unpack((1, 2)) == (1, 2, None)
    assert training.unpack({"x": 1, "sample_weight": 3}) == (1, None, 3)


def test_a_name_trains_once(tmp_path):
    run = make_run(tmp_path)
    run.train(make_model(), batch, steps=1, name="first")
    run.train(make_model(), batch, steps=1, name="second")
    with pytest.raises(ValueError, match="name is 'first'"):
        run.train(make_model(), batch, steps=1, name="first")


def test_a_training_leaves_a_model_with_its_best_weights(tmp_path):
    _, _, weights, _ = train(tmp_path, best=("min", "error"))
    assert_same(keras.saving.load_model(tmp_path / "model.keras").get_weights(), weights)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    _, _, weights, _ = train(tmp_path / "named", name="second")
    assert_same(keras.saving.load_model(tmp_path / "named" / "second.keras").get_weights(), weights)
