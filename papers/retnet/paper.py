"""The retentive network: what it declares. A tuple in settings is for smoke, cpu and paper."""

from common.declarations import parameter_claims, parameters, timing
from common.reproduce.declare.spec import LayerCase, Paper, Quantity
from common.reproduce.declare.tolerances import at_least, at_most, within_relative

DECODING = timing(
    name="decoding",
    description="A decode step and its state after so many tokens, beside attention with a cache",
    trial="papers.retnet.experiments:decoding",
    variants={"layer": {}},
    settings={
        "lengths": ([8, 16], [2048, 4096, 8192], [2048, 4096, 8192]),
        "units": (8, 1024, 4096),
        "num_heads": (2, 4, 16),
        "batch_size": (2, 8, 8),
        "samples": (3, 10, 10),
    },
    minutes=(0.3, 3, 3),
    reduces="A CPU for an A100, one layer of width 1,024 for 32 of 4,096.",
    paper_reduces="One layer for 32.",
    metrics=(
        "speedup",
        "memory_ratio",
        "retention_slowdown",
        "attention_slowdown",
        "retention_growth",
        "attention_growth",
    ),
)

PARAMETERS = parameters(
    "papers.retnet.experiments:parameters",
    "Parameters of the language models of table 2, in millions",
    sizes=("1.3B", "2.7B", "6.7B"),
    smoke_variants=("1.3B",),
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
        *DECODING.orderings(
            {"decoding-speed": Quantity("layer", "speedup")},
            mean=at_least(),
            reason="At least the paper's factor, at its 8,192 tokens; how much more, of a layer "
            "alone, is no matter of the paper's.",
        ),
        *DECODING.orderings(
            {"decoding-flat": Quantity("layer", "retention_slowdown")},
            mean=at_most(1.15),
            reason="The step is the same computation; 15 % is what this machine's times vary by.",
        ),
        *DECODING.counts(
            {"decoding-memory": Quantity("layer", "retention_growth")},
            mean=at_most(1.0),
            reason="Bytes of the state, from its shapes: they do not grow.",
        ),
        *parameter_claims(
            PARAMETERS,
            within_relative(0.03),
            "Named by two digits, and the paper does not give its vocabulary, which is a twentieth "
            "of the parameters.",
        ),
    ),
    headline="Decodes in constant time, 8.4 times faster than attention with a cache",
    headline_claims=("decoding-speed", "decoding-flat"),
    not_attempted=(
        "language models against Transformers (Figure 5, Table 3) and other variants (Table 5)",
        "training throughput and memory against FlashAttention at 8,192 tokens (Table 4)",
        "latency against the batch (Figure 6c)",
        "no gate, norm or decay, smaller heads (Table 6)",
    ),
)
