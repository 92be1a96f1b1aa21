import math
import sys

import keras
import pytest

from benchmarks.claims import speed_claims
from benchmarks.device import peak_memory
from benchmarks.models import Shape
from benchmarks.peers import find_peers
from benchmarks.programs import Work, make_program
from benchmarks.roofline import measure_roofline
from benchmarks.rows import Row
from benchmarks.runner import classify
from papers import get_paper

SHAPE = Shape(8, 8, 2, "float32", "cpu")


def test_the_peers_of_any_shape():
    found, absent = find_peers(SHAPE)
    assert {"keras LSTM", "keras GRU", "keras MHA", "keras GQA"} <= set(found)
    assert not set(absent) & {"keras", "keras-lmu", "mambapy", "transformers"}


def test_a_library_that_does_not_import_is_absent_with_the_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found, absent = find_peers(SHAPE)
    assert "torch LSTM" not in found and "keras LSTM" in found
    assert "torch" in absent["torch"] and "ModuleNotFoundError" in absent["torch"]


def test_kernels_for_a_gpu_are_absent_without_one():
    cases = {"fast_weights/sum-elu": get_paper("fast_weights").layers[1]}
    _, absent = find_peers(Shape(8, 8, 2, "float32", "cpu", cases))
    assert absent["flash-linear-attention"] == "RuntimeError: its kernels need a GPU"


@pytest.mark.parametrize(
    "name", ["keras GRU", "keras MHA", "keras GQA", "torch LSTM", "torch SDPA"]
)
def test_peers_have_the_shape_of_the_layers(name):
    found, absent = find_peers(SHAPE)
    if name not in found:
        pytest.skip(absent["torch"])
    model = found[name]()
    outputs, in_inputs, *in_weights = make_program(
        model, 8, Work("forward+backward", "eager", 2, 6, "float32")
    ).call()
    assert tuple(outputs.shape) == tuple(in_inputs.shape) == (2, 6, 8)
    assert sum(math.prod(x.shape) for x in in_weights) == model.parameters


@pytest.mark.parametrize(
    "error, status",
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
        (RuntimeError("OOM when allocating tensor with shape"), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (MemoryError(), "out of memory"),
        (NotImplementedError("no"), "unsupported"),
        (RuntimeError("bfloat16 is not supported"), "unsupported"),
        (ValueError("shapes differ"), "failed"),
    ],
)
def test_failures_are_told_apart(error, status):
    assert classify(error)[0] == status


def test_every_claimed_speed_is_listed_with_its_baseline():
    claims = {one.claim: one for one in speed_claims(["fast_weights", "lmu", "min_rnn"])}
    assert "SLOW" in claims["speed-mingru-t4096"].baseline
    assert claims["speed-mingru-t4096"].reported == "1324"
    assert claims["speed-mingru-t4096"].hardware == "T4 GPU, batch 64"
    assert "mackey-glass-lmu-lstm-time-ratio" in claims
    uncached = {one.claim: one for one in speed_claims(["linear_transformer"])}
    assert "SLOW" in uncached["generation-linear-to-uncached"].baseline
    assert "SLOW" not in uncached["generation-linear-to-cached"].baseline
    assert not any("bits" in name for name in uncached)


def test_the_ratio_of_this_run_is_of_the_best_times_at_the_greatest_length():
    def row(name, length, median, mode="forward+backward"):
        return Row(
            layer="min_rnn/mingru",
            name=name,
            compiler="xla",
            mode=mode,
            batch=1,
            length=length,
            dtype="float32",
            device="cpu",
            backend="tensorflow",
            median_ms=median,
        )

    rows = [
        row("chunkwise", 512, 2.0),
        row("recurrent", 512, 3.0),
        row("keras GRU", 512, 8.0),
        row("keras GRU", 512, 1.0, "forward"),
        row("chunkwise", 256, 1.0),
        row("keras GRU", 256, 1.0),
        row("chunkwise", 1024, 9.0),
    ]
    claims = {one.claim: one for one in speed_claims(["min_rnn"], rows)}
    assert claims["speed-mingru-t512"].this_run == "4 (T=512, keras GRU)"
    assert claims["speed-minlstm-t512"].this_run == "–"


def test_the_limits_of_this_machine():
    found = measure_roofline("cpu", "float32", samples=3)
    assert set(found.gemm) == {"float32"}
    assert 1e8 < found.gemm["float32"] < 1e15
    assert 1e8 < found.bandwidth < 1e13


def test_the_peak_of_memory_sees_what_a_call_allocates():
    need = peak_memory(lambda: keras.ops.ones((64, 1024, 256)) + 1, "cpu")
    if need is None:
        pytest.skip("no /proc/self/clear_refs")
    # One array of 64 MiB at least, and not more than three.
    assert 0.9 < need / 2**26 < 3.2
