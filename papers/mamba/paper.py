"""Mamba: what it declares. A tuple in settings is for smoke, cpu and paper."""

from common.declarations import DEFAULT, labelling, parameter_claims, parameters, timing
from common.reproduce.declare.spec import Claim, LayerCase, Paper, Quantity
from common.reproduce.declare.tolerances import at_least, at_most, within_absolute, within_relative

# Appendix E.1: two layers, Mamba of width 64, attention of 128, which there did not learn at a rate
# of 1e-3. In tests the attentions see all that came before.
_MAMBA = {"model": "papers.mamba:MambaLM", "model_settings": {"units": 64, "num_layers": 2}}
_ATTENTIONS = {
    name: {
        "model": "papers.mamba.model:AttentionLM",
        "model_settings": {
            "units": 128,
            "num_layers": 2,
            "num_heads": 8,
            "window": 256,
            "positions": positions,
        },
        "test_model": {"window": 2**14},
        "learning_rates": [1e-3, 2e-4],
    }
    for name, positions in (("mha-abs", "absolute"), ("mha-rope", "rotary"))
}
_H3 = {
    "model": "papers.mamba.baselines:h3",
    "model_settings": {"units": 128, "num_layers": 2},
}
_INDUCTION = {
    "task_settings": {"length": (32, 256, 256)},
    "batch_size": 8,
    # Solved at the length of training, longer sequences go on getting better.
    "keep": "last",
    "stop_after": 4,
    "percent": True,
    "stream": (32, 256, 256),
}
# Length of a test to its metric; the length of training has no number.
_SHORT = {n: "accuracy" if n == 256 else f"accuracy_{n}" for n in (2**i for i in range(6, 15))}
_LONG = {n: f"accuracy_{n}" for n in (2**i for i in range(15, 21))}

INDUCTION = labelling(
    name="induction_heads",
    description="Induction heads, trained at 256 steps, tested from 64 to 16,384",
    task="InductionHeads",
    variants={"mamba": _MAMBA, "h3": _H3, **_ATTENTIONS},
    settings={
        **_INDUCTION,
        "steps": (5, 16_000, 204_800),
        "learning_rates": ([1e-3], [1e-3], [1e-3, 2e-4]),
        "eval_every": (5, 1000, 8192),
        "eval_size": (16, 256, 1024),
        "tests": {str(n): {"length": n} for n in _SHORT if n != 256},
        "test_size": (4, 64, 256),
    },
    minutes=(0.7, 12, 300),
    reduces="16,000 updates for 204,800 (rotary attention 409,600, H3 81,920), fewer after four "
    "perfect evaluations, 1,000 apart; Mamba and H3 at one learning rate for two, 64 test "
    "sequences a length.",
    smoke_variants=("mamba",),
    # The special token is never the answer.
    untrained=dict.fromkeys(_SHORT.values(), 100 / 15),
)

LONG_INDUCTION = labelling(
    name="long_induction_heads",
    description="Induction heads, trained at 256 steps, tested from 32,768 to 1,048,576",
    task="InductionHeads",
    variants={"mamba": _MAMBA},
    settings={
        **_INDUCTION,
        "steps": (5, 204_800, 204_800),
        "learning_rates": [1e-3],
        "eval_every": (5, 8192, 8192),
        "eval_size": (16, 1024, 1024),
        "tests": {str(n): {"length": (64, n, n)} for n in _LONG},
        "test_size": (4, 64, 256),
    },
    minutes=(0.3, 60, 120),
    untrained=dict.fromkeys(("accuracy", *_LONG.values()), 100 / 15),
)

COPYING = labelling(
    name="selective_copying",
    description="Selective copying: 16 tokens out of a sequence, by Mamba and by S4 without a gate",
    task=("MADSelectiveCopying", "MADSelectiveCopying", "MambaSelectiveCopying"),
    variants={"mamba": _MAMBA, "s4": {**_MAMBA, "model": "papers.mamba.experiments:s4"}},
    settings={
        "task_settings": {"length": (16, 256, 4096), "num_tokens": (2, 16, 16)},
        "batch_size": (8, 32, 64),
        "steps": (5, 6000, 400_000),
        "learning_rates": ([1e-3], [2e-3], [1e-4]),
        "schedule": (DEFAULT, "cosine", DEFAULT),
        "warmup": (DEFAULT, 0.1, DEFAULT),
        "eval_every": (5, 500, 4000),
        "eval_size": (16, 256, 256),
        "stop_accuracy": (DEFAULT, 0.998, DEFAULT),
        "test_size": (16, 1280, 1024),
        "percent": True,
    },
    minutes=(0.3, 12, 3000),
    reduces="MAD's 256 steps for 4,096, batch 32 for 64, 6,000 updates for 400,000.",
    # One of 14 data tokens.
    untrained={"accuracy": 100 / 14},
)

SCAN_SPEED = timing(
    name="scan_speed",
    description="Time of a parallel scan and of a loop over the fused scan's, both directions",
    trial="papers.mamba.experiments:scan_speed",
    variants={"scan": {}},
    settings={
        "lengths": ([16, 32], [512, 1024, 2048], [2048, 8192, 32768]),
        "batch_size": 1,
        "channels": (8, 512, 1024),
        "state_dim": (4, 16, 16),
        "samples": (3, 7, 15),
        "compilers": ([False], [False, True], [False, True]),
    },
    minutes=(0.3, 2, 10),
    reduces="A CPU for an A100, 512 channels for 1024, 2,048 steps at most.",
    metrics=("ratio", "parallel_ratio", "loop_ratio", "first_ratio"),
)

GENERATION = timing(
    name="generation",
    description="Tokens a second after a prompt of 2,048, beside a transformer with a cache",
    trial="papers.mamba.experiments:generation",
    variants={name: {"model": name} for name in ("mamba", "transformer")},
    settings={
        "prompt": (16, 2048, 2048),
        "generated": (4, 128, 128),
        "vocabulary_size": (32, 1024, 50280),
        "units": (64, 512, 2048),
        "num_layers": (1, 6, 24),
        "batch_size": (2, 16, 16),
        "samples": (3, 30, 30),
    },
    minutes=(0.3, 1, 5),
    reduces="A CPU for an A100, 6 layers of width 512 (the transformer's) for 24 of 2,048, a batch "
    "of 16 for both where the paper's factor comes from Mamba's larger one, a vocabulary of 1,024, "
    "float32.",
    paper_reduces="A batch of 16 for both models, where the paper takes up to 128 and its factor "
    "comes from Mamba's larger one.",
    metrics=("tokens_per_second", "milliseconds"),
    recorded_as={"vocabulary_size": "vocabulary"},
)

PARAMETERS = parameters(
    "papers.mamba.experiments:parameters",
    "Parameters of the language models",
    sizes=("130M", "370M", "790M", "1.4B", "2.8B"),
    metric="parameters",
    smoke_variants=("130M",),
)

_BEYOND = {n: metric for n, metric in _SHORT.items() if n > 256}
_TICK = "A tick, or 100.0: one wrong in 64 test sequences."


def _lost(name: str, length: int, bound: float) -> tuple[Claim, ...]:
    return INDUCTION.orderings(
        {f"induction-{name}-{length}": Quantity(name, _SHORT[length])},
        mean=at_most(bound),
        controls=(f"induction-{name}-256",),
        reason="Lost, as in the paper; how soon depends on the run. Only what was learned can be "
        "lost.",
    )


PAPER = Paper(
    name="mamba",
    title="Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
    authors="Albert Gu, Tri Dao",
    year=2023,
    venue="COLM 2024",
    url="https://arxiv.org/abs/2312.00752",
    layers=(
        LayerCase(
            name="mamba",
            factory="papers.mamba:Mamba",
            config=dict(units=4, state_dim=3),
            input_dim=3,
            forms=("chunkwise", "recurrent"),
            benchmark=dict(units=256, state_dim=16, input_dim=256),
        ),
    ),
    experiments=(INDUCTION, LONG_INDUCTION, COPYING, SCAN_SPEED, GENERATION, PARAMETERS),
    claims=(
        *INDUCTION.numbers(
            {f"induction-mamba-{n}": Quantity("mamba", metric) for n, metric in _SHORT.items()},
            each=at_least(98.0),
            reason=_TICK,
        ),
        *LONG_INDUCTION.numbers(
            {f"induction-mamba-{n}": Quantity("mamba", metric) for n, metric in _LONG.items()},
            each=at_least(98.0),
            reason=_TICK,
        ),
        *INDUCTION.numbers(
            {f"induction-h3-{n}": Quantity("h3", _SHORT[n]) for n in (64, 128, 256)},
            each=at_least(98.0),
            reason="As for Mamba.",
        ),
        *INDUCTION.numbers(
            {f"induction-h3-{n}": Quantity("h3", metric) for n, metric in _BEYOND.items()},
            mean=within_absolute(15.0),
            controls=("induction-h3-256",),
            reason="How fast it is lost depends on the run, and the paper has one; 64 test "
            "sequences alone vary by 6. Only what was learned can be lost.",
        ),
        *INDUCTION.numbers(
            {f"induction-{name}-256": Quantity(name, "accuracy") for name in _ATTENTIONS},
            each=at_least(98.0),
            reason="As for Mamba.",
        ),
        *_lost("mha-abs", 1024, 50.0),
        *_lost("mha-abs", 16384, 20.0),
        *_lost("mha-rope", 1024, 50.0),
        *_lost("mha-rope", 16384, 20.0),
        *COPYING.numbers(
            {"selective-copying-mamba-s6": Quantity("mamba", "accuracy")},
            mean=within_absolute(1.0),
            reason="Solved, but for one token in a hundred.",
        ),
        *COPYING.numbers(
            {"selective-copying-no-gate-s4": Quantity("s4", "accuracy")},
            mean=within_absolute(10.0),
            controls=("selective-copying-mamba-s6",),
            reason="Learned, guessing is 7.1, and not solved, where the same training teaches "
            "Mamba the task; of how many runs the paper does not say.",
        ),
        *SCAN_SPEED.orderings(
            {"speed-scan-least": Quantity("scan", "ratio")},
            mean=at_least(),
            reason="The lower end of the paper's range, against the faster of a parallel scan and "
            "a plain loop.",
        ),
        *SCAN_SPEED.orderings(
            {"speed-scan-parallel-least": Quantity("scan", "parallel_ratio")},
            mean=at_least(),
            controls=("speed-scan-least",),
            reason="The same against the paper's baseline, a parallel scan with all states in "
            "memory. It says something of the fused scan only where no loop is as fast.",
        ),
        *GENERATION.orderings(
            {"speed-generation-least": Quantity("mamba", "tokens_per_second").over("transformer")},
            mean=at_least(),
            reason="The lower end of the paper's range. Here both have the same batch: the time of "
            "a step is compared, not the batch that fits.",
        ),
        *parameter_claims(
            PARAMETERS, within_relative(1e-9), "A number of weights: it is the same or not."
        ),
    ),
    headline="Selective state spaces copy what counts and recall over a million steps",
    headline_claims=("selective-copying-mamba-s6", "induction-mamba-1048576"),
    not_attempted=(
        "language models as good as Transformers of twice the size (Table 3, Figure 4)",
        "DNA and audio, better the longer the context (Figures 5 to 7)",
        "throughput of generation with the batch that fits (Figure 8, right)",
        "the rows of Hyena and attention with xPos on induction heads, and H3's beyond 16,384 "
        "steps (Table 11)",
        "the other six rows of selective copying (Table 1)",
    ),
)
