"""Gated linear attention: what it declares."""

from common.reproduce.spec import Experiment, LayerCase, Paper, Preset

PARAMETERS = Experiment(
    name="parameters",
    description="Parameters of the language models",
    trial="papers.gla.experiments:parameters",
    variants={"340M": {"size": "340M"}, "1.3B": {"size": "1.3B"}},
    presets={
        name: Preset(settings={}, minutes=0.2, scale="paper") for name in ("smoke", "cpu", "paper")
    },
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
    experiments=(PARAMETERS,),
    default_experiment="parameters",
)
