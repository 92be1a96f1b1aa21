"""Structured linear CDEs: the block by hand, the trial, what the table is declared as."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from common.layers import LSTM, SoftmaxAttention
from common.reproduce.execute.run import Run
from common.reproduce.judge.reported import load_reported
from papers import get_paper
from papers.structured_linear_cde import StackedBlocks
from papers.structured_linear_cde.experiments import regular_language
from tests.contract.papers import COMMON, VOCABULARY, ModelSubject, PaperContract


def _blocks(block):
    def arguments(dtype):
        mixers = [SoftmaxAttention(8, 2, 20, rotary=True, dtype=dtype), LSTM(8, dtype=dtype)]
        return {"vocabulary_size": VOCABULARY, "units": 8, "mixers": mixers, "block": block}

    return arguments


CONTRACT = PaperContract(
    models=(
        ModelSubject(
            "structured_linear_cde",
            StackedBlocks,
            _blocks("glu"),
            {**COMMON, "block": "tanh", "dropout": 0.3, "mixers": None},
        ),
        ModelSubject("structured_linear_cde-tanh", StackedBlocks, _blocks("tanh")),
        ModelSubject("structured_linear_cde-plain", StackedBlocks, _blocks("plain")),
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


def array(x):
    return ops.convert_to_numpy(x)


def layer_norm(x, scale, shift):
    centred = x - x.mean(-1, keepdims=True)
    return scale * centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) + shift


@pytest.mark.parametrize("block", ["glu", "tanh", "plain"])
def test_a_block_in_numpy(block):
    subject = next(one for one in CONTRACT.models if one.arguments("float64")["block"] == block)
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


def settings(variant, **changes):
    experiment = get_paper("structured_linear_cde").experiment("parity")
    return {**experiment.settings("smoke", variant), **changes}


@pytest.mark.parametrize("variant", ["lstm", pytest.param("transformer", marks=pytest.mark.slow)])
def test_a_run_is_a_function_of_its_seed(variant, tmp_path):
    def run(seed, name):
        directory = tmp_path / name
        directory.mkdir()
        one = Run(variant=variant, preset="smoke", seed=seed, dir=directory, data_dir=tmp_path)
        return regular_language(one, **settings(variant)), one.history

    metrics, history = run(1, "first")
    assert (metrics, history) == run(1, "second")
    assert history != run(2, "third")[1]
    assert metrics["accuracy"] == max(row["accuracy"] for row in history)
    assert [row["step"] for row in history] == [2, 4]


def test_training_ends_with_what_is_accurate_enough(tmp_path):
    run = Run(variant="lstm", preset="smoke", seed=0, dir=tmp_path, data_dir=tmp_path)
    metrics = regular_language(run, **settings("lstm", stop_accuracy=-1.0))
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
