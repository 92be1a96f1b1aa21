"""Gated linear attention: what it declares."""

from common.declarations import mqar, parameter_claims, parameters
from common.reproduce.declare.spec import LayerCase, Paper
from common.reproduce.declare.tolerances import within_relative

# Section 5.1: two layers, two heads for RetNet and GLA.
_MODEL = {"units": 64, "num_layers": 2, "num_heads": 2, "hidden_units": 0}
_MODELS = {
    "gla": {"model": "papers.gla:GLA", "model_settings": _MODEL},
    "retnet": {"model": "papers.retnet:RetNet", "model_settings": _MODEL},
}
MQAR_64 = mqar(64, 4, _MODELS, minutes=3)
MQAR_128 = mqar(128, 8, _MODELS, minutes=6)

PARAMETERS = parameters(
    "papers.gla.experiments:parameters",
    "Parameters of the language models of table 2, in millions",
    sizes=("340M", "1.3B"),
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
            benchmark=dict(units=512, num_heads=4, gate_rank=16, chunk_size=64, input_dim=512),
        ),
    ),
    experiments=(MQAR_64, MQAR_128, PARAMETERS),
    claims=parameter_claims(
        PARAMETERS, within_relative(0.02), "The paper names its models by the rounded number."
    ),
    headline="Models language as well as a LLaMA-like Transformer and trains faster than Mamba",
    not_attempted=(
        "language models of 340M and 1.3B against Transformer++, RetNet and Mamba (Table 2)",
        "recall of pairs better than RetNet's, Hyena's and RWKV-4's (Figure 4)",
        "real recall: FDA, SWDE and SQuAD (Table 3)",
        "longer contexts than in training (Figure 5)",
        "training throughput and memory of the 1.3B models on an H100 (Figure 6)",
        "a layer faster than FlashAttention-2 at 1,000 steps (abstract)",
        "no gate, scalar gates, other heads (Table 4)",
    ),
)
