"""Gated linear attention: what it declares."""

from common.reproduce.spec import Experiment, LayerCase, Paper, Preset

PARAMETERS = Experiment(
    name="parameters",
    description="Parameters of the language models",
    trial="papers.retnet.experiments:parameters",
    variants={"340M": {"size": "340M"}, "1.3B": {"size": "1.3B"}},
    presets={
        name: Preset(settings={}, minutes=0.2, scale="paper") for name in ("smoke", "cpu", "paper")
    },
    seeds=(0,),
    metrics=("millions",),
)
PAPER = Paper(
    name="retnet",
    title="Gated Linear Attention Transformers with Hardware-Efficient Training",
    authors="Songlin Yang, Bailin Wang, Yikang Shen, Rameswar Panda, Yoon Kim",
    year=2023,
    venue="ICML 2024",
    url="https://arxiv.org/abs/2312.06635",
    layers=(
        LayerCase(
            name="retention",
            factory="papers.retnet:Retention",
            config={"units": 8, "num_heads": 2, "chunk_size": 16},
            input_dim=5,
            forms=("chunkwise", "parallel", "recurrent"),
        ),
    ),
    experiments=(PARAMETERS,),
    default_experiment="parameters",
)
