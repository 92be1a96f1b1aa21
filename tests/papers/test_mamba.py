"""Mamba: re-derived in NumPy, its initial values, its models and their published sizes."""

import csv
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import papers.mamba
from common.models import count_parameters
from common.reproduce.execute.run import Run
from papers.mamba import Mamba, MambaLM
from papers.mamba.experiments import associative_selective_scan, generation, scan_speed
from papers.mamba.model import SIZES, VOCABULARY, AttentionLM
from tests.contract.papers import APART, SIZE, ModelSubject, PaperContract, mlps, without
from tests.helpers.arrays import array, sigmoid

CONTRACT = PaperContract(
    kernels={
        "mamba-mamba": [(1, 3, 16), (1, 8, 7), (1, 1, 8), (1, 8, 4)],
    },
    models=(
        ModelSubject(
            "mamba",
            MambaLM,
            {**SIZE, "num_layers": 1, "state_dim": 3},
            APART
            | {"state_dim": 3, "kernel_size": 3, "expansion": 1, "form": "recurrent"}
            | {"tie_embeddings": False, "mlps": mlps(), "dt_rank": 2}
            | {"use_bias": True, "use_conv_bias": False},
        ),
        ModelSubject(
            "mamba-attention",
            AttentionLM,
            {**SIZE, "num_layers": 1, "num_heads": 2, "window": 20},
            without(APART, "norm", "embedding_stddev", "position_embedding")
            | {"positions": "rotary", "mlps": mlps()},
        ),
        ModelSubject(
            "mamba-rotary",
            AttentionLM,
            {**SIZE, "num_layers": 1, "num_heads": 2, "window": 20, "positions": "rotary"},
            {},
        ),
    ),
    other_arguments={
        "Mamba": [
            {"units": 4, "state_dim": 3, "kernel_size": 3, "expansion": 3, "dt_rank": 2}
            | {"negative_eigenvalues": True, "num_layers": 5, "scan": "associative"}
            | {"use_bias": True, "use_conv_bias": False}
        ],
    },
    corners={"mamba-mamba": [{"scan": "associative"}, {"use_bias": True, "use_conv_bias": False}]},
)


REPORTED = Path(papers.mamba.__file__).parent / "reported.csv"


def reported(name: str) -> float:
    with REPORTED.open(encoding="utf-8") as file:
        return float(next(row["value"] for row in csv.DictReader(file) if row["id"] == name))


@pytest.mark.parametrize("negative", [False, True])
def test_the_layer_is_the_papers_equations(negative):
    layer = Mamba(
        6, state_dim=3, kernel_size=3, dt_rank=2, negative_eigenvalues=negative, dtype="float64"
    )
    rng = np.random.default_rng(0)
    u = rng.standard_normal((2, 9, 5))
    layer.build(u.shape)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
    weights = {w.name: array(w) for w in layer.weights}
    x, z = np.split(u @ weights["kernel"], 2, axis=-1)
    padded = np.concatenate([np.zeros((2, 2, 12)), x], axis=1)
    h, want = np.zeros((2, 12, 3)), []
    a = -np.exp(weights["a_log"])
    for t in range(9):
        s = (padded[:, t : t + 3] * weights["conv_kernel"]).sum(1) + weights["conv_bias"]
        s = s * sigmoid(s)
        low, b, c = np.split(s @ weights["x_kernel"], [2, 5], axis=-1)
        delta = np.log1p(np.exp(low @ weights["dt_kernel"] + weights["dt_bias"]))
        decay = np.exp(delta[..., None] * a)
        decay = 2 * decay - 1 if negative else decay
        h = decay * h + (delta * s)[..., None] * b[:, None]
        y = (h * c[:, None]).sum(-1) + weights["skip"] * s
        want.append((y * z[:, t] * sigmoid(z[:, t])) @ weights["output_kernel"])
    np.testing.assert_allclose(array(layer(u)), np.stack(want, 1), rtol=1e-9, atol=1e-12)


def test_weights_begin_as_the_papers():
    keras.utils.set_random_seed(0)
    layer = Mamba(256, num_layers=4)
    layer.build((None, None, 256))
    assert layer.rank == 16 and layer.x_kernel.shape == (512, 48)
    np.testing.assert_allclose(
        array(layer.a_log), np.tile(np.log(np.arange(1, 17)), (512, 1)), atol=1e-6
    )
    np.testing.assert_array_equal(array(layer.skip), 1)
    # Step sizes log-uniform in [0.001, 0.1].
    delta = np.log10(np.log1p(np.exp(array(layer.dt_bias).astype("float64"))))
    assert -3 <= delta.min() < -2.95 and -1.05 < delta.max() <= -1
    np.testing.assert_allclose(delta.mean(), -2, atol=0.1)
    for weight, bound in ((layer.dt_kernel, 16**-0.5), (layer.output_kernel, 512**-0.5 / 2)):
        assert 0.95 * bound < np.abs(array(weight)).max() <= bound


def test_a_and_d_are_float32_and_do_not_decay():
    layer = Mamba(8, dtype="mixed_bfloat16")
    layer.build((None, None, 8))
    assert layer.a_log.dtype == layer.skip.dtype == "float32"
    optimizer = keras.optimizers.AdamW(0.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=Mamba.no_decay)
    before = [array(w) for w in layer.trainable_variables]
    optimizer.apply([ops.zeros(w.shape) for w in before], layer.trainable_variables)
    kept = [w for w in layer.trainable_variables if not optimizer._use_weight_decay(w)]
    assert {w.name for w in kept} == {"a_log", "skip"}


def test_negative_eigenvalues_track_parity():
    """A state of one number that flips its sign at every 1 (Grazzi et al., 2024, section 4)."""
    bits = np.random.default_rng(0).integers(0, 2, (1, 50))
    from common.ops.selective_scan import fused_selective_scan

    delta = np.where(bits == 1, 1e3, 0.0)[..., None].astype("float32")
    zeros = np.zeros((1, 50, 1), "float32")
    arguments = [ops.convert_to_tensor(v) for v in (zeros, delta, zeros, zeros + 1, [[-1.0]])]
    arguments[-1] = ops.cast(arguments[-1], "float32")
    y, _ = fused_selective_scan(*arguments, ops.ones((1, 1, 1)), negative=True)
    np.testing.assert_array_equal(array(y)[0, :, 0], 1 - 2 * (np.cumsum(bits) % 2))


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_those_of_the_published_weights(size):
    count = count_parameters(lambda: MambaLM(VOCABULARY, **SIZES[size]))
    assert count == reported(f"parameters-{size}")


@pytest.mark.parametrize(("row", "positions"), [("mha-abs", "absolute"), ("mha-rope", "rotary")])
def test_attention_has_the_parameters_of_table_11(row, positions):
    count = count_parameters(lambda: AttentionLM(16, 128, 2, 8, 256, positions))
    assert round(count / 1000) == reported(f"induction-parameters-{row}")


def models():
    return {
        "mamba": MambaLM(8, 16, 2, state_dim=4, tie_embeddings=False),
        "absolute": AttentionLM(8, 16, 2, 2, 12, "absolute"),
        "rotary": AttentionLM(8, 16, 2, 2, 12, "rotary"),
    }


def test_the_standard_scan_is_the_same_function():
    from common.ops.selective_scan import fused_selective_scan

    rng = np.random.default_rng(0)
    x, delta = rng.standard_normal((2, 1, 20, 3))
    b, c = rng.standard_normal((2, 1, 20, 4))
    arguments = [x, np.abs(delta), b, c, -rng.random((3, 4))]
    arguments = [ops.convert_to_tensor(value) for value in arguments]
    for got, want in zip(
        associative_selective_scan(*arguments), fused_selective_scan(*arguments), strict=True
    ):
        np.testing.assert_allclose(array(got), array(want), atol=1e-12)


def test_speeds_are_ratios_of_times(tmp_path):
    run = Run(variant="v", preset="cpu", seed=0, dir=tmp_path)
    sizes = {"batch_size": 1, "samples": 3}
    result = scan_speed(
        run,
        lengths=[4, 8],
        channels=2,
        state_dim=2,
        compilers=[False],
        **sizes,
    )
    assert result["ratio"] == min(result["parallel_ratio"], result["loop_ratio"])
    assert result["ratio"] > 0 and result["first_ratio"] > 0
    model = {"vocabulary_size": 8, "units": 64, "num_layers": 1}
    for name in ("mamba", "transformer"):
        result = generation(run, model=name, prompt=4, generated=2, **model, **sizes)
        assert result["tokens_per_second"] == pytest.approx(1e3 / result["milliseconds"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Mamba(0), "units.*0"),
        (lambda: Mamba(4, dt_rank=0), "dt_rank.*0"),
        (lambda: Mamba(4, kernel_size=1), "kernel_size.*1"),
        (lambda: MambaLM(4, 8, 0), "num_layers|mixers"),
        (lambda: AttentionLM(4, 8, 1, 1, 4, positions="learned"), "positions.*learned"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX's symbolic sizes")
def test_exports_with_a_free_batch_and_length():
    import jax
    from jax import export

    layer = Mamba(4)
    layer.build((None, None, 8))
    shape = (*export.symbolic_shape("b, t", constraints=("t >= 1",)), 8)
    exported = export.export(jax.jit(layer))(jax.ShapeDtypeStruct(shape, "float32"))
    inputs = np.random.default_rng(0).standard_normal((2, 40, 8)).astype("float32")
    np.testing.assert_allclose(array(exported.call(inputs)), array(layer(inputs)), atol=1e-6)
