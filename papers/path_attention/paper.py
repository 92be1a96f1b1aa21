"""PaTH attention: what it declares. A tuple in settings is for smoke, cpu and paper."""

from typing import Any

from common.declarations import experiment, training
from common.reproduce.declare.spec import LayerCase, Paper, Quantity
from common.reproduce.declare.tolerances import at_most, within_absolute

# Those of Liu et al. 2023, as this paper states none.
_RECIPE: dict[str, Any] = {
    "batch_size": (4, 16, 16),
    "warmup": (2, 50, 50),
    "weight_decay": 0.1,
}

# Table 1: one layer, two heads, width 64.
FLIP_FLOP = training(
    name="flip_flop",
    description="Remembering a bit among 80 % of distractions, tested with 98 and 10 %",
    trial="papers.path_attention.experiments:flip_flop",
    variants={
        name: {"model": f"papers.path_attention.experiments:{name}"}
        for name in ("rotary", "fox", "path")
    },
    settings={
        "model_settings": {
            "units": (8, 64, 64),
            "num_layers": 1,
            "num_heads": 2,
            "window": (32, 128, 512),
        },
        "length": (32, 128, 512),
        "steps": (8, 10_000, 10_000),
        "learning_rate": 3e-4,
        "eval_every": (4, 500, 500),
        "eval_size": (16, 500, 500),
        "tests": (
            {"id": 16, "sparse": 16, "dense": 16},
            {"id": 4000, "sparse": 10_000, "dense": 1000},
            {"id": 2000, "sparse": 10_000, "dense": 500},
        ),
        **_RECIPE,
    },
    minutes=(0.3, 8, 60),
    seeds=tuple(range(5)),
    reduces="128 symbols for 512. The paper's training is not stated: Liu et al.'s.",
    paper_reduces="The paper's training is not stated: Liu et al.'s, 10,000 updates of 16.",
    metrics=("error_sparse", "error_id", "error_dense"),
    untrained={"error_sparse": 50.0, "error_id": 50.0, "error_dense": 50.0},
)

LSTM = experiment(
    kind="training",
    name="flip_flop_lstm",
    description="The same with an LSTM, and a twentieth of the updates",
    trial="papers.path_attention.experiments:flip_flop",
    variants={"lstm": {}},
    settings={
        "model": "papers.path_attention.experiments:lstm",
        "model_settings": {"units": (8, 128, 128)},
        "length": (32, 512, 512),
        "steps": (8, 500, 500),
        "learning_rate": 3e-3,
        "eval_every": (4, 50, 50),
        "eval_size": (16, 200, 200),
        "tests": ({"sparse": 16, "dense": 16}, *2 * ({"sparse": 10_000, "dense": 3000},)),
        **_RECIPE,
    },
    minutes=(0.3, 4, 4),
    seeds=tuple(range(10)),
    metrics=("error_sparse", "error_dense"),
    untrained={"error_sparse": 50.0, "error_dense": 50.0},
)


def _errors(name: str, *tests: str) -> dict[str, Quantity]:
    return {f"flip-flop-{name}-{test}": Quantity(name, f"error_{test}") for test in tests}


PAPER = Paper(
    name="path_attention",
    title="PaTH Attention: Position Encoding via Accumulating Householder Transformations",
    authors=(
        "Songlin Yang, Yikang Shen, Kaiyue Wen, Shawn Tan, Mayank Mishra, Liliang Ren, "
        "Rameswar Panda, Yoon Kim"
    ),
    year=2025,
    venue="NeurIPS",
    url="https://arxiv.org/abs/2505.16381v2",
    layers=(
        LayerCase(
            name="path-attention",
            factory="papers.path_attention:PaTHAttention",
            config=dict(
                units=6, num_heads=2, window=5, key_dim=4, forget_gate=True, rank=3, chunk_size=4
            ),
            input_dim=3,
            forms=("chunkwise", "parallel", "recurrent"),
            # Heads of 64, as in the paper's figure 1.
            benchmark=dict(
                units=512,
                num_heads=8,
                window=2048,
                key_dim=64,
                rank=32,
                chunk_size=64,
                input_dim=512,
            ),
        ),
        LayerCase(
            name="forgetting-attention",
            factory="papers.path_attention:ForgettingAttention",
            config=dict(units=6, num_heads=2, window=5, key_dim=4, chunk_size=4),
            input_dim=3,
            forms=("chunkwise", "parallel", "recurrent"),
            benchmark=dict(
                units=512, num_heads=8, window=2048, key_dim=64, chunk_size=64, input_dim=512
            ),
        ),
    ),
    experiments=(FLIP_FLOP, LSTM),
    claims=(
        *FLIP_FLOP.numbers(
            _errors("rotary", "id") | _errors("fox", "id"),
            mean=within_absolute(5),
            reason="One run each, of unstated training; what Liu et al.'s runs differ by.",
        ),
        *(
            claim
            for name in ("rotary", "fox")
            for claim in FLIP_FLOP.numbers(
                _errors(name, "sparse"),
                mean=within_absolute(15),
                controls=(f"flip-flop-{name}-dense",),
                reason="One run each, of unstated training; what Liu et al.'s runs differ by.",
            )
        ),
        *FLIP_FLOP.numbers(
            _errors("rotary", "dense")
            | _errors("fox", "dense")
            | _errors("path", "id", "sparse", "dense"),
            mean=within_absolute(0.1),
            reason="The paper has 0.01 % at most: about one bit of 1,000 is wrong here at most.",
        ),
        *(
            claim
            for name in ("rotary", "fox")
            for claim in FLIP_FLOP.orderings(
                {f"flip-flop-path-over-{name}": Quantity("path", "error_sparse").over(name)},
                mean=at_most(0.1),
                controls=("flip-flop-path-id", f"flip-flop-{name}-dense"),
                reason="The claim is that it all but solves what the others don't: a tenth.",
            )
        ),
        *LSTM.orderings(
            _errors("lstm", "sparse", "dense"),
            each=at_most(0.0),
            reason="The claim is that every one of 100 runs makes no error.",
        ),
    ),
    headline="Attention that tracks state: flip-flops without error where RoPE fails",
    headline_claims=(
        "flip-flop-path-id",
        "flip-flop-path-sparse",
        "flip-flop-path-over-rotary",
    ),
    not_attempted=(
        "A5 words with fewer layers, and recall of the N-th last value (Figure 2)",
        "stick-breaking attention (Table 1)",
        "language models of 760M, long contexts (Tables 2 and 3, Figures 3 to 5)",
        "speed beside RoPE's and FoX's kernels on an H100 (Figure 1)",
        "conversion of trained models (Tables 4 and 5)",
    ),
)
