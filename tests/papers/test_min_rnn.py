"""minGRU and minLSTM: re-derived in NumPy, their model, their sizes."""

from pathlib import Path

import keras
import numpy as np
import pytest

import papers.min_rnn
from common.reproduce.execute.run import Run
from common.tasks import evaluation_set
from common.tasks.shakespeare_characters import ShakespeareCharacters
from papers.min_rnn import MinGRU, MinLSTM, MinRNN, experiments
from papers.min_rnn.experiments import selective_copying
from papers.min_rnn.shakespeare import shakespeare
from tests.contract.papers import COMMON, SIZE, ModelSubject, PaperContract
from tests.helpers.arrays import array, sigmoid
from tests.helpers.gradients import gradients

CONTRACT = PaperContract(
    kernels={
        "min_rnn-mingru": [(1, 3, 10)],
        "min_rnn-minlstm": [(1, 3, 15)],
    },
    models=(
        ModelSubject(
            "min_rnn",
            MinRNN,
            {**SIZE, "num_layers": 2, "expansion": 2},
            COMMON | {"cell": "minlstm", "expansion": 2, "form": "recurrent"},
        ),
        ModelSubject("min_rnn-lstm", MinRNN, {**SIZE, "num_layers": 1, "cell": "minlstm"}, {}),
    ),
    other_arguments={
        "MinGRU": [
            {"units": 4, "positive": False, "learned_initial_state": True, "scan": "associative"}
        ],
        "MinLSTM": [
            {
                "units": 4,
                "positive": False,
                "learned_initial_state": True,
                "forget_bias": 2.0,
                "scan": "associative",
            }
        ],
    },
    corners={
        "min_rnn-mingru": [
            {"learned_initial_state": False},
            {"positive": False},
            {"scan": "associative"},
        ],
        "min_rnn-minlstm": [{"positive": True}, {"scan": "associative"}],
    },
)


def g(x):
    return np.where(x >= 0, x + 0.5, sigmoid(x))


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("cell", [MinGRU, MinLSTM])
def test_cells_are_the_papers_equations(cell, positive):
    layer = cell(4, positive=positive, learned_initial_state=True, dtype="float64")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 8, 3))
    layer.build(x.shape)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
    kernel, bias, initial = layer.get_weights()
    h = np.tile(g(initial) if positive else initial, (2, 1))
    want = []
    for t in range(8):
        candidate, *gates = np.split(x[:, t] @ kernel + bias, layer._parts, axis=-1)
        candidate = g(candidate) if positive else candidate
        if cell is MinGRU:
            z = sigmoid(gates[0])
            h = (1 - z) * h + z * candidate
        else:
            f, i = sigmoid(gates[0]), sigmoid(gates[1])
            h = f / (f + i) * h + i / (f + i) * candidate
        want.append(h)
    np.testing.assert_allclose(array(layer(x)), np.stack(want, 1), rtol=1e-10)


# A minGRU keeps 3 / 4 of its state where the gate is -ln 3, a minLSTM half where f = i; g(0.5) = 1.
@pytest.mark.parametrize("form", MinGRU.forms)
@pytest.mark.parametrize(
    ("cell", "bias", "kept"),
    [(MinGRU, [0.5, -np.log(3)], 0.75), (MinLSTM, [0.5, 0.3, 0.3], 0.5)],
)
@pytest.mark.parametrize("start", [0.0, -1.0, 2.0])
def test_any_state_counts_and_is_differentiated(cell, bias, kept, start, form):
    layer = cell(1, form=form, dtype="float64")
    layer.build((1, 2, 1))
    layer.bias.assign(bias)
    inputs = np.zeros((1, 2, 1))

    def run(hidden):
        return layer(inputs, initial_state={"hidden": hidden})

    (got,), (gradient,) = gradients(run, [np.full((1, 1), start)])
    first = kept * start + (1 - kept)
    np.testing.assert_allclose(got[0, :, 0], [first, kept * first + 1 - kept], rtol=1e-12)
    weights = np.array([0, 7919 % 1009]) / 504 - 1  # of `gradients`, by position
    np.testing.assert_allclose(gradient, [[weights @ [kept, kept**2]]], rtol=1e-12)


def test_log_space_starts_from_a_state_of_zero():
    x = np.random.default_rng(0).standard_normal((2, 9, 3))
    keras.utils.set_random_seed(0)
    layer = MinGRU(4, form="parallel", dtype="float64")
    got = array(layer(x))
    plain = MinGRU.from_config({**layer.get_config(), "form": "recurrent"})
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(got, array(plain(x)), rtol=1e-9)


def test_forget_bias_shifts_the_second_third():
    keras.utils.set_random_seed(0)
    layer = MinLSTM(200, forget_bias=3.0)
    layer.build((None, None, 4))
    means = array(layer.bias).reshape(3, 200).mean(1)
    np.testing.assert_allclose(means, [0, 3, 0], atol=0.1)


def test_parameters_of_the_papers_model():
    model = MinRNN(16, 64, 3)
    model.build((None, 4112))
    # Gates, learned initial state, projection and norm of a block; embedding, last norm, head.
    block = 64 * 768 + 768 + 384 + 384 * 64 + 64 + 64
    assert model.count_params() == 3 * block + 16 * 64 + 64 + 64 * 16


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MinGRU(0), "units.*0"),
        (lambda: MinLSTM(4, positive=False, form="parallel"), "form.*parallel"),
        (lambda: MinRNN(4, 8, 1, cell="gru"), "cell.*gru"),
        (lambda: MinGRU(4, learned_initial_state=True).get_initial_state(2), "build"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="static shapes of a graph")
@pytest.mark.parametrize("form", MinGRU.forms)
def test_a_graph_knows_the_width_of_outputs_and_state(form):
    import tensorflow as tf

    layer = MinGRU(4, form=form)
    layer.build((None, None, 3))
    traced = tf.function(lambda x: layer(x, return_state=True))
    outputs, state = traced.get_concrete_function(tf.TensorSpec((None, None, 3))).outputs
    assert outputs.shape.as_list() == [None, None, 4] and state.shape.as_list() == [None, 4]


def test_the_readmes_example_runs():
    readme = (Path(papers.min_rnn.__file__).parent / "README.md").read_text(encoding="utf-8")
    names: dict = {}
    exec(readme.split("```python\n")[1].split("```")[0], names)
    assert names["outputs"].shape == (8, 200, 32)
    assert names["output"].shape == (8, 32)
    assert names["state"]["hidden"].shape == (8, 32)


def test_selective_copying_selects_on_validation_data_and_tests_once(tmp_path, monkeypatch):
    asked = []

    def recorded(task, split, size, *others):
        asked.append((split, size))
        return evaluation_set(task, split, size, *others)

    monkeypatch.setattr(experiments, "evaluation_set", recorded)
    result = selective_copying(
        Run(variant="v", preset="cpu", seed=0, dir=tmp_path),
        cell="mingru",
        num_layers=1,
        length=8,
        num_tokens=2,
        units=4,
        expansion=1,
        batch_size=4,
        learning_rate=1e-3,
        steps=10,
        validation_size=6,
        test_size=10,
    )
    assert asked == [("validation", 6), ("test", 10)]
    assert set(result) == {"accuracy", "sequence_accuracy"}


def test_shakespeare_is_scored_in_nats_a_character(tmp_path, monkeypatch):
    """By the weights that the run leaves, on the test split, of a text that repeats itself."""
    text = np.arange(4000, dtype=np.int32) % 7
    monkeypatch.setattr(
        ShakespeareCharacters, "_symbols", lambda self, split: text[: 200 * len(split)]
    )
    run = Run(variant="mingru", preset="cpu", seed=0, dir=tmp_path)
    result = shakespeare(
        run,
        mixer="papers.min_rnn:MinGRU",
        mixer_settings={},
        units=16,
        num_layers=1,
        hidden_units=16,
        dropout=0.1,
        length=20,
        batch_size=8,
        learning_rate=1e-2,
        steps=60,
        eval_every=20,
        eval_size=None,
    )
    windows = text[:780].reshape(39, 20)
    model = keras.saving.load_model(tmp_path / "model.keras")
    chance = keras.ops.convert_to_numpy(keras.ops.softmax(model(windows), axis=-1))
    right = np.take_along_axis(chance, ((windows + 1) % 7)[..., None], axis=-1)
    np.testing.assert_allclose(result["loss"], -np.log(right).mean(), rtol=1e-4)
    losses = [row["validation_loss"] for row in run.history]
    assert result["validation_loss"] == min(losses) < losses[0]
    assert result["updates"] == 20 * (1 + np.argmin(losses))
