"""The TFDS data sets of recorded data, from a file in the manual directory or from a server."""

import dataclasses
import functools
import hashlib
import http.server
import shutil
import socket
import threading
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from common.reproduce.files import FileError
from common.tasks import datasets
from common.tasks.datasets import FileDataset
from common.tasks.sources import MissingFile, manual_directory
from tests.common.tasks.recorded_data import WRITERS, as_real, real_file, small_file  # noqa: F401

BUILDERS = sorted(WRITERS, key=lambda builder: builder.name)
# Numbers of examples, and the SHA-256 of what is read from the real files.
REAL = {
    datasets.JSBChorales: {
        "train": (229, "8765c9b5ac64a9a42baddf4d4d5fc056cff4d35530d3d796e8ea162476f32ae5"),
        "validation": (76, "9b62b4e368831c1336bcc6e881f9daaaef638c072f37f08367fd15982492067e"),
        "test": (77, "e2b3a03292acfb9c0801fdb763388ffb00264338b48b93f774c39da5409a4b35"),
    },
    datasets.Nottingham: {
        "train": (694, "821550c2d84c49891ae33ac34e52fdd719053a4309674679027a8cb83daff663"),
        "validation": (173, "479988c553aeae945245928d74a61e667e8e4eaf1f7619ea4d9e71f37cea4bd7"),
        "test": (170, "38496fd5ee1de7bde33adbf1ae200a7818447eb19cd7be54b98b5951477b00fd"),
    },
    datasets.ShakespeareCharacters: {
        "train": (1, "e47ba5560c07b0052f0f2fdfbe6649e1dd01d0af3dda0f277b74ec908cae3ae4"),
        "validation": (1, "4c3578795cbb84be66233bff3a40814430f6a5ef0aed326074e5644d53cb0a3c"),
        "test": (1, "ac78db8ad37103723a51ee1a6df7f427ed6dba5a7bf340e545cf143ea714ea83"),
    },
    datasets.JapaneseVowels: {
        "train": (270, "b7417e879fa5d1a8cae21e762b7bcbcd8f30291f386fdfa829ace16302ff11fa"),
        "test": (370, "70bacbcc641af9159c2a0fc85fa0514a418a8463f63a0984d7fc1c6f84baa297"),
    },
}


@pytest.mark.parametrize("builder", BUILDERS)
def test_loads_by_its_name_from_the_manual_directory(builder, small_file, tmp_path):  # noqa: F811
    small_file(builder)
    loaded = tfds.load(builder.name, data_dir=tmp_path)
    made = tfds.builder(builder.name, data_dir=tmp_path)
    for split, examples in loaded.items():
        want = list(made.source(split))
        assert len(examples) == len(want) == made.info.splits[split].num_examples
        for got, expected in zip(tfds.as_numpy(examples), want, strict=True):
            assert got.keys() == expected.keys() == made.info.features.keys()
            for name, values in got.items():
                np.testing.assert_array_equal(values, expected[name])
    for name in made.info.features:
        assert f'"{name}"`' in made.info.description
    assert str(made.version) == "1.0.0" and made.info.citation
    assert made.info.homepage.startswith("https://")


@pytest.mark.parametrize("builder", BUILDERS)
def test_offline_it_says_within_seconds_what_is_wanted(builder, tmp_path, monkeypatch):
    # A server that takes connections and never answers is the slowest way to be offline.
    slow = builder in (datasets.JSBChorales, datasets.SequentialMNIST)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        source = dataclasses.replace(builder.SOURCE, url=url)
        monkeypatch.setattr(builder, "SOURCE", source)
        monkeypatch.setattr("common.tasks.sequential_mnist.SOURCE", url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        if not slow:
            server.close()
        start = time.monotonic()
        with pytest.raises(MissingFile) as info:
            tfds.load(builder.name, data_dir=tmp_path)
        assert time.monotonic() - start < 5.0
    line = str(info.value)
    assert isinstance(info.value, ValueError) and "\n" not in line
    for part in (source.file, url, str(manual_directory(tmp_path)), "can't be reached"):
        assert part in line, part


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_downloads_where_there_is_a_network(tmp_path, monkeypatch):
    builder = datasets.ShakespeareCharacters
    (tmp_path / "served").mkdir()
    path = tmp_path / "served" / "input.txt"
    WRITERS[builder](path)
    as_real(monkeypatch, builder, path)
    handler = functools.partial(_Quiet, directory=path.parent)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/input.txt"
        monkeypatch.setattr(builder, "SOURCE", dataclasses.replace(builder.SOURCE, url=url))
        (example,) = builder.read("train", tmp_path / "data")
        # What the server has by then is another text.
        path.write_text("Out, out, brief candle!")
        with pytest.raises(FileError, match=r"has the SHA-256 .*Delete it and get it again"):
            builder.read("train", tmp_path / "other")
        server.shutdown()
    assert example["text"].tobytes() == b"Hark! What light?\n" * 90


def test_another_file_is_refused(small_file, tmp_path):  # noqa: F811
    path = small_file(datasets.JSBChorales)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(FileError, match=rf"{path} has the SHA-256 .*, expected .*get it again"):
        datasets.JSBChorales.read("train", tmp_path)
    assert not (tmp_path / "jsb_chorales" / "1.0.0").exists()


def test_what_was_prepared_needs_no_file_and_must_be_unchanged(
    small_file,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    builder = datasets.JSBChorales
    path = small_file(builder)
    want = builder.read("train", tmp_path)
    shutil.rmtree(path.parent)
    monkeypatch.setattr(builder, "_file", lambda *_: pytest.fail("looked for the file"))
    got = builder.read("train", tmp_path)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one["notes"], other["notes"])
    # The parser reads other notes than the files on disk hold.
    made = builder(data_dir=tmp_path)
    info = made.data_path / "metadata.json"
    info.write_text(info.read_text().replace('"train": "', '"train": "0'))
    with pytest.raises(FileError, match="the files were changed"):
        builder.read("train", tmp_path)


def test_permuted_pixels(small_file, tmp_path):  # noqa: F811
    small_file(datasets.SequentialMNIST)
    plain, permuted = (
        tfds.builder(f"sequential_mnist/{name}", data_dir=tmp_path)
        for name in ("sequential", "permuted")
    )
    order = np.random.default_rng(0).permutation(784)
    for made in (plain, permuted):
        made.download_and_prepare()
    for one, other in zip(plain.source("test"), permuted.source("test"), strict=True):
        np.testing.assert_array_equal(one["pixels"][order], other["pixels"])
        assert one["label"] == other["label"]


@pytest.mark.parametrize("builder", REAL, ids=lambda builder: builder.name)
def test_the_real_files(builder):
    path = builder.SOURCE.find(real_file(builder.SOURCE))
    examples = builder.examples(builder, path)
    assert examples.keys() == REAL[builder].keys()
    for split, (count, sha256) in REAL[builder].items():
        assert len(examples[split]) == count
        assert FileDataset.digest(examples[split]) == sha256


def test_the_real_piano_rolls_have_the_published_steps():
    steps = {
        datasets.JSBChorales: {"train": 13_807, "validation": 4_602, "test": 4_725},
        datasets.Nottingham: {"train": 176_561, "validation": 45_513, "test": 44_463},
    }
    for builder, expected in steps.items():
        path = builder.SOURCE.find(real_file(builder.SOURCE))
        examples = builder.examples(builder, path)
        got = {split: sum(len(one["notes"]) for one in examples[split]) for split in examples}
        assert got == expected
        assert set(np.unique(examples["test"][0]["notes"])) == {0, 1}


def test_checksums_are_whole():
    for builder in BUILDERS:
        assert len(bytes.fromhex(builder.SOURCE.sha256)) == hashlib.sha256().digest_size
        assert builder.SOURCE.url.startswith("https://")


class _Gone(_Quiet):
    def do_GET(self):
        self.send_error(404)


def test_a_download_that_fails_says_what_is_wanted(tmp_path, monkeypatch):
    builder = datasets.Nottingham
    handler = functools.partial(_Gone, directory=tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(builder, "SOURCE", dataclasses.replace(builder.SOURCE, url=url))
        with pytest.raises(MissingFile, match=rf"Nottingham.mat is not in .*{url} can't be downl"):
            builder.read("train", tmp_path)
        server.shutdown()


def test_without_array_record_it_reads_tfds_s_own_files(small_file, tmp_path):  # noqa: F811
    small_file(datasets.JapaneseVowels)
    want = datasets.JapaneseVowels.read("test", tmp_path)
    made = datasets.JapaneseVowels(data_dir=tmp_path / "other", file_format="tfrecord")
    config = tfds.download.DownloadConfig(manual_dir=manual_directory(tmp_path))
    made.download_and_prepare(download_config=config)
    for one, other in zip(made.source("test"), want, strict=True):
        for name in ("coefficients", "speaker"):
            np.testing.assert_array_equal(one[name], other[name])
