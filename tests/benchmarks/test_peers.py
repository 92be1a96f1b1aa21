import math
import sys
from dataclasses import replace

import keras
import pytest

from benchmarks.claims import load_baselines, speed_claims
from benchmarks.kernels import draw
from benchmarks.models import Shape
from benchmarks.options import Options
from benchmarks.peers import find_peers, fla
from benchmarks.programs import Workload, make_program
from benchmarks.roofline import measure_roofline
from benchmarks.rows import Row
from benchmarks.runner import classify
from common.reproduce.cli import package_directory
from common.reproduce.execute.memory import peak_memory
from common.reproduce.judge.reported import load_reported
from papers import get_paper, list_papers

SHAPE = Shape("float32", "cpu", 8, 8, 2)


def test_the_peers_of_any_shape():
    found, absent = find_peers(SHAPE)
    assert {"keras LSTM", "keras GRU", "keras MHA", "keras GQA"} <= set(found)
    assert not set(absent) & {"keras", "keras-lmu", "mambapy", "transformers"}


def test_peers_are_those_of_the_libraries_that_are_asked_for():
    found, absent = find_peers(SHAPE, ("keras GRU",))
    assert {name.partition(" ")[0] for name in found} == {"keras"} and absent == {}
    assert find_peers(SHAPE, ("none",)) == ({}, {})
    options = Options(peers=("torch", "keras GRU"))
    names = ("torch LSTM", "keras GRU", "keras LSTM", "keras-lmu LMU")
    assert [name for name in names if options.takes_peer(name)] == ["torch LSTM", "keras GRU"]


def test_a_library_that_does_not_import_is_absent_with_the_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found, absent = find_peers(SHAPE)
    assert "torch LSTM" not in found and "keras LSTM" in found
    assert "torch" in absent["torch"] and "ModuleNotFoundError" in absent["torch"]


def test_kernels_for_a_gpu_are_absent_without_one():
    layers = {"fast_weights/sum-elu": get_paper("fast_weights").layers[1]}
    _, absent = find_peers(replace(SHAPE, layers=layers))
    assert absent["fla"] == "RuntimeError: its kernels need a GPU"


@pytest.mark.parametrize(
    ("layer", "cls", "want"),
    [
        # Named by hand, of each layer's benchmark size and fla 0.6's signatures.
        ("gla/gated-linear-attention", "GatedLinearAttention", {"num_heads": 4}),
        (
            "delta_net/gated-delta-net",
            "GatedDeltaNet",
            {"num_heads": 2, "head_dim": 128, "expand_v": 1},
        ),
        ("mamba2/mamba2", "Mamba2", {"num_heads": 8, "head_dim": 64, "state_size": 64}),
    ],
)
def test_layers_of_fla_have_the_heads_of_ours(layer, cls, want):
    case = Options(layers=(layer,)).chosen_layers()[layer]
    heads = case.config.get("num_heads", 4)
    widths = {"input_dim": case.input_dim, "units": case.input_dim, "heads": heads}
    shape = Shape("bfloat16", "cuda", **widths, layers={layer: case})
    assert fla.arguments(cls, shape) == {"hidden_size": case.input_dim, **want}


@pytest.mark.parametrize(
    "name", ["keras GRU", "keras MHA", "keras GQA", "torch LSTM", "torch SDPA"]
)
def test_peers_have_the_shape_of_the_layers(name):
    found, absent = find_peers(SHAPE)
    if name not in found:
        pytest.skip(absent["torch"])
    model = found[name]()
    workload = Workload("forward+backward", [draw(2, 6, 8)], draw(2, 6, 8, seed=1), "float32")
    outputs, in_inputs, *in_weights = make_program(model, workload, "eager").call()
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


@pytest.mark.parametrize("name", list_papers())
def test_baselines_stand_beside_what_is_reported(name):
    paper = get_paper(name)
    directory = package_directory(paper)
    reported = load_reported(directory / "reported.csv")
    layers = {"", *(f"{name}/{case.name}" for case in paper.layers)}
    for baseline in load_baselines(directory):
        assert any(claim.startswith(baseline.claim) for claim in reported), baseline
        assert baseline.layer in layers and bool(baseline.layer) == bool(baseline.peer), baseline


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
    need = peak_memory(lambda: keras.ops.ones((64, 1024, 256)) + 1, "cpu", torch=False)
    if need is None:
        pytest.skip("no /proc/self/clear_refs")
    # One array of 64 MiB at least, and not more than three.
    assert 0.9 < need / 2**26 < 3.2
