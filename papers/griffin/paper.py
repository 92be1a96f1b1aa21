"""Griffin: what it declares."""

import math

from common.reproduce.spec import (
    Claim,
    Experiment,
    LayerCase,
    Paper,
    Preset,
    Quantity,
    at_least,
    at_most,
)

_SMOKE = "Shows that the code runs."
_LABELLING = "common.trials.labelling:labelling"
_FAMILIES = ("hawk", "griffin", "transformer")
_VARIANTS = {family: {"model": f"papers.griffin.model:{family}"} for family in _FAMILIES}
_TINY = {"depth": 2, "units": 8, "recurrent_units": 8, "num_blocks": 2, "num_heads": 2}
# The paper gives the depth, the width and roughly 250,000 parameters, which these have.
_MODEL = {"units": 64, "recurrent_units": 64, "num_heads": 4}
_LONGER = (2, 4, 8, 16, 64)


def _induction(length: int, depth: int, model: dict, **settings) -> dict:
    """Settings of induction heads for training sequences of `length` steps."""
    return {
        "task": "InductionHeads",
        "task_settings": {"length": length},
        "model_settings": {**model, "depth": depth, "window": length // 2, "context": length},
        "test_model": {
            "depth": depth,
            **model,
            "window": length // 2,
            "context": length * _LONGER[-1],
        },
        "tests": {f"x{times}": {"length": times * length} for times in _LONGER},
        "stream": length,
        # One evaluation, after the last update: the weights that are tested are the last ones.
        "eval_every": settings["steps"],
        "schedule": "cosine",
        **settings,
    }


INDUCTION_HEADS = Experiment(
    name="induction_heads",
    description="Induction heads, tested on up to 64 times the length of training",
    trial=_LABELLING,
    variants=_VARIANTS,
    presets={
        "smoke": Preset(
            settings=_induction(
                8,
                2,
                _TINY,
                batch_size=8,
                steps=5,
                learning_rates=[3e-3],
                eval_size=16,
                test_size=16,
            ),
            minutes=0.6,
            scale="reduced",
            reduces=_SMOKE,
            variants=("griffin",),
        ),
        "cpu": Preset(
            settings=_induction(
                64,
                2,
                _MODEL,
                batch_size=32,
                steps=4000,
                learning_rates=[3e-3],
                warmup=0.02,
                eval_size=256,
                test_size=128,
            ),
            minutes=4,
            scale="reduced",
            reduces="Sequences of 64 for 256, 2 blocks for 5, 4,000 updates.",
        ),
        "paper": Preset(
            settings=_induction(
                256,
                5,
                _MODEL,
                batch_size=32,
                steps=100_000,
                learning_rates=[1e-3, 3e-3],
                warmup=0.02,
                eval_size=4096,
                test_size=512,
            ),
            minutes=180,
            scale="paper",
        ),
    },
    kind="training",
    metrics=(
        "accuracy",
        *(f"accuracy_x{times}" for times in _LONGER),
        "learning_rate",
        "updates",
    ),
    # The special token is never the answer.
    untrained={
        "accuracy": 1 / 15,
        **{f"accuracy_x{times}": 1 / 15 for times in _LONGER},
    },
)


def _copying(length: int, num_tokens: int, depth: int, model: dict, **settings) -> dict:
    """Settings of selective copying from `length` steps."""
    total = length + num_tokens
    return {
        "task": "MambaSelectiveCopying",
        "task_settings": {"length": length, "num_tokens": num_tokens},
        "model_settings": {**model, "depth": depth, "window": length // 2, "context": total},
        "stop_accuracy": 0.99,
        "stop_after": 1,
        **settings,
    }


SELECTIVE_COPYING = Experiment(
    name="selective_copying",
    description="Selective copying: accuracy, and updates until 99 % of the tokens are right",
    trial=_LABELLING,
    variants=_VARIANTS,
    presets={
        "smoke": Preset(
            settings=_copying(
                8,
                2,
                2,
                _TINY,
                batch_size=8,
                steps=5,
                learning_rates=[3e-3],
                eval_every=5,
                eval_size=16,
                test_size=16,
            ),
            minutes=0.2,
            scale="reduced",
            reduces=_SMOKE,
            variants=("hawk", "transformer"),
        ),
        "cpu": Preset(
            settings=_copying(
                32,
                8,
                3,
                _MODEL,
                batch_size=32,
                steps=6000,
                learning_rates=[3e-3],
                warmup=0.02,
                eval_every=100,
                eval_size=256,
                test_size=1024,
            ),
            minutes=4,
            scale="reduced",
            reduces="8 tokens in 32 for 16 in 1,024, 3 blocks for 5, 6,000 updates for 100,000.",
        ),
        "paper": Preset(
            settings=_copying(
                1024,
                16,
                5,
                _MODEL,
                batch_size=32,
                steps=100_000,
                learning_rates=[1e-3, 3e-3],
                warmup=0.02,
                eval_every=1000,
                eval_size=512,
                test_size=1024,
            ),
            minutes=600,
            scale="paper",
        ),
    },
    kind="training",
    metrics=("accuracy", "updates", "learning_rate"),
    # One of 14 data tokens, never solved.
    untrained={"accuracy": 1 / 14, "updates": math.nan},
)

SPEED = Experiment(
    name="speed",
    description="Time of linear_scan against the backend's scan and the associative scan",
    trial="papers.griffin.experiments:speed",
    variants={"forward": {"backward": False}, "training": {"backward": True}},
    presets={
        "smoke": Preset(
            settings={"lengths": [8, 16], "batch_size": 2, "units": 8, "samples": 3},
            minutes=0.2,
            scale="reduced",
            reduces=_SMOKE,
        ),
        "cpu": Preset(
            settings={
                "lengths": [512, 1024, 2048],
                "batch_size": 8,
                "units": 1024,
                "samples": 7,
            },
            minutes=3,
            scale="reduced",
            reduces="A CPU for a TPU-v3; up to 2,048 steps.",
        ),
        "paper": Preset(
            settings={
                "lengths": [1024, 2048, 4096, 8192],
                "batch_size": 8,
                "units": 1024,
                "samples": 15,
            },
            minutes=5,
            scale="paper",
        ),
    },
    kind="timing",
    seeds=(0, 1, 2, 3, 4),
    metrics=("exponent", "native_ratio", "associative_ratio", "associative_native_ratio"),
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
            config={"units": 6, "num_blocks": 2},
            input_dim=6,
            forms=("chunkwise", "recurrent"),
            benchmark={"units": 256, "num_blocks": 16, "input_dim": 256},
        ),
        LayerCase(
            name="block",
            factory="papers.griffin:RecurrentBlock",
            config={"units": 5, "recurrent_units": 6, "num_blocks": 3},
            input_dim=4,
            forms=("chunkwise", "recurrent"),
            # The paper's 4/3 of the width, rounded to whole blocks.
            benchmark={
                "units": 256,
                "recurrent_units": 352,
                "num_blocks": 16,
                "input_dim": 256,
            },
        ),
    ),
    experiments=(INDUCTION_HEADS, SELECTIVE_COPYING, SPEED),
    claims=(
        *(
            Claim(
                id=f"induction-{family}",
                experiment="induction_heads",
                quantity=Quantity(family, "accuracy"),
                kind="ordering",
                accept=at_least(0.99),
                aggregate="each",
                reason="Solved perfectly at the training length, but for one error in a hundred.",
            )
            for family in _FAMILIES
        ),
        Claim(
            id="extrapolation-hawk",
            experiment="induction_heads",
            quantity=Quantity("hawk", "accuracy_x64"),
            kind="ordering",
            accept=at_least(0.95),
            aggregate="each",
            reason="Perfectly, the paper says, from a figure: one error in twenty.",
        ),
        Claim(
            id="extrapolation-griffin",
            experiment="induction_heads",
            quantity=Quantity("griffin", "accuracy_x16"),
            kind="ordering",
            accept=at_least(0.8),
            aggregate="each",
            reason="Very well, the paper says, short of Hawk's perfectly; no number is given.",
        ),
        Claim(
            id="extrapolation-transformer",
            experiment="induction_heads",
            quantity=Quantity("transformer", "accuracy_x16"),
            relative_to=Quantity("griffin", "accuracy_x16"),
            kind="ordering",
            accept=at_most(0.5),
            controls=("induction-transformer", "extrapolation-griffin"),
            reason="It does not extrapolate where Griffin does: less than half of what Griffin has "
            "right.",
        ),
        *(
            Claim(
                id=f"copying-{family}",
                experiment="selective_copying",
                quantity=Quantity(family, "accuracy"),
                kind="ordering",
                accept=at_least(0.98),
                aggregate="each",
                reason="All three solve it; training stops at 99 % on other examples.",
            )
            for family in _FAMILIES
        ),
        Claim(
            id="copying-hawk-slower",
            experiment="selective_copying",
            quantity=Quantity("hawk", "updates"),
            relative_to=Quantity("transformer", "updates"),
            kind="ordering",
            accept=at_least(1.5),
            controls=("copying-hawk", "copying-transformer"),
            reason="Significantly slower, without a number: half as many updates more.",
        ),
        Claim(
            id="copying-griffin-as-fast",
            experiment="selective_copying",
            quantity=Quantity("griffin", "updates"),
            relative_to=Quantity("transformer", "updates"),
            kind="ordering",
            accept=at_most(1.5),
            controls=("copying-griffin", "copying-transformer"),
            reason="About as fast, without a number: not half as many updates more.",
        ),
        Claim(
            id="speed-native-forward",
            experiment="speed",
            quantity=Quantity("forward", "native_ratio"),
            kind="ordering",
            accept=at_least(2.5),
            reason="Almost 3 on a TPU-v3. The paper does not say whether its times hold the "
            "backward pass: both are claimed.",
        ),
        Claim(
            id="speed-native",
            experiment="speed",
            quantity=Quantity("training", "native_ratio"),
            kind="ordering",
            accept=at_least(2.5),
            controls=("speed-native-forward",),
            reason="As forward.",
        ),
        Claim(
            id="speed-associative",
            experiment="speed",
            quantity=Quantity("training", "associative_native_ratio"),
            kind="ordering",
            accept=at_least(1.0),
            reason="The paper says which is slower, without a number.",
        ),
        Claim(
            id="speed-linear",
            experiment="speed",
            quantity=Quantity("training", "exponent"),
            kind="ordering",
            accept=at_most(1.1),
            reason="One pass over the sequence: linear, and 10 % for the caches.",
        ),
    ),
    default_experiment="induction_heads",
    headline="Models language like Llama-2 with a sixth of the tokens and decodes faster",
    headline_claims=(),
    not_attempted=(
        "scaling and downstream tasks against Transformers and Mamba (Figure 1a, Table 1)",
        "latency and throughput of decoding against multi-query attention (Figures 1b and 4)",
        "training time against multi-query attention as the length grows (Figure 3)",
        "losses beyond the length of training (Figure 5) and the phone book (Figure 6c)",
    ),
)
