"""Layers whose sequence is split over 8 devices are those on one, values and gradients."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from common.layers import SequenceLayer, SoftmaxAttention
from common.sequence_parallel import sequence_parallel
from papers.delta_net import DeltaNet
from papers.gla import GatedLinearAttention

ROOT = Path(__file__).parents[2]
# One of each kind of state; the others are marked slow.
MEMORIES = {
    "delta_net-delta-net": "matrix",
    "h3-s4d": "complex",
    "log_linear-delta-net": "matrix",
    "mamba3-mamba3": "diagonal",
    "xlstm-mlstm": "diagonal",
}
OTHERS = {
    "delta_net-gated-delta-net": "matrix",
    "delta_product-delta-product": "matrix",
    "delta_product-gated-delta-product": "matrix",
    "fast_weights-delta-dpfp": "matrix",
    "fast_weights-sum-elu": "diagonal",
    "gla-gated-linear-attention": "diagonal",
    "griffin-rg-lru": "diagonal",
    "griffin-block": "diagonal",
    "h3-h3": "complex",
    "kimi_delta-kimi-delta": "matrix",
    "linear_transformer-linear-attention": "diagonal",
    "log_linear-mamba2": "diagonal",
    "mamba-mamba": "diagonal",
    "mamba2-mamba2": "diagonal",
    "min_rnn-mingru": "diagonal",
    "min_rnn-minlstm": "diagonal",
    "retnet-retention": "diagonal",
    "rwkv7-rwkv7": "matrix",
}
# A memory of another kind, and a recurrence that is not linear.
WRONG = {"delta_net-delta-net": "diagonal", "tcn-gru": "diagonal"}


def told(apart, nan, batch=None, small=None, steep=None):
    """What a process with 8 devices finds."""
    pytest.importorskip("jax")
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1", "PYTHONPATH": str(ROOT)}
    env["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
    asked = {"apart": apart, "nan": nan, "batch": batch, "small": small, "steep": steep}
    asked = {name: cases or {} for name, cases in asked.items()}
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.split_in_time", json.dumps(asked)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_values_and_gradients_are_those_of_one_device():
    small = {"delta_net-gated-delta-net": "diagonal"}
    # Gates so steep that the largest weights of two parts are far apart.
    steep = {"xlstm-mlstm": "diagonal"}
    found = told(MEMORIES, WRONG, {"mamba3-mamba3": "diagonal"}, small, steep)
    assert found["apart"].keys() == MEMORIES.keys()
    assert all(apart < 1e-10 for apart in found["apart"].values()), found
    assert found["batch too"]["mamba3-mamba3"] < 1e-10
    assert found["steep"]["xlstm-mlstm"] < 1e-10
    assert found["nan"] == dict.fromkeys(WRONG, True)
    assert found["small"] == dict.fromkeys(small, True)


@pytest.mark.slow
def test_those_of_every_layer_with_a_linear_memory():
    wrong = {"h3-s4d": "diagonal", "structured_linear_cde-block-diagonal": "diagonal"}
    found = told(OTHERS, wrong)
    assert found["apart"].keys() == OTHERS.keys()
    assert all(apart < 1e-10 for apart in found["apart"].values()), found
    assert found["nan"] == dict.fromkeys(wrong, True)


def built(layer: SequenceLayer) -> SequenceLayer:
    layer.build((None, None, 4))
    return layer


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="on JAX")
@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: GatedLinearAttention(8, 2), {}, "GatedLinearAttention: build the layer"),
        (
            lambda: built(SoftmaxAttention(8, num_heads=2, window=4)),
            {},
            "SoftmaxAttention.*'keys'.*not known to join",
        ),
        (lambda: built(DeltaNet(8, 2, go_backwards=True)), {}, "go_backwards=False"),
        (lambda: built(DeltaNet(8, 2)), {"memory": "dense"}, "`memory`.*'dense'"),
        (lambda: built(DeltaNet(8, 2)), {"axis": "time"}, "`axis`.*'sequence'.*'time'"),
        (lambda: built(DeltaNet(8, 2)), {"batch_axis": "data"}, "`batch_axis`.*'data'"),
    ],
)
def test_what_cannot_be_split_is_refused(make, options, message):
    import jax

    mesh = jax.make_mesh((1,), ("sequence",))
    with pytest.raises(ValueError, match=message):
        sequence_parallel(make(), mesh, **{"memory": "matrix", **options})


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="on another backend")
def test_another_backend_is_refused():
    with pytest.raises(ValueError, match="backend jax"):
        sequence_parallel(built(DeltaNet(8, 2)), None, "matrix")
