"""What is split over devices, and that a step of training so is the step on one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from common.models.layout import ModelParallel, get_layout_map
from tests.contract.models import subjects

ROOT = Path(__file__).parents[3]
# Copied to every device, as one side does not grow with the model: lengths of convolutions, decays
# and state sizes, low ranks, a gate a head, blocks of four, biases of heads, shifts of inputs,
# and what an NTM starts from.
COPIED = (
    r".*/(conv_kernel|convolution_kernel|shift_read|shift_write)"
    r"|.*/(a_log|log_decay|frequency|read|write)"
    r"|.*/(decay_in_kernel|decay_kernel|gate_in_kernel|turn_in_kernel|forget_kernel)"
    r"|.*/(rate_in_kernel|rate_kernel|residual_in_kernel|rwkv7(_\d+)?/shift)"
    r"|.*/((further_)?strength_kernel|(post_up_)?mlstm(_\d+)?/gate_kernel)"
    r"|.*/mlstm(_\d+)?/(query|key|value)_kernel"
    r"|.*/(slstm|rglru)(_\d+)?/(bias|gate_bias)"
    r"|.*/lmu(_\d+)?/(input|hidden|memory)_encoders"
    r"|.*/mamba3(_\d+)?/(b|c)_bias"
    r"|.*/(level_kernel|level_scale)"
    r"|.*/ntm(_\d+)?/initial_(memory|reads|weights)"
)


def mesh():
    return keras.distribution.DeviceMesh((1, 2), ("batch", "model"), ["cpu:0", "cpu:1"])


@pytest.mark.parametrize("subject", subjects(), ids=lambda subject: subject.name)
def test_every_matrix_is_split_or_known_to_be_small(subject):
    model = subject.cls(**subject.given())
    model.build((None, None, subject.width) if subject.width else (None, None))
    layout_map = get_layout_map(mesh())
    for variable in model.variables:
        layout = layout_map[variable.path]
        if layout is not None:
            assert len(layout.axes) == len(variable.shape), variable.path
        copied = len(variable.shape) < 2 or re.fullmatch(COPIED, variable.path)
        assert (layout is None) == bool(copied), f"{variable.path} {variable.shape}: {layout}"


@pytest.mark.parametrize(
    ("path", "axes"),
    [
        ("net/embedding/embeddings", ("model", "batch")),
        ("net/mine/kernel", ("batch", "model")),
        ("kernel_net/gla_3/output_kernel", ("model", "batch")),
        ("mamba/x_kernel", ("model", None)),
        ("net/lstm_1/recurrent_kernel", (None, "model")),
        ("net/slstm_12/kernel", ("model", None, None)),
        ("net/block/rglru/gate_kernel", ("model", None, None)),
    ],
)
def test_layers_are_known_by_their_kind(path, axes):
    assert get_layout_map(mesh())[path].axes == axes


def test_axes_have_the_names_that_are_given():
    named = keras.distribution.DeviceMesh((2, 1), ("data", "tensor"), ["cpu:0", "cpu:1"])
    layout_map = get_layout_map(named, "tensor", "data")
    assert layout_map["net/dense/kernel"].axes == ("data", "tensor")
    with pytest.raises(ValueError, match="`model_parallel_dim_name` must be one of"):
        get_layout_map(named)
    with pytest.raises(ValueError, match="`data_parallel_dim_name` must be one of"):
        get_layout_map(named, "tensor")
    with pytest.raises(ValueError, match=r"`device_mesh` must be a keras\.distribution"):
        get_layout_map((1, 2))


def test_what_a_mesh_does_not_divide_is_named():
    layout_map = get_layout_map(mesh())
    distribution = ModelParallel(layout_map=layout_map, batch_dim_name="batch")
    odd = keras.Variable(keras.ops.zeros((7, 8)), name="embeddings")
    with pytest.raises(ValueError, match=r"`embeddings`.*multiples of 2.*'model'.*\(7, 8\)"):
        distribution.get_variable_layout(odd)
    layout_map["embeddings"] = (None, None)
    assert distribution.get_variable_layout(odd).axes == (None, None)


STEP = """
import keras
import numpy as np
from common.models.layout import ModelParallel, get_layout_map
from papers.gla import GLA
from papers.griffin import Griffin
from papers.mamba import MambaLM

d = keras.distribution
tokens = np.random.default_rng(0).integers(0, 8, (4, 6)).astype("int32")


def trained(make, weights=None):
    keras.utils.set_random_seed(0)
    model = make()
    model.build((None, None))
    if weights is not None:
        model.set_weights(weights)
    before = model.get_weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    return before, model.train_on_batch(tokens, np.roll(tokens, 1, axis=1)), model


def pieces(variable):
    return variable.value.sharding.shard_shape(tuple(variable.shape))


for make, split in (
    (lambda: MambaLM(vocabulary_size=8, units=8, num_layers=1),
     ("kernel", "x_kernel", "output_kernel", "embeddings")),
    (lambda: GLA(vocabulary_size=8, units=8, num_layers=1, num_heads=2),
     ("kernel", "gate_kernel", "output_kernel", "embeddings")),
    (lambda: Griffin(8, 8, "rlg", 8, num_blocks=2, num_heads=2, window=4, context=30),
     ("kernel", "gate_kernel", "output_kernel", "embeddings")),
):
    weights, loss, one = trained(make)
    # Over "batch" the second model alone: each is compiled for seconds.
    for shape in ((1, 2), (2, 1)) if make().name.startswith("gla") else ((1, 2),):
        mesh = d.DeviceMesh(shape, ("batch", "model"), d.list_devices())
        with ModelParallel(layout_map=get_layout_map(mesh), batch_dim_name="batch").scope():
            _, got, model = trained(make, weights)
        np.testing.assert_allclose(got, loss, atol=1e-5)
        for a, b in zip(model.get_weights(), one.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
        assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(one.get_weights(), weights))
        if shape == (1, 2):
            found = {v.name for v in model.variables if np.prod(pieces(v)) == np.prod(v.shape) / 2}
            assert found >= set(split), found
            copied = [v for v in model.variables if len(v.shape) == 1]
            assert copied and all(pieces(v) == tuple(v.shape) for v in copied)
            held = {v.path for v in model.optimizer.variables if pieces(v) != tuple(v.shape)}
            assert len(held) == len([v for v in model.variables if pieces(v) != tuple(v.shape)])

mesh = d.DeviceMesh((1, 2), ("batch", "model"), d.list_devices())
with ModelParallel(layout_map=get_layout_map(mesh), batch_dim_name="batch").scope():
    try:
        GLA(vocabulary_size=7, units=8, num_layers=1, num_heads=2).build((None, None))
    except ValueError as error:
        assert "embeddings" in str(error) and "(7, 8)" in str(error), error
    else:
        raise AssertionError
"""


# Devices are made before anything is computed, in a process of its own.
@pytest.mark.grid
def test_a_step_on_two_devices_is_the_step_on_one():
    pytest.importorskip("jax")
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    made = subprocess.run(
        [sys.executable, "-c", STEP],
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr
