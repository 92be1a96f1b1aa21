import socket
import time

import numpy as np
import pytest

from common.tasks import SequentialMNIST, sequential_mnist


@pytest.fixture
def mock_mnist(tmp_path, monkeypatch):
    """A data directory from which TFDS loads six made-up digits for each split."""
    import tensorflow_datasets as tfds

    monkeypatch.setattr(sequential_mnist, "reachable", lambda url: True)
    with tfds.testing.mock_data(num_examples=6):
        yield str(tmp_path)


def test_pixels_in_reading_order(mock_mnist):
    import tensorflow_datasets as tfds

    task = SequentialMNIST(data_dir=mock_mnist)
    batch = task.batch(4, 0, 0, "test")
    assert batch["inputs"].shape == (4, 784, 1)
    assert batch["inputs"].dtype == np.float32
    assert batch["targets"].dtype == np.int32
    examples = tfds.as_numpy(tfds.load("mnist", split="test", data_dir=mock_mnist).take(4))
    for example, inputs, target in zip(examples, batch["inputs"], batch["targets"], strict=True):
        for pixel in (0, 1, 28, 29, 400, 783):
            row, column = divmod(pixel, 28)
            assert inputs[pixel, 0] == np.float32(example["image"][row, column, 0]) / 255
        assert target == example["label"]


def test_permutation_is_one_for_all_images_and_splits(mock_mnist):
    plain = SequentialMNIST(data_dir=mock_mnist)
    permuted = SequentialMNIST(permuted=True, data_dir=mock_mnist)
    np.testing.assert_array_equal(np.sort(permuted.order), np.arange(784))
    assert np.mean(permuted.order == np.arange(784)) < 0.01
    for split in ("train", "test"):
        expected = plain.arrays(split)["inputs"][:, permuted.order]
        np.testing.assert_array_equal(permuted.arrays(split)["inputs"], expected)
    other = SequentialMNIST(permuted=True, permutation_seed=1, data_dir=mock_mnist)
    assert (other.order != permuted.order).any()


def test_training_goes_through_all_examples(mock_mnist):
    task = SequentialMNIST(data_dir=mock_mnist)
    seen = np.concatenate([task.batch(4, 0, step)["inputs"] for step in (0, 1)])
    everything = task.arrays("train")["inputs"]
    assert len(seen) == len(everything) == 6
    np.testing.assert_array_equal(np.sort(seen, axis=0), np.sort(everything, axis=0))


def test_splits_of_the_training_images():
    assert sequential_mnist.SPLITS == {
        "train": "train[:50000]",
        "validation": "train[50000:]",
        "test": "test",
    }


def test_offline_fails_within_seconds_and_says_what_to_do(tmp_path, monkeypatch):
    # A server that takes connections and never answers: the slowest way to be offline.
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setattr(sequential_mnist, "SOURCE", url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        start = time.monotonic()
        with pytest.raises(FileNotFoundError, match="can't be reached.*copy data/mnist to") as info:
            SequentialMNIST(data_dir=str(tmp_path)).batch(2, 0, 0)
        assert time.monotonic() - start < 5.0
    assert str(tmp_path / "mnist") in str(info.value)


def test_unknown_hosts_and_refused_connections_are_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not sequential_mnist.reachable(f"http://127.0.0.1:{port}/")
    assert not sequential_mnist.reachable("http://no-such-host.invalid/", seconds=1.0)


def test_prepared_images_are_read_without_asking_the_network(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    (tmp_path / "mnist" / "3.0.1" / "dataset_info.json").write_text("{}")

    def reachable(url):
        raise AssertionError("asked the network")

    def load(name, **settings):
        asked.update(settings, name=name)
        return [(np.zeros((2, 28, 28, 1), np.uint8), np.array([3, 4]))]

    asked: dict = {}
    monkeypatch.setattr(sequential_mnist, "reachable", reachable)
    monkeypatch.setattr(tfds, "load", load)
    monkeypatch.setattr(tfds, "as_numpy", lambda dataset: dataset)
    arrays = SequentialMNIST(data_dir=str(tmp_path)).arrays("validation")
    np.testing.assert_array_equal(arrays["targets"], [3, 4])
    assert asked["name"] == "mnist"
    assert asked["split"] == "train[50000:]"
    assert asked["data_dir"] == tmp_path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"permuted": 1}, "`permuted` must be True or False; got 1"),
        ({"permutation_seed": -1}, "`permutation_seed` must be a non-negative integer.* got -1"),
        ({"data_dir": 3}, "`data_dir` must be a string; got 3"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        SequentialMNIST(**settings)


def test_unknown_split():
    with pytest.raises(ValueError, match="`split` must be one of .* got 'dev'"):
        SequentialMNIST().arrays("dev")
