"""Structured linear CDEs: transitions as matrices, the block by hand, the trial, the table."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from common.layers import LSTM, SoftmaxAttention
from common.reproduce.execute.run import Run
from common.reproduce.judge.reported import load_reported
from papers import get_paper
from papers.structured_linear_cde import SLiCE, StackedBlocks
from papers.structured_linear_cde.experiments import regular_language
from papers.structured_linear_cde.layers import STRUCTURES
from tests.contract.papers import COMMON, VOCABULARY, ModelSubject, PaperContract
from tests.helpers.arrays import array
from tests.helpers.gradients import gradients


def _blocks(block):
    def arguments(dtype):
        mixers = [SoftmaxAttention(8, 2, 20, rotary=True, dtype=dtype), LSTM(8, dtype=dtype)]
        return {"vocabulary_size": VOCABULARY, "units": 8, "mixers": mixers, "block": block}

    return arguments


CONTRACT = PaperContract(
    largest_inputs={
        f"structured_linear_cde-{case}": 10.0 for case in ("block-diagonal", "low-rank")
    },
    kernels={
        "structured_linear_cde-block-diagonal": [(1, 3, 4), (1, 4, 8)],
        "structured_linear_cde-low-rank": [(1, 3, 4), (1, 4, 4), (1, 4, 8), (1, 4, 8)],
    },
    models=(
        ModelSubject(
            "structured_linear_cde",
            StackedBlocks,
            _blocks("glu"),
            {**COMMON, "block": "tanh", "dropout": 0.3, "mixers": None},
        ),
    ),
    other_arguments={
        "SLiCE": [
            {
                "units": 4,
                "structure": "diagonal_dense",
                "block_size": 2,
                "rank": 3,
                "time_step": 0.3,
                "stddev": 0.5,
                "penalty": 0.1,
                "scan": "loop",
            }
        ]
    },
    corners={
        "structured_linear_cde-block-diagonal": [
            {"structure": "diagonal"},
            {"structure": "diagonal_dense"},
        ],
        "structured_linear_cde-low-rank": [{"structure": "walsh_hadamard"}],
    },
)


CONFIGS = {
    "diagonal": {},
    "block_diagonal": {"block_size": 2},
    "diagonal_dense": {"block_size": 3},
    "low_rank": {"rank": 3},
    "walsh_hadamard": {},
    "dense": {},
}


def slice_layer(structure, **options):
    keras.utils.set_random_seed(0)
    options = {"units": 4, "time_step": 0.3, "dtype": "float64", **CONFIGS[structure], **options}
    layer = SLiCE(structure=structure, **options)
    layer.build((None, None, 3))
    return layer


def channels_of(layer):
    """The matrices `A^0` to `A^D` of one layer, `(D + 1, N, N)`, where A is linear in them."""
    kernels = {weight.name: array(weight) for weight in layer.trainable_weights}
    matrices = []
    for channel in range(4):
        pieces = []
        if "diagonal_kernel" in kernels:
            diagonal = kernels["diagonal_kernel"][channel]
            bounded = layer.structure == "walsh_hadamard"
            pieces.append(np.diag(np.tanh(diagonal) if bounded else diagonal))
        if "block_kernel" in kernels:
            n = layer.block_size
            pieces += list(kernels["block_kernel"][channel].reshape(-1, n, n))
        matrix, at = np.zeros((4, 4)), 0
        for piece in pieces:
            matrix[at : at + len(piece), at : at + len(piece)] = piece
            at += len(piece)
        matrices.append(matrix)
    return np.stack(matrices)


@pytest.mark.parametrize("form", SLiCE.forms)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_is_a_product_of_matrices(structure, form):
    layer = slice_layer(structure, form=form)
    inputs = np.random.default_rng(1).normal(size=(2, 6, 3))
    driven = 0.3 * np.concatenate([np.ones((2, 6, 1)), inputs], axis=-1)
    flow = np.einsum("btc,cij->btij", driven, channels_of(layer))
    if structure == "walsh_hadamard":
        signs = [[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]
        flow = np.array(signs) / 2 @ flow
    if structure == "low_rank":
        left, right = (
            (driven @ array(kernel)).reshape(2, 6, 4, 3)
            for kernel in (layer.left_kernel, layer.right_kernel)
        )
        flow = flow + np.einsum("btir,btjr->btij", left, right)
    first = inputs[:, 0] @ array(layer.kernel) + array(layer.bias)
    want = [first]
    for t in range(1, 6):
        want.append(np.einsum("bij,bj->bi", np.eye(4) + flow[:, t], want[-1]))
    np.testing.assert_allclose(array(layer(inputs)), np.stack(want, axis=1), rtol=1e-11)


# What is not closed goes through the same scan as dense transitions; golden vectors hold it all.
@pytest.mark.parametrize("scan", ["loop", "associative"])
@pytest.mark.parametrize("structure", ["diagonal_dense", "low_rank", "walsh_hadamard"])
def test_forms_have_the_same_gradients(structure, scan):
    layers = [slice_layer(structure, form="recurrent"), slice_layer(structure, scan=scan)]
    inputs = np.random.default_rng(1).normal(size=(2, 5, 3))
    weights = [array(weight) for weight in layers[0].trainable_weights]
    found = []
    for layer in layers:

        def run(x, *values, layer=layer):
            filled = list(zip(layer.trainable_weights, values, strict=True))
            with keras.StatelessScope(state_mapping=filled):
                return layer(x)

        found.append(gradients(run, [inputs, *weights], mode="eager"))
    for got, want in zip(*(outputs + grads for outputs, grads in found), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11)
        assert np.abs(want).max() > 0


def test_blocks_of_one_are_a_diagonal():
    diagonal, blocks = slice_layer("diagonal"), slice_layer("block_diagonal", block_size=1)
    blocks.set_weights(diagonal.get_weights())
    inputs = np.random.default_rng(0).normal(size=(2, 7, 3))
    np.testing.assert_allclose(array(blocks(inputs)), array(diagonal(inputs)), rtol=1e-12)


def test_one_block_is_dense():
    dense, blocks = slice_layer("dense"), slice_layer("block_diagonal", block_size=4)
    blocks.set_weights(dense.get_weights())
    inputs = np.random.default_rng(0).normal(size=(2, 7, 3))
    np.testing.assert_allclose(array(blocks(inputs)), array(dense(inputs)), rtol=1e-12)


def test_a_dense_transition_counts_parity_in_two_numbers():
    """The example of appendix A.1: a one turns the sign of what is read, a zero leaves it."""
    layer = SLiCE(2, "dense", time_step=1.0, dtype="float64")
    layer.build((None, None, 1))
    turn = np.array([[-2.0, 0.0], [0.0, 0.0]])  # 1 + A(1) = diag(-1, 1)
    start = np.array([[-2.0, 0.0]])  # h_0 is 1 - 2 x_0 of the first bit
    layer.set_weights([start, np.ones(2), np.stack([0 * turn, turn]).reshape(2, 4)])
    bits = np.random.default_rng(0).integers(2, size=(3, 200, 1))
    read = array(layer(bits.astype("float64")))[..., 0]
    np.testing.assert_array_equal(read, 1 - 2 * (bits[..., 0].cumsum(axis=1) % 2))


def test_the_penalty_is_a_norm_of_the_transitions():
    layer = slice_layer("diagonal_dense", penalty=0.1)
    norms = [np.linalg.norm(array(w)) for w in (layer.diagonal_kernel, layer.block_kernel)]
    np.testing.assert_allclose(float(sum(layer.losses)), 0.1 * sum(norms), rtol=1e-6)
    assert slice_layer("dense").losses == []


def test_transitions_have_the_entries_of_the_papers_table():
    """Section 5.2: 512 entries in a transition of every structure, but for 128 of D and WH."""
    experiment = get_paper("structured_linear_cde").experiment("parity")
    entries = {}
    for variant in ("d_slice", "wh_slice", "bd_slice", "d_de_slice", "dplr_slice"):
        declared = experiment.settings("cpu", variant)
        layer = SLiCE(declared["units"], **declared["model_settings"]["mixer_settings"])
        layer.build((None, None, declared["units"]))
        kernels = [w for w in layer.trainable_weights if w.name not in ("kernel", "bias")]
        entries[variant] = sum(int(w.shape[1]) for w in kernels)
    assert entries == {
        "d_slice": 128,
        "wh_slice": 128,
        "bd_slice": 512,
        "d_de_slice": 512,
        "dplr_slice": 513,  # 57 (1 + 2 * 4)
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"structure": "sparse"}, "`structure` must be one of"),
        (
            {"structure": "block_diagonal", "block_size": 3},
            "`block_size` must be a divisor of `units` = 4; got 3",
        ),
        ({"structure": "diagonal_dense", "block_size": 4}, "`block_size` must be an integer"),
        ({"structure": "walsh_hadamard", "units": 6}, "`units` must be a power of two"),
        ({"rank": 0}, "`rank` must be"),
        ({"penalty": -1.0}, "`penalty` must be"),
        ({"time_step": 0.0}, "`time_step` must be"),
    ],
)
def test_bad_arguments_of_the_layer(arguments, message):
    with pytest.raises(ValueError, match=f"SLiCE: {message}"):
        SLiCE(**{"units": 4, **arguments})


def layer_norm(x, scale, shift):
    centred = x - x.mean(-1, keepdims=True)
    return scale * centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) + shift


@pytest.mark.parametrize("block", ["glu", "tanh", "plain"])
def test_a_block_in_numpy(block):
    subject = ModelSubject("", StackedBlocks, _blocks(block))
    model = subject.model()
    symbols = subject.inputs(2, 5)
    x = array(model.embedding.embeddings)[symbols]
    for i, mixer in enumerate(model.mixers):
        mixed = array(mixer(x))
        if block == "plain":
            x = mixed
            continue
        y = x + mixed
        kernel, bias = (array(weight) for weight in model.networks[i].weights)
        z = y @ kernel + bias
        z = z[..., :8] / (1 + np.exp(-z[..., 8:])) if block == "glu" else np.tanh(z)
        x = layer_norm(y + z, *(array(weight) for weight in model.norms[i].weights))
    kernel, bias = (array(weight) for weight in model.head.weights)
    np.testing.assert_allclose(array(model(symbols)), x @ kernel + bias, atol=1e-12)
    at = np.array([[4], [1]], "int32")
    asked = array(model({"inputs": symbols, "at": at}))
    np.testing.assert_allclose(asked, (x @ kernel + bias)[[[0], [1]], at], atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": "relu"}, "`block` must be one of"),
        ({"mixers": [LSTM(4)]}, r"`mixers\[0\]` must be of output width 8; got 4"),
        ({"mixers": [LSTM(8, return_sequences=False)]}, "a layer with `return_sequences`"),
        ({"dropout": 1.0}, "`dropout` must be"),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(ValueError, match=f"StackedBlocks: .*{message}"):
        StackedBlocks(**{**_blocks("glu")("float32"), **changes})


def test_operations_are_counted():
    layer, steps = slice_layer("diagonal_dense", form="recurrent"), 2 * 5 * 7
    numbers = 1 + 9
    assert layer.flops(5, 7) == steps * (3 * 4 + 4 * numbers + 9)
    layer = slice_layer("low_rank", scan="associative")
    assert layer.flops(5, 7) == steps * (3 * 4 + 4 * (4 + 24) + 2 * 4**3 + 16 * 3)


def settings(variant, **changes):
    experiment = get_paper("structured_linear_cde").experiment("parity")
    return {**experiment.settings("smoke", variant), **changes}


@pytest.mark.parametrize(
    "variant", ["d_slice", pytest.param("transformer", marks=pytest.mark.slow)]
)
def test_a_run_is_a_function_of_its_seed(variant, tmp_path):
    def run(name):
        directory = tmp_path / name
        directory.mkdir()
        one = Run(variant=variant, preset="smoke", seed=1, dir=directory, data_dir=tmp_path)
        return regular_language(one, **settings(variant)), one.history

    metrics, history = run("first")
    assert (metrics, history) == run("second")
    assert metrics["accuracy"] == max(row["accuracy"] for row in history)
    assert [row["step"] for row in history] == [2, 4]


def test_training_ends_with_what_is_accurate_enough(tmp_path):
    run = Run(variant="d_slice", preset="smoke", seed=0, dir=tmp_path, data_dir=tmp_path)
    metrics = regular_language(run, **settings("d_slice", stop_accuracy=-1.0))
    assert metrics["updates"] == 2
    assert len(run.history) == 1


def test_deviations_are_those_reported():
    from papers.structured_linear_cde import paper

    rows = load_reported(Path(paper.__file__).with_name("reported.csv"))
    languages = ("cycle_nav", "even_pairs", "mod_arith_no_brack", "parity")
    for variant, deviations in paper._DEVIATIONS.items():
        for language, deviation in zip(languages, deviations, strict=True):
            row = rows[f"{language}-{variant}"]
            assert (row.deviation, row.n, row.unit) == (deviation, 5, "%")


def test_only_the_embeddings_do_not_decay():
    declared = settings("lstm")
    assert json.loads(json.dumps(declared))["no_decay"] == ["embeddings"]
    model = StackedBlocks(**_blocks("glu")("float32"))
    model.build((None, None))
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.01)
    optimizer.exclude_from_weight_decay(var_names=declared["no_decay"])
    kept = [w.path for w in model.trainable_variables if not optimizer._use_weight_decay(w)]
    assert [path.rsplit("/", 1)[-1] for path in kept] == ["embeddings"]
