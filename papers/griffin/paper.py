"""Griffin: what it declares. A tuple in settings is for smoke, cpu and paper."""

import math

from common.declarations import DEFAULT, labelling, timing
from common.reproduce.declare.spec import LayerCase, Paper, Quantity
from common.reproduce.declare.tolerances import at_least, at_most

_FAMILIES = ("hawk", "griffin", "transformer")
_VARIANTS = {family: {"model": f"papers.griffin.model:{family}"} for family in _FAMILIES}
# The paper gives the depth, the width and roughly 250,000 parameters, which these have.
_MODEL = {
    "units": (8, 64, 64),
    "recurrent_units": (8, 64, 64),
    "num_blocks": (2, DEFAULT, DEFAULT),
    "num_heads": (2, 4, 4),
}
_RECORDED_AS = {"num_layers": "depth"}
# Half of the length is the window of the local attention.
_INDUCTION_MODEL = {**_MODEL, "num_layers": (2, 2, 5), "window": (4, 32, 128)}
_LONGER = (2, 4, 8, 16, 64)

INDUCTION = labelling(
    name="induction_heads",
    description="Induction heads, tested on up to 64 times the length of training",
    task="InductionHeads",
    variants=_VARIANTS,
    settings={
        "task_settings": {"length": (8, 64, 256)},
        "model_settings": {**_INDUCTION_MODEL, "context": (8, 64, 256)},
        "batch_size": (8, 32, 32),
        # One evaluation, after the last update: the weights that are tested are the last ones.
        "steps": (5, 4000, 100_000),
        "eval_every": (5, 4000, 100_000),
        "learning_rates": ([3e-3], [3e-3], [1e-3, 3e-3]),
        "schedule": "cosine",
        "warmup": (DEFAULT, 0.02, 0.02),
        "eval_size": (16, 256, 4096),
        "tests": {f"x{n}": {"length": (8 * n, 64 * n, 256 * n)} for n in _LONGER},
        "test_model": {**_INDUCTION_MODEL, "context": (512, 4096, 16384)},
        "test_size": (16, 128, 512),
        "stream": (8, 64, 256),
    },
    minutes=(0.6, 4, 180),
    reduces="Sequences of 64 for 256, 2 blocks for 5, 4,000 updates.",
    smoke_variants=("griffin",),
    # The special token is never the answer.
    untrained={"accuracy": 1 / 15, **{f"accuracy_x{n}": 1 / 15 for n in _LONGER}},
    recorded_as=_RECORDED_AS,
)

COPYING = labelling(
    name="selective_copying",
    description="Selective copying: accuracy, and updates until 99 % of the tokens are right",
    task="MambaSelectiveCopying",
    variants=_VARIANTS,
    settings={
        "task_settings": {"length": (8, 32, 1024), "num_tokens": (2, 8, 16)},
        "model_settings": {
            **_MODEL,
            "num_layers": (2, 3, 5),
            "window": (4, 16, 512),
            "context": (10, 40, 1040),
        },
        "batch_size": (8, 32, 32),
        "steps": (5, 6000, 100_000),
        "learning_rates": ([3e-3], [3e-3], [1e-3, 3e-3]),
        "warmup": (DEFAULT, 0.02, 0.02),
        "eval_every": (5, 100, 1000),
        "eval_size": (16, 256, 512),
        "stop_accuracy": 0.99,
        "stop_after": 1,
        "test_size": (16, 1024, 1024),
    },
    minutes=(0.2, 4, 600),
    reduces="8 tokens in 32 for 16 in 1,024, 3 blocks for 5, 6,000 updates for 100,000.",
    smoke_variants=("hawk", "transformer"),
    # One of 14 data tokens, never solved.
    untrained={"accuracy": 1 / 14, "updates": math.nan},
    recorded_as=_RECORDED_AS,
)

SPEED = timing(
    name="speed",
    description="Time of linear_scan against the backend's scan and the associative scan",
    trial="papers.griffin.experiments:speed",
    variants={"forward": {"backward": False}, "training": {"backward": True}},
    settings={
        "lengths": ([8, 16], [512, 1024, 2048], [1024, 2048, 4096, 8192]),
        "batch_size": (2, 8, 8),
        "units": (8, 1024, 1024),
        "samples": (3, 7, 15),
    },
    minutes=(0.2, 3, 5),
    reduces="A CPU for a TPU-v3; up to 2,048 steps.",
    metrics=("exponent", "native_ratio", "associative_ratio", "associative_native_ratio"),
)

DECODING = timing(
    name="decoding",
    description="A step of decoding after so many tokens, beside global multi-query attention",
    trial="papers.griffin.decoding:decoding",
    variants={
        "models": {
            "blocks": {"hawk": "rrrrrr", "griffin": "rrlrrl", "transformer": "gggggg"},
        }
    },
    settings={
        "model_settings": {
            "units": (8, 512, 2048),
            "recurrent_units": (8, 688, 2736),
            "num_blocks": (2, 16, 16),
            # Of 128, as in the paper.
            "num_heads": (2, 4, 16),
            "window": (4, 1024, 1024),
        },
        "lengths": ([8, 16], [512, 2048, 8192], [512, 2048, 8192]),
        "batch_size": (2, 16, 16),
        "samples": (3, 7, 15),
    },
    minutes=(0.5, 3, 3),
    reduces="A CPU for a TPU-v3, 6 blocks of width 512 for a model of a billion weights.",
    paper_reduces="6 blocks.",
    metrics=(
        "griffin_speedup",
        "hawk_speedup",
        "griffin_growth",
        "hawk_growth",
        "transformer_growth",
    ),
)

PAPER = Paper(
    name="griffin",
    title="Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient Language "
    "Models",
    authors="Soham De, Samuel L. Smith, Anushan Fernando, Aleksandar Botev, et al.",
    year=2024,
    venue="arXiv",
    url="https://arxiv.org/abs/2402.19427",
    layers=(
        LayerCase(
            name="rg-lru",
            factory="papers.griffin:RGLRU",
            config=dict(units=6, num_blocks=2),
            input_dim=6,
            forms=("chunkwise", "recurrent"),
            benchmark=dict(units=256, num_blocks=16, input_dim=256),
        ),
        LayerCase(
            name="block",
            factory="papers.griffin:RecurrentBlock",
            config=dict(units=5, recurrent_units=6, num_blocks=3),
            input_dim=4,
            forms=("chunkwise", "recurrent"),
            # The paper's 4/3 of the width, rounded to whole blocks.
            benchmark=dict(units=256, recurrent_units=352, num_blocks=16, input_dim=256),
        ),
    ),
    experiments=(INDUCTION, COPYING, SPEED, DECODING),
    claims=(
        *INDUCTION.orderings(
            {f"induction-{family}": Quantity(family, "accuracy") for family in _FAMILIES},
            each=at_least(0.99),
            reason="Solved perfectly at the training length, but for one error in a hundred.",
        ),
        *INDUCTION.orderings(
            {"extrapolation-hawk": Quantity("hawk", "accuracy_x64")},
            each=at_least(0.95),
            reason="Perfectly, the paper says, from a figure: one error in twenty.",
        ),
        *INDUCTION.orderings(
            {"extrapolation-griffin": Quantity("griffin", "accuracy_x16")},
            each=at_least(0.8),
            reason="Very well, the paper says, short of Hawk's perfectly; no number is given.",
        ),
        *INDUCTION.orderings(
            {"extrapolation-transformer": Quantity("transformer", "accuracy_x16").over("griffin")},
            mean=at_most(0.5),
            controls=("induction-transformer", "extrapolation-griffin"),
            reason="It does not extrapolate where Griffin does: less than half of what Griffin has "
            "right.",
        ),
        *COPYING.orderings(
            {f"copying-{family}": Quantity(family, "accuracy") for family in _FAMILIES},
            each=at_least(0.98),
            reason="All three solve it; training stops at 99 % on other examples.",
        ),
        *COPYING.orderings(
            {"copying-hawk-slower": Quantity("hawk", "updates").over("transformer")},
            mean=at_least(1.5),
            controls=("copying-hawk", "copying-transformer"),
            reason="Significantly slower, without a number: half as many updates more.",
        ),
        *COPYING.orderings(
            {"copying-griffin-as-fast": Quantity("griffin", "updates").over("transformer")},
            mean=at_most(1.5),
            controls=("copying-griffin", "copying-transformer"),
            reason="About as fast, without a number: not half as many updates more.",
        ),
        *SPEED.orderings(
            {"speed-native-forward": Quantity("forward", "native_ratio")},
            mean=at_least(2.5),
            reason="Almost 3 on a TPU-v3. The paper does not say whether its times hold the "
            "backward pass: both are claimed.",
        ),
        *SPEED.orderings(
            {"speed-native": Quantity("training", "native_ratio")},
            mean=at_least(2.5),
            controls=("speed-native-forward",),
            reason="As forward.",
        ),
        *SPEED.orderings(
            {"speed-associative": Quantity("training", "associative_native_ratio")},
            mean=at_least(1.0),
            reason="The paper says which is slower, without a number.",
        ),
        *SPEED.orderings(
            {"speed-linear": Quantity("training", "exponent")},
            mean=at_most(1.1),
            reason="One pass over the sequence: linear, and 10 % for the caches.",
        ),
        *DECODING.orderings(
            {
                f"decoding-{name}": Quantity("models", f"{name}_speedup")
                for name in ("hawk", "griffin")
            },
            mean=at_least(1.0),
            reason="Lower is a ratio of the transformer's latency above 1; by how much depends on "
            "length, batch and hardware.",
        ),
    ),
    headline="Models language like Llama-2 with a sixth of the tokens and decodes faster",
    not_attempted=(
        "scaling and downstream tasks against Transformers and Mamba (Figure 1a, Table 1)",
        "throughput of decoding at the largest batch that fits (Figure 1b)",
        "training time against multi-query attention as the length grows (Figure 3)",
        "losses beyond the length of training (Figure 5) and the phone book (Figure 6c)",
    ),
)
