"""The kernels of common as cases: what stands in the gate, what is timed, what it costs."""

import keras
import numpy as np
import pytest

from benchmarks import cases, kernels
from benchmarks.gate import Gate
from benchmarks.options import Options
from benchmarks.programs import make_program
from benchmarks.rows import read_rows
from tests.benchmarks.conftest import ALONE, QUICK, run

COMPILER = {"tensorflow": "graph", "jax": "jit", "torch": "eager"}[keras.backend.backend()]
WHOLE = [name for name in kernels.NAMES if name != "attention-step"]


def case_of(name: str) -> cases.Case:
    (case,) = cases.find_cases(Options(kernels=(name,), peers=("none",)), "cpu")
    return case


@pytest.mark.parametrize("name", WHOLE)
def test_every_form_passes_the_gate(name):
    case = case_of(name)
    gate = Gate(case, "cpu")
    for one in case.implementations:
        assert gate.disagreement(one, one.make(), COMPILER) == "", one.name


def test_gradients_are_those_of_the_upstream_gradient():
    """Of a linear function they are known: the scan's with gates of the same value."""
    case = case_of("scan")
    workload = case.workload("forward+backward", 1, 4)
    (one,) = case.implementations
    outputs, in_gates, in_inputs = (
        keras.ops.convert_to_numpy(x) for x in make_program(one.make(), workload, COMPILER).call()
    )
    (a, b), upstream = workload.inputs, workload.upstream
    h, states = np.zeros_like(b[:, 0]), []
    for t in range(4):
        states.append(h := a[:, t] * h + b[:, t])
    adjoint, before = np.zeros_like(h), [np.zeros_like(h), *states[:-1]]
    for t in reversed(range(4)):
        adjoint = upstream[:, t] + (a[:, t + 1] * adjoint if t < 3 else 0)
        np.testing.assert_allclose(in_inputs[:, t], adjoint, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(in_gates[:, t], adjoint * before[t], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs, np.stack(states, axis=1), rtol=1e-4, atol=1e-5)


def test_kernels_are_cases_of_the_program(tmp_path, capsys):
    arguments = ("--kernels", "scan", "attention-step", "lstm", "--length", "8", *ALONE)
    code, output, errors = run(capsys, *arguments, "--output", tmp_path)
    assert code == 0, errors
    rows = read_rows(tmp_path, "--report")
    timed = {(row.layer, row.name, row.mode) for row in rows if row.status == "ok"}
    assert timed >= {
        ("common/scan", "scan", "forward"),
        ("common/scan", "scan", "forward+backward"),
        ("common/attention-step", "after 10", "step"),
        ("common/attention-step", "after 10,000", "step"),
        ("common/lstm", "recurrent", "forward+backward"),
        ("common/lstm", "step", "step"),
    }
    assert not any(row.status != "ok" for row in rows)
    forward = next(row for row in rows if (row.name, row.mode) == ("scan", "forward"))
    assert forward.floor_bytes == 4 * 3 * 2 * 8 * kernels.CHANNELS
    assert "common/lstm" in output and "Reported speed and memory" not in output


def test_a_training_step_beside_the_peers_that_are_asked_for(tmp_path, capsys):
    arguments = ("--kernels", "scan", "lstm", "--length", "8", "--modes", "train", *QUICK)
    code, _, errors = run(capsys, *arguments, "--peers", "keras LSTM", "--output", tmp_path)
    assert code == 0, errors
    # A scan has nothing to train.
    timed = {(row.layer, row.name, row.mode) for row in read_rows(tmp_path, "--report")}
    assert timed == {
        ("common/lstm", "recurrent", "train"),
        ("common/lstm", "keras LSTM", "train"),
    }


def test_forms_sizes_and_peers_are_those_that_are_asked_for():
    options = Options(kernels=("linear-attention", "scan"), forms=("chunkwise",), peers=("keras",))
    (case,) = cases.find_cases(options, "cpu")
    assert [one.name for one in case.implementations] == ["chunkwise"]
    assert (case.batch, case.lengths) == (2, (2048,))
    options = Options(kernels=("scan",), peers=("keras",), length=(4, 8), batch=3)
    (case,) = cases.find_cases(options, "cpu")
    assert [one.name for one in case.implementations] == ["scan", "keras associative_scan"]
    assert (case.batch, case.lengths) == (3, (4, 8))


def test_kernels_leave_the_papers_out_unless_they_are_named():
    assert Options(kernels=("all",)).chosen_layers() == {}
    assert Options(kernels=("all",)).chosen_kernels() == kernels.NAMES
    named = Options(kernels=("scan",), papers=("gla",))
    assert list(named.chosen_layers()) == ["gla/gated-linear-attention"]
    assert Options().chosen_kernels() == ()


@pytest.mark.parametrize("form", ["recurrent", "chunkwise"])
def test_operations_are_those_of_the_formulas_beside_the_ops(form):
    from common.ops.delta_rule import delta_rule_flops
    from common.ops.gated_attention import gated_attention_flops

    length = 256
    made = {
        name: kernels.KERNELS[name].flops(form, length)
        for name in ("linear-attention", "normalised-attention", "gate-a-key", "delta-rule")
    }
    assert made["gate-a-key"] == gated_attention_flops(form, length, 8, 64, 64, gates=64)
    recurrent = 2 * 8 * length * 64 * 64
    if form == "recurrent":
        assert made["linear-attention"] == recurrent
        assert made["normalised-attention"] == recurrent * 65 // 64
        assert made["delta-rule"] == 2 * recurrent
    else:
        assert made["linear-attention"] == 4 * recurrent
        assert made["delta-rule"] == 8 * delta_rule_flops(length, 64, 64, 64)
