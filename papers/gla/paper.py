"""Gated linear attention: what it declares."""

from common.reproduce.spec import (
    Claim,
    Experiment,
    LayerCase,
    Paper,
    Preset,
    Quantity,
    at_least,
    within_relative,
)
from common.trials.memory_speed import memory_speed, memory_speed_claims
from common.trials.recall import mqar

# Section 5.1: two layers, two heads for RetNet and GLA.
_MODEL = {"units": 64, "num_layers": 2, "num_heads": 2, "mlp_units": 0}
_MODELS = {
    "gla": {"model": "papers.gla:GLA", "model_settings": _MODEL},
    "retnet": {"model": "papers.retnet:RetNet", "model_settings": _MODEL},
}
MQAR_64 = mqar(64, 4, _MODELS, minutes=3)
MQAR_128 = mqar(128, 8, _MODELS, minutes=6)

SPEED = Experiment(
    name="speed",
    description="Time of the recurrent form over that of the chunkwise one, forward and backward",
    trial="common.trials.form_speed:form_speed",
    variants={
        "gla": {
            "layer": "papers.gla:GatedLinearAttention",
            "forms": ["chunkwise", "recurrent"],
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
            reduces="Shows that the code runs.",
        ),
        "cpu": Preset(
            settings={
                "layer_settings": {"units": 512, "num_heads": 4},
                "lengths": [1024, 2048, 4096],
                "batch_size": 1,
                "samples": 7,
            },
            minutes=3,
            scale="reduced",
            reduces="A CPU for a GPU, width 512, one sequence.",
        ),
        "paper": Preset(
            settings={
                "layer_settings": {"units": 1024, "num_heads": 4},
                "lengths": [1024, 4096],
                "batch_size": 8,
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
        "first_speedup",
        "chunkwise_milliseconds",
        "recurrent_milliseconds",
    ),
)

MEMORY_SPEED = memory_speed(
    "papers.gla:GatedLinearAttention",
    {
        "340M": {"units": 1024, "num_heads": 4},
        "1.3B": {
            "units": 1024,
            "num_heads": 2,
            "key_dim": 256,
            "value_dim": 512,
            "chunk_size": 128,
        },
    },
    reduces="A CPU for a GPU, one sequence; of the 1.3B model two of the four heads.",
)

PARAMETERS = Experiment(
    name="parameters",
    description="Parameters of the language models of table 2, in millions",
    trial="papers.gla.experiments:parameters",
    variants={"340M": {"size": "340M"}, "1.3B": {"size": "1.3B"}},
    presets={
        name: Preset(settings={}, minutes=0.2, scale="paper") for name in ("smoke", "cpu", "paper")
    },
    kind="static",
    seeds=(0,),
    metrics=("millions",),
)

PAPER = Paper(
    name="gla",
    title="Gated Linear Attention Transformers with Hardware-Efficient Training",
    authors="Songlin Yang, Bailin Wang, Yikang Shen, Rameswar Panda, Yoon Kim",
    year=2023,
    venue="ICML 2024",
    url="https://arxiv.org/abs/2312.06635",
    layers=(
        LayerCase(
            name="gated-linear-attention",
            factory="papers.gla:GatedLinearAttention",
            config={"units": 8, "num_heads": 2, "gate_rank": 3, "chunk_size": 16},
            input_dim=5,
            forms=("chunkwise", "recurrent"),
            # Heads of 64 keys and 128 values.
            benchmark={
                "units": 512,
                "num_heads": 4,
                "gate_rank": 16,
                "chunk_size": 64,
                "input_dim": 512,
            },
        ),
    ),
    experiments=(MQAR_64, MQAR_128, SPEED, MEMORY_SPEED, PARAMETERS),
    claims=(
        *(
            Claim(
                id=f"mqar-{size}",
                experiment=f"mqar_{size.replace('-', '_')}",
                quantity=Quantity("gla", "accuracy"),
                kind="ordering",
                accept=at_least(0.99),
                reason="Solved is 0.99 in Zoology's protocol, where training stops.",
            )
            for size in ("64-4", "128-8")
        ),
        Claim(
            id="mqar-over-retnet",
            experiment="mqar_128_8",
            quantity=Quantity("gla", "accuracy"),
            relative_to=Quantity("retnet", "accuracy"),
            kind="ordering",
            accept=at_least(),
            reason="The paper says which is better, not by how much.",
        ),
        Claim(
            id="speed-chunkwise",
            experiment="speed",
            quantity=Quantity("gla", "chunkwise_speedup"),
            kind="ordering",
            accept=at_least(),
            reason="The paper has no number for its layer; ten is this project's bar at T = 4,096.",
        ),
        *memory_speed_claims(MEMORY_SPEED),
        *(
            Claim(
                id=f"parameters-{size}",
                experiment="parameters",
                quantity=Quantity(size, "millions"),
                kind="static",
                accept=within_relative(0.02),
                reason="The paper names its models by the rounded number.",
            )
            for size in ("340M", "1.3B")
        ),
    ),
    default_experiment="mqar_64_4",
)
