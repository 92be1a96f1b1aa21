"""TCN: the convolution and the block in NumPy, what an output sees, the trial on music."""

import keras
import numpy as np
import pytest
from keras import ops

from common.reproduce.execute.run import Run
from common.tasks.adding_problem import AddingProblem
from common.tasks.copy_memory import CopyMemory
from common.tasks.polyphonic_music import PianoRolls
from common.tasks.sequential_mnist import SequentialMNIST
from papers.tcn import TCN, DilatedConvolution, ResidualBlock
from papers.tcn.counting import parameters
from papers.tcn.digits import digits
from papers.tcn.experiments import cropped, music, plateaus, settled
from papers.tcn.networks import make_network
from papers.tcn.stress_tests import adding, copying
from tests.contract.papers import COMMON, ModelSubject, PaperContract
from tests.helpers.arrays import array

BLOCK = {"units": 4, "kernel_size": 2, "dilation": 2}
CONTRACT = PaperContract(
    kernels={
        "tcn-dilated-convolution": [],
        "tcn-residual-block": [(1, 3, 5)],
        "tcn-gru": [(1, 3, 15), (1, 5, 15)],
        "tcn-rnn": [(1, 3, 5), (1, 5, 5)],
    },
    models=(
        ModelSubject(
            "tcn",
            TCN,
            {"output_dim": 4, "units": 5, "num_layers": 2, "kernel_size": 3},
            COMMON | {"dropout": 0.3, "return_sequences": False, "form": "recurrent"},
            width=3,
        ),
    ),
    other_arguments={
        "DilatedConvolution": [BLOCK],
        "ResidualBlock": [BLOCK | {"dropout": 0.4}],
        "GRU": [{"units": 4}],
        "ElmanRNN": [{"units": 4}],
    },
    corners={"tcn-residual-block": [{"units": 3}]},  # no 1x1 convolution
)


def shaken(layer, width):
    """The layer, built, with all weights off their initial values."""
    layer.build((None, None, width))
    rng = np.random.default_rng(1)
    layer.set_weights([w + 0.3 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    return layer


def convolved(layer, x):
    """Equation 2 at every step, with torch's definition of weight normalisation."""
    v, g, b = (array(w) for w in (layer.conv_direction, layer.conv_gain, layer.conv_bias))
    f = np.stack(
        [g[u] * v[:, :, u] / np.linalg.norm(v[:, :, u]) for u in range(layer.units)], axis=-1
    )
    y = np.zeros((*x.shape[:2], layer.units)) + b
    for t in range(x.shape[1]):
        for i in range(layer.kernel_size):
            if t - layer.dilation * i >= 0:
                y[:, t] += x[:, t - layer.dilation * i] @ f[layer.kernel_size - 1 - i]
    return y


@pytest.mark.parametrize("form", DilatedConvolution.forms)
def test_the_convolution_is_equation_2(form):
    layer = shaken(DilatedConvolution(4, 3, dilation=2, form=form, dtype="float64"), 3)
    x = np.random.default_rng(0).standard_normal((2, 11, 3))
    np.testing.assert_allclose(array(layer(x)), convolved(layer, x), atol=1e-12)


@pytest.mark.parametrize("width", [3, 4])
def test_the_block_is_figure_1b(width):
    layer = shaken(ResidualBlock(4, 3, dilation=2, dtype="float64"), width)
    x = np.random.default_rng(0).standard_normal((2, 11, width))
    hidden = np.maximum(convolved(layer.first, x), 0)
    hidden = np.maximum(convolved(layer.second, hidden), 0)
    residual = x
    if width == 3:
        residual = x @ array(layer.residual_kernel) + array(layer.residual_bias)
    else:
        assert layer.residual_kernel is None
    np.testing.assert_allclose(array(layer(x)), np.maximum(residual + hidden, 0), atol=1e-12)


def test_the_gain_is_the_norm_and_the_direction_has_none():
    layer = shaken(DilatedConvolution(4, 3, dtype="float64"), 2)
    kernel = array(layer.normalised_kernel())
    norms = np.sqrt(np.square(kernel).sum((0, 1)))
    np.testing.assert_allclose(norms, np.abs(array(layer.conv_gain)), rtol=1e-12)
    layer.conv_direction.assign(7 * array(layer.conv_direction))
    np.testing.assert_allclose(array(layer.normalised_kernel()), kernel, rtol=1e-12)


def test_weights_start_as_torch_draws_them():
    """The gain is near the norm of the direction: 1 / 3 is n times the variance of an entry."""
    keras.utils.set_random_seed(0)
    layer = DilatedConvolution(50, 6)
    layer.build((None, None, 100))
    direction = array(layer.conv_direction)
    assert 0.99 / 600**0.5 < np.abs(direction).max() <= 1 / 600**0.5
    norms = np.sqrt(np.square(direction).sum((0, 1)))
    np.testing.assert_allclose(norms, array(layer.conv_gain), rtol=0.1)


def test_a_dropped_channel_is_dropped_at_all_steps():
    layer = ResidualBlock(40, 2, dropout=0.25)
    layer.build((None, None, 3))
    inputs = np.ones((3, 7, 3), "float32")
    kept = array(layer.features(inputs, training=True)["kept"])
    assert kept.shape == (3, 7, 80) and np.all(kept == kept[:, :1])
    values = np.unique(kept.round(5))
    np.testing.assert_allclose(values, [0, 1 / 0.75], rtol=1e-4)
    assert 0.1 < (kept == 0).mean() < 0.4
    assert "kept" not in layer.features(inputs)


def test_an_output_sees_its_receptive_field():
    model = TCN(2, units=4, num_layers=3, kernel_size=3, dtype="float64")
    model.build((None, None, 2))
    # Nothing negative, so that no ReLU is in the way.
    model.set_weights([np.abs(w) for w in model.get_weights()])
    assert model.receptive_field == 1 + 2 * 2 * (2**3 - 1) == 29
    x = np.random.default_rng(0).random((1, 40, 2))
    last = array(model(x))[:, -1]
    for distance, seen in ((28, True), (29, False)):
        changed = x.copy()
        changed[:, -1 - distance] += 1
        assert np.any(array(model(changed))[:, -1] != last) == seen, distance


@pytest.mark.parametrize(
    "size, thousands",
    [
        # Convolutions, gains and biases, 1x1 convolution, dense layer.
        ("jsb", 3 * 150 * (88 + 3 * 150) + 8 * 150 + 89 * 150 + 151 * 88),  # "300K"
        ("nottingham", 6 * 150 * (88 + 7 * 150) + 16 * 150 + 89 * 150 + 151 * 88),  # "1M"
        ("adding-600", 8 * 24 * (2 + 15 * 24) + 32 * 24 + 3 * 24 + 25),  # "70K"
        ("copy-1000", 8 * 10 * (1 + 15 * 10) + 32 * 10 + 2 * 10 + 11 * 10),  # "13K"
    ],
)
def test_parameters_of_table_2(size, thousands):
    assert parameters(None, size=size)["thousands"] == thousands / 1e3


def test_the_recurrent_networks_have_the_size_of_the_tcn():
    for kind, units, layers in (("gru", 163, 2), ("rnn", 288, 2)):
        network = make_network(kind, 88, 88, units=units, num_layers=layers)
        assert network.count_params() == pytest.approx(300_000, rel=0.01)
    with pytest.raises(ValueError, match="kind.*'cnn'"):
        make_network("cnn", 88, 88, units=2, num_layers=1)


def test_the_learning_rate_falls_where_validation_is_worse_than_three_times_before():
    falling = list(np.linspace(9, 8, 12))
    assert plateaus(falling) == 0
    assert plateaus([8.0, 9.0, *falling[:8]]) == 0  # the first ten epochs do not count
    assert plateaus([*falling, 8.05]) == 0  # better than one of three
    assert plateaus([*falling, 8.5, 8.6, 8.4]) == 2


def test_training_ends_once_validation_settles():
    assert not settled([9.0, 8.0, 8.0], 3)
    assert not settled([9.0, 8.0, 7.99, 8.5], 2)
    assert settled([9.0, 8.0, 7.993, 8.5], 2)


def test_a_crop_is_of_consecutive_steps():
    song = {
        "inputs": np.arange(16.0).reshape(1, 16, 1),
        "weights": (np.arange(16) < 11)[None].astype("float32"),
    }
    starts = set()
    for seed in range(40):
        cut = cropped(song, 4, np.random.default_rng(seed))
        assert np.all(np.diff(cut["inputs"][0, :, 0]) == 1) and cut["weights"].sum() == 4
        starts.add(int(cut["inputs"][0, 0, 0]))
    assert starts == set(range(8))
    assert cropped(song, 12, np.random.default_rng(0))["inputs"].shape == (1, 12, 1)


def test_the_trial_on_songs_of_which_half_the_keys_are_known(tmp_path, monkeypatch):
    """The loss is per step and summed over keys, padding left out."""
    lengths = {"train": (9, 12, 16), "validation": (10, 11), "test": (5, 12)}

    def sequences(self, split):
        rng = np.random.default_rng(len(split))
        rolls = [(rng.random((n + 1, 88)) < 0.1).astype("float32") for n in lengths[split]]
        return [{"inputs": roll[:-1], "targets": roll[1:]} for roll in rolls]

    monkeypatch.setattr(PianoRolls, "sequences", sequences)
    run = Run(variant="tcn", preset="cpu", seed=0, dir=tmp_path)
    network = {"kind": "tcn", "units": 8, "num_layers": 1, "kernel_size": 2, "dropout": 0.1}
    result = music(
        run,
        dataset="JSBChorales",
        network=network,
        learning_rate=1e-2,
        clip=1.0,
        epochs=13,
        patience=50,
        narrowing=2,
    )
    model = keras.saving.load_model(tmp_path / "model.keras")
    total = 0.0
    for song in sequences(None, "test"):
        logits = array(model(song["inputs"][None]))[0].astype("float64")
        chance = 1 / (1 + np.exp(-logits))
        y = song["targets"]
        total -= (y * np.log(chance) + (1 - y) * np.log(1 - chance)).sum()
    assert result["nll"] == pytest.approx(total / 17, rel=1e-5)
    losses = [row["validation_nll"] for row in run.history]
    assert len(losses) == 13 and losses[-1] < losses[0]
    assert result["validation_nll"] == min(losses)
    assert result["epoch"] == 1 + np.argmin(losses)
    assert result["parameters"] == model.count_params() / 1e6


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="kernel_size.*at least 2"):
        DilatedConvolution(4, 1)
    with pytest.raises(ValueError, match="build the layer first"):
        DilatedConvolution(4, 2).get_initial_state(1)
    with pytest.raises(ValueError, match="dataset.*'MuseData'"):
        music(None, dataset="MuseData", network={}, learning_rate=1e-3, clip=1.0, epochs=1,
              patience=1)  # fmt: skip


def test_the_stress_tests_measure_what_they_say(tmp_path):
    """From the models that they leave: the squared error, and the digits that are copied."""
    network = {"kind": "rnn", "units": 6, "num_layers": 1}
    sizes = {"batch_size": 4, "updates": 2, "eval_every": 2, "test_size": 12, "clip": 1.0}
    runs = [
        Run(variant="rnn", preset="cpu", seed=0, dir=tmp_path / name, data_dir=tmp_path)
        for name in ("adding", "copying")
    ]
    result = adding(runs[0], length=9, learning_rate=0.1, narrowing=2, network=network, **sizes)
    model = keras.saving.load_model(runs[0].dir / "model.keras")
    test = AddingProblem(length=9).batch(12, 0, 0, "test")
    error = np.square(array(model(test["inputs"])) - test["targets"]).mean()
    assert result == {"mse": pytest.approx(error, rel=1e-4), "parameters": model.count_params()}
    assert model.layers[0].units == 3

    result = copying(runs[1], delay=5, network=network, **sizes)
    model = keras.saving.load_model(runs[1].dir / "model.keras")
    test = CopyMemory(delay=5).batch(12, 0, 0, "test")
    logits = array(model(test["inputs"][..., None].astype("float32")))
    chance = array(ops.softmax(logits))
    named = np.take_along_axis(chance, test["targets"][..., None], -1)
    assert result["loss"] == pytest.approx(-np.log(named).mean(), rel=1e-4)
    copied = logits.argmax(-1)[:, -10:] == test["inputs"][:, :10]
    assert result["accuracy"] == pytest.approx(100 * copied.mean())


def test_digits_are_named_after_their_last_pixel(tmp_path, monkeypatch):
    """The accuracy of the model that is left, on pixels of zero mean and unit deviation."""
    rng = np.random.default_rng(0)
    arrays = {
        "inputs": rng.random((40, 12, 1), "float32"),
        "targets": rng.integers(10, size=40).astype("int32"),
    }
    monkeypatch.setattr(SequentialMNIST, "arrays", lambda self, split="train": arrays)
    run = Run(variant="gru", preset="cpu", seed=0, dir=tmp_path)
    result = digits(
        run,
        permuted=True,
        network={"kind": "gru", "units": 5, "num_layers": 1},
        learning_rate=1e-2,
        clip=1.0,
        batch_size=8,
        updates=7,
        examples=32,
    )
    model = keras.saving.load_model(tmp_path / "model.keras")
    pixels = (arrays["inputs"][:32] - 0.1307) / 0.3081
    named = array(model(pixels)).argmax(-1)
    want = 100 * (named == arrays["targets"][:32]).mean()
    assert result["accuracy"] == result["validation_accuracy"] == pytest.approx(want)
    assert result["parameters"] == model.count_params()
