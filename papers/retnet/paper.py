"""The retentive network: what it declares."""

from common.reproduce.spec import (
    Claim,
    Experiment,
    LayerCase,
    Paper,
    Preset,
    Quantity,
    at_least,
    at_most,
    within_relative,
)
from common.trials.memory_speed import memory_speed, memory_speed_claims
from common.trials.recall import mqar

_SMOKE = "Shows that the code runs."

# Zoology's widths; the paper has no synthetic task.
_WIDTH = {"units": 64, "num_layers": 2}
_MODELS = {
    "retnet": {
        "model": "papers.retnet:RetNet",
        "model_settings": {**_WIDTH, "num_heads": 2, "mlp_units": 0},
    },
    "attention": {
        "model": "papers.retnet.experiments:attention",
        "model_settings": {**_WIDTH, "num_heads": 1, "window": 128},
    },
}
MQAR_64 = mqar(64, 4, _MODELS, minutes=3)
MQAR_128 = mqar(128, 8, _MODELS, minutes=6)

DECODING = Experiment(
    name="decoding",
    description="A decode step and its state after so many tokens, beside attention with a cache",
    trial="papers.retnet.experiments:decoding",
    variants={"layer": {}},
    presets={
        "smoke": Preset(
            settings={
                "lengths": [8, 16],
                "units": 8,
                "num_heads": 2,
                "batch_size": 2,
                "samples": 3,
            },
            minutes=0.3,
            scale="reduced",
            reduces=_SMOKE,
        ),
        "cpu": Preset(
            settings={
                "lengths": [2048, 4096, 8192],
                "units": 1024,
                "num_heads": 4,
                "batch_size": 8,
                "samples": 30,
            },
            minutes=1,
            scale="reduced",
            reduces="A CPU for an A100, one layer of width 1,024 for 32 of 4,096.",
        ),
        "paper": Preset(
            settings={
                "lengths": [2048, 4096, 8192],
                "units": 4096,
                "num_heads": 16,
                "batch_size": 8,
                "samples": 30,
            },
            minutes=3,
            scale="reduced",
            reduces="One layer for 32.",
        ),
    },
    kind="timing",
    seeds=(0, 1, 2, 3, 4),
    metrics=(
        "speedup",
        "memory_ratio",
        "retention_slowdown",
        "attention_slowdown",
        "retention_growth",
        "attention_growth",
    ),
)

SPEED = Experiment(
    name="speed",
    description="Time of the recurrent form over that of the others, forward and backward",
    trial="common.trials.form_speed:form_speed",
    variants={
        "retention": {
            "layer": "papers.retnet:Retention",
            "forms": ["chunkwise", "parallel", "recurrent"],
        }
    },
    presets={
        "smoke": Preset(
            settings={
                "layer_settings": {"units": 8, "num_heads": 2},
                "lengths": [16, 64],
                "batch_size": 1,
                "samples": 3,
            },
            minutes=0.5,
            scale="reduced",
            reduces=_SMOKE,
        ),
        "cpu": Preset(
            settings={
                "layer_settings": {"units": 256, "num_heads": 4},
                "lengths": [1024, 2048, 4096],
                "batch_size": 1,
                "samples": 7,
            },
            minutes=4,
            scale="reduced",
            reduces="A CPU for a GPU, width 256 with heads of 64, one sequence.",
        ),
        "paper": Preset(
            settings={
                "layer_settings": {"units": 2048, "num_heads": 8},
                "lengths": [4096],
                "batch_size": 2,
                "samples": 7,
            },
            minutes=10,
            scale="paper",
        ),
    },
    kind="timing",
    seeds=(0, 1, 2, 3, 4),
    metrics=(
        "chunkwise_speedup",
        "parallel_speedup",
        "first_speedup",
        "chunkwise_milliseconds",
        "parallel_milliseconds",
        "recurrent_milliseconds",
    ),
)

MEMORY_SPEED = memory_speed(
    "papers.retnet:Retention",
    {"1.3B": {"units": 512, "num_heads": 2, "chunk_size": 128}},
    reduces="A CPU for a GPU, one sequence, two of the model's eight heads.",
)

_SIZES = ("1.3B", "2.7B", "6.7B")
PARAMETERS = Experiment(
    name="parameters",
    description="Parameters of the language models of table 2, in millions",
    trial="papers.retnet.experiments:parameters",
    variants={size: {"size": size} for size in _SIZES},
    presets={
        "smoke": Preset(settings={}, minutes=0.2, scale="paper", variants=("1.3B",)),
        "cpu": Preset(settings={}, minutes=0.2, scale="paper"),
        "paper": Preset(settings={}, minutes=0.2, scale="paper"),
    },
    kind="static",
    seeds=(0,),
    metrics=("millions",),
)

PAPER = Paper(
    name="retnet",
    title="Retentive Network: A Successor to Transformer for Large Language Models",
    authors="Yutao Sun, Li Dong, Shaohan Huang, Shuming Ma, Yuqing Xia, Jilong Xue, Jianyong Wang, "
    "Furu Wei",
    year=2023,
    venue="arXiv",
    url="https://arxiv.org/abs/2307.08621",
    layers=(
        LayerCase(
            name="retention",
            factory="papers.retnet:Retention",
            config={"units": 8, "num_heads": 2, "chunk_size": 16},
            input_dim=5,
            forms=("chunkwise", "parallel", "recurrent"),
            # A head of the paper's 256 keys and 512 values.
            benchmark={"units": 256, "num_heads": 1, "chunk_size": 64, "input_dim": 256},
        ),
    ),
    experiments=(DECODING, SPEED, MEMORY_SPEED, MQAR_64, MQAR_128, PARAMETERS),
    claims=(
        Claim(
            id="decoding-speed",
            experiment="decoding",
            quantity=Quantity("layer", "speedup"),
            kind="number",
            accept=at_least(),
            reason="At least the paper's factor, at its 8,192 tokens.",
        ),
        Claim(
            id="decoding-flat",
            experiment="decoding",
            quantity=Quantity("layer", "retention_slowdown"),
            kind="ordering",
            accept=at_most(1.15),
            reason="The step is the same computation; 15 % is what this machine's times vary by.",
        ),
        Claim(
            id="decoding-memory",
            experiment="decoding",
            quantity=Quantity("layer", "memory_ratio"),
            kind="static",
            accept=at_least(),
            reason="The paper counts weights, which are equal, with the state: our ratio of the "
            "states alone must be larger.",
        ),
        Claim(
            id="speed-chunkwise",
            experiment="speed",
            quantity=Quantity("retention", "chunkwise_speedup"),
            kind="ordering",
            accept=at_least(),
            reason="The paper has no number for its layer; ten is this project's bar at T = 4,096.",
        ),
        *memory_speed_claims(MEMORY_SPEED),
        *(
            Claim(
                id=f"mqar-below-attention-{size}",
                experiment=f"mqar_{size.replace('-', '_')}",
                quantity=Quantity("retnet", "accuracy"),
                relative_to=Quantity("attention", "accuracy"),
                kind="ordering",
                accept=at_most(),
                reason="The order of the two is known, no number is.",
            )
            for size in ("64-4", "128-8")
        ),
        *(
            Claim(
                id=f"parameters-{size}",
                experiment="parameters",
                quantity=Quantity(size, "millions"),
                kind="static",
                accept=within_relative(0.03),
                reason="Named by two digits, and the paper does not give its vocabulary, which is "
                "a twentieth of the parameters.",
            )
            for size in _SIZES
        ),
    ),
    default_experiment="decoding",
)
