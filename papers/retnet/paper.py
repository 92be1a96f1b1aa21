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

_SMOKE = "Shows that the code runs."

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
                "samples": 10,
            },
            minutes=3,
            scale="reduced",
            reduces="A CPU for an A100, one layer of width 1,024 for 32 of 4,096.",
        ),
        "paper": Preset(
            settings={
                "lengths": [2048, 4096, 8192],
                "units": 4096,
                "num_heads": 16,
                "batch_size": 8,
                "samples": 10,
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
    experiments=(DECODING, PARAMETERS),
    claims=(
        Claim(
            id="decoding-speed",
            experiment="decoding",
            quantity=Quantity("layer", "speedup"),
            kind="ordering",
            accept=at_least(),
            reason="At least the paper's factor, at its 8,192 tokens; how much more, of a layer "
            "alone, is no matter of the paper's.",
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
            quantity=Quantity("layer", "retention_growth"),
            kind="static",
            accept=at_most(1.0),
            reason="Bytes of the state, from its shapes: they do not grow.",
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
    headline="Decodes in constant time, 8.4 times faster than attention with a cache",
    headline_claims=("decoding-speed", "decoding-flat"),
    not_attempted=(
        "language models against Transformers (Figure 5, Table 3) and other variants (Table 5)",
        "training throughput and memory against FlashAttention at 8,192 tokens (Table 4)",
        "latency against the batch (Figure 6c)",
        "no gate, norm or decay, smaller heads (Table 6)",
    ),
)
