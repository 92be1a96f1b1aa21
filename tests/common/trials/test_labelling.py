import keras
import numpy as np
import pytest

from common.layers import LSTM, SoftmaxAttention
from common.models import LanguageModel
from common.reproduce.execute.run import Run
from common.tasks import InductionHeads
from common.trials.labelling import accuracy, labelling


def attention_model(vocabulary_size, window, num_layers=2):
    mixers = [SoftmaxAttention(16, 2, window=window, rotary=True) for _ in range(num_layers)]
    return LanguageModel(vocabulary_size, 16, mixers, embedding_stddev=1.0)


def lstm_model(vocabulary_size):
    return LanguageModel(vocabulary_size, 16, [LSTM(16)], embedding_stddev=1.0)


MODEL = f"{__name__}:attention_model"
# Where nothing needs to be learned, and most of the time goes into compiling.
ONE_LAYER = {"window": 8, "num_layers": 1}


def trial(tmp_path, data_dir=None, **options):
    keras.utils.set_random_seed(0)
    run = Run(variant="v", preset="cpu", seed=0, dir=tmp_path, data_dir=data_dir)
    settings = {
        "model": MODEL,
        "model_settings": {"window": 8},
        "task": "InductionHeads",
        "task_settings": {"length": 8, "vocabulary_size": 5},
        "batch_size": 32,
        "steps": 60,
        "learning_rates": [1e-2],
        "eval_every": 20,
        "eval_size": 64,
        "test_size": 64,
    }
    return run, labelling(run, **{**settings, **options})


def test_accuracy_counts_scored_steps_only():
    arrays = {
        "targets": np.array([[1, 2], [3, 4]]),
        "weights": np.array([[1, 0], [1, 1]], "float32"),
    }
    assert accuracy(np.array([[1, 9], [3, 5]]), arrays) == pytest.approx(2 / 3)


def test_a_sweep_keeps_the_best_on_validation(tmp_path):
    _run, metrics = trial(tmp_path, learning_rates=[1e-9, 1e-2], tests={"16": {"length": 16}})
    assert set(metrics) == {"accuracy", "accuracy_16", "learning_rate", "updates"}
    assert metrics["learning_rate"] == 1e-2
    assert metrics["accuracy"] > 0.4 > 0.25  # a guess is right in one of four
    assert (tmp_path / "train-1e-09.checkpoint.npz").exists()


def test_validation_and_test_sets_are_frozen_and_read(tmp_path, monkeypatch):
    data = tmp_path / "data"
    options = {"steps": 1, "model_settings": ONE_LAYER, "tests": {"16": {"length": 16}}}
    _run, first = trial(tmp_path / "first", data_dir=data, **options)
    configs = {path.parent.parent.name for path in data.rglob("dataset_info.json")}
    assert configs == {
        "length=8,vocabulary_size=5,validation=64",
        "length=8,vocabulary_size=5,test=64",
        "length=16,vocabulary_size=5,test=64",
    }
    batch = InductionHeads.batch

    def only_training(self, batch_size, seed, step, split="train"):
        assert split == "train" or batch_size == 1  # of which the size in bytes is told
        return batch(self, batch_size, seed, step, split)

    monkeypatch.setattr(InductionHeads, "batch", only_training)
    _run, second = trial(tmp_path / "second", data_dir=data, **options)
    assert first == second


def test_streamed_tests_equal_whole_ones(tmp_path):
    options = {
        "model_settings": ONE_LAYER,
        "tests": {"20": {"length": 20}},
        "test_model": {"window": 20},
        "learning_rates": [1e-2],
    }
    _, whole = trial(tmp_path / "a", **options)
    _, streamed = trial(tmp_path / "b", stream=7, **options)
    assert streamed == whole


def test_scaled_accuracy_in_percent(tmp_path):
    _, plain = trial(tmp_path / "a", model=f"{__name__}:lstm_model", model_settings={})
    _, scaled = trial(
        tmp_path / "b",
        model=f"{__name__}:lstm_model",
        model_settings={},
        chance=0.25,
        percent=True,
    )
    assert scaled["accuracy"] == pytest.approx(100 * (plain["accuracy"] - 0.25) / 0.75)


def test_training_stops_when_it_is_done(tmp_path):
    done = {"model_settings": ONE_LAYER, "stop_accuracy": 0.0}
    run, _metrics = trial(tmp_path, **done, stop_after=2, schedule="cosine", warmup=0.1)
    assert len(run.history) == 2
    swept = {"learning_rates": [1e-3, 1e-2], **done}
    assert trial(tmp_path / "swept", **swept)[1]["learning_rate"] == 1e-3


def test_training_never_stops_without_a_bound(tmp_path):
    settings = {"model_settings": ONE_LAYER, "stop_accuracy": None, "stop_after": 1}
    run, _ = trial(tmp_path, **settings)
    assert run.history[-1]["step"] == 60


def test_of_equal_weights_the_first_or_the_last_are_tested(tmp_path):
    unchanging = {"model_settings": ONE_LAYER, "learning_rates": [1e-30], "stop_accuracy": 1.0}
    assert trial(tmp_path / "a", **unchanging)[1]["updates"] == 20
    assert trial(tmp_path / "b", keep="last", **unchanging)[1]["updates"] == 60


def test_an_unknown_choice_of_weights_is_named(tmp_path):
    with pytest.raises(ValueError, match="keep.*worst"):
        trial(tmp_path, keep="worst")


def test_an_unknown_schedule_is_named(tmp_path):
    with pytest.raises(ValueError, match="schedule.*step"):
        trial(tmp_path, schedule="step")
