"""Speeds and memory that the papers report, beside what we recorded. Imports no backend."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.rows import OK, Row
from common.reproduce import report
from common.reproduce.cli import package_directory
from common.reproduce.ledger import ledger
from common.reproduce.reported import load_reported
from common.reproduce.spec import FORMS, Paper
from common.reproduce.verdict import NOT_RUN
from papers import get_paper

_SPEED = re.compile(r"\b(time|seconds|throughput|latency|memory)\b")
_NO_SPEED = re.compile(r"memory (locations|content)")


@dataclass(frozen=True)
class Baseline:
    """What stands on the other side of a reported ratio.

    Attributes:
        theirs: what the paper compared with, and whether that was slow.
        ours: what our recorded number compares with.
        hardware: of the paper.
        layer: layer of ours to set against `peer` in the present run, if there is one to.
        peer: name of the peer.
    """

    theirs: str
    ours: str
    hardware: str
    layer: str = ""
    peer: str = ""


def _min_rnn(cell: str) -> Baseline:
    return Baseline(
        theirs=f"SLOW: their own sequential {cell}, a Python loop over time",
        ours=f"keras.layers.{cell}, a compiled loop",
        hardware="T4 GPU, batch 64",
        layer=f"min_rnn/min{cell.lower()}",
        peer=f"keras {cell}",
    )


_UNCACHED = "SLOW: softmax without a cache of keys and values, the whole prefix again each step"
_A100 = "A100-80GB"
_LINEAR_CPU = "CPU, not named, batch 1"
_LINEAR_GPU = "GPU, the largest batch that fits"
_LMU = Baseline(
    theirs="Keras's LSTM",
    ours="common.layers.LSTM, compiled as the LMU is",
    hardware="CPU, not named",
)

# Paper and beginning of a claim's id; the first that fits counts.
BASELINES: dict[tuple[str, str], Baseline] = {
    ("min_rnn", "speed-mingru"): _min_rnn("GRU"),
    ("min_rnn", "speed-minlstm"): _min_rnn("LSTM"),
    ("min_rnn", "memory-mingru"): Baseline("their own GRU", "–", "T4 GPU, batch 64"),
    ("min_rnn", "memory-mamba"): Baseline("Mamba's CUDA kernels", "–", "T4 GPU, batch 64"),
    ("linear_transformer", "generation-linear-to-uncached"): Baseline(
        _UNCACHED, "the same, compiled", _LINEAR_GPU
    ),
    ("linear_transformer", "generation-linear-to-cached"): Baseline(
        "softmax with a cache", "the same, compiled", _LINEAR_GPU
    ),
    ("linear_transformer", "mnist-softmax-linear-latency"): Baseline(
        _UNCACHED, "the same, compiled", _LINEAR_CPU
    ),
    ("linear_transformer", "cifar-softmax-linear-latency"): Baseline(_UNCACHED, "–", _LINEAR_CPU),
    ("linear_transformer", "cifar-linear-softmax"): Baseline(_UNCACHED, "–", _LINEAR_GPU),
    ("linear_transformer", "mnist-stateful-linear-latency"): Baseline(
        "softmax with a cache", "the same, compiled", _LINEAR_CPU
    ),
    ("linear_transformer", "cifar-stateful-linear-latency"): Baseline(
        "softmax with a cache", "–", _LINEAR_CPU
    ),
    ("linear_transformer", "cifar-linear-stateful"): Baseline(
        "softmax with a cache", "–", _LINEAR_GPU
    ),
    ("linear_transformer", "mnist-stateful-softmax-speedup"): Baseline(_UNCACHED, "–", _LINEAR_GPU),
    ("linear_transformer", "scaling"): Baseline("–", "–", "GTX 1080 Ti, 11 GB"),
    ("lmu", "mackey-glass"): _LMU,
    ("mamba", "speed-scan"): Baseline(
        "SLOW: a scan in PyTorch that writes every state to memory",
        "keras.ops.associative_scan or a loop, the faster, compiled",
        _A100,
        "mamba/mamba",
        "mambapy Mamba",
    ),
    ("mamba", "speed-generation"): Baseline(
        "a transformer of Hugging Face with a cache", "ours with a cache, compiled", _A100
    ),
    ("mamba", "memory"): Baseline("a transformer with FlashAttention-2", "–", _A100),
    ("mamba2", "speed-scan"): Baseline(
        "Mamba's fused CUDA scan",
        "our fused scan or a loop, the faster, compiled",
        "A100",
        "mamba2/mamba2",
        "transformers Mamba-2",
    ),
    ("mamba2", "speed-attention"): Baseline("FlashAttention-2", "–", "A100"),
    ("griffin", "speed-native"): Baseline(
        "JAX's native scan", "keras.ops.scan, compiled", "TPU-v3", "griffin/block", "mambapy Mamba"
    ),
    ("griffin", "speed-associative"): Baseline(
        "JAX's native scan", "keras.ops.scan, compiled", "TPU-v3"
    ),
    ("delta_net", "speed"): Baseline("their own recurrent kernel", "our recurrent form", "GPU"),
    ("retnet", "decoding"): Baseline(
        "a transformer with a cache", "our attention with a cache", "A100-80GB"
    ),
    ("xlstm", "speed-slstm"): Baseline("their mLSTM in CUDA", "our mLSTM, its fastest form", "GPU"),
}
_UNKNOWN = Baseline("–", "–", "not stated")


@dataclass(frozen=True)
class SpeedClaim:
    """A line of the table of reported speeds.

    Attributes:
        paper: name of the paper.
        claim: id in reported.csv.
        metric: what the number measures.
        variant: of what.
        reported: the paper's number.
        hardware: the paper's.
        baseline: what the paper compared with.
        recorded: our number in results.csv.
        our_baseline: what it compares with.
        this_run: the nearest ratio of the present run.
        verdict: on the recorded number; "not claimed" where no experiment measures it.
        note: of reported.csv.
    """

    paper: str
    claim: str
    metric: str
    variant: str
    reported: str
    hardware: str
    baseline: str
    recorded: str
    our_baseline: str
    this_run: str
    verdict: str
    note: str


def speed_claims(papers: Sequence[str], rows: Sequence[Row] = ()) -> list[SpeedClaim]:
    """Every claim of the papers on speed or memory, then every reported ratio without a claim.

    Args:
        papers: names of papers.
        rows: of the present run, for the column `this_run`.
    """
    return [line for name in papers for line in _paper_claims(get_paper(name), rows)]


def _paper_claims(paper: Paper, rows: Sequence[Row]) -> list[SpeedClaim]:
    directory = package_directory(paper)
    # Of the verdicts on a claim the first: that at paper scale, if there is one.
    verdicts = {verdict.claim.id: verdict for verdict in reversed(ledger(paper, directory))}
    lines = []
    for one in load_reported(directory / "reported.csv").values():
        verdict = verdicts.get(one.id)
        if not _is_speed(one.metric) or (verdict is None and ", ratio" not in one.metric):
            continue
        baseline = _baseline(paper.name, one.id)
        lines.append(
            SpeedClaim(
                paper=paper.name,
                claim=one.id,
                metric=one.metric,
                variant=one.variant,
                reported=one.statement
                if one.value is None
                else f"{one.value:.4g} {one.unit}".rstrip(),
                hardware=baseline.hardware,
                baseline=baseline.theirs,
                recorded="–" if verdict is None else report.measured(verdict),
                our_baseline=baseline.ours,
                this_run=_this_run(baseline, rows) if "growth" not in one.id else "–",
                verdict="not claimed" if verdict is None else verdict.word,
                note=one.note,
            )
        )
    return sorted(lines, key=lambda line: line.verdict in (NOT_RUN, "not claimed"))


def _is_speed(metric: str) -> bool:
    return _SPEED.search(metric) is not None and _NO_SPEED.search(metric) is None


def _baseline(paper: str, claim: str) -> Baseline:
    fitting = (
        b for (name, start), b in BASELINES.items() if name == paper and claim.startswith(start)
    )
    return next(fitting, _UNKNOWN)


def _this_run(baseline: Baseline, rows: Sequence[Row]) -> str:
    """The peer's least time over our layer's, forward and backward, at the greatest length."""
    times: dict[int, dict[bool, list[float]]] = {}
    for row in rows:
        if row.status != OK or row.mode != "forward+backward" or row.median_ms is None:
            continue
        if row.doubt:
            continue
        ours = row.name in FORMS
        if row.layer == baseline.layer and (ours or row.name == baseline.peer):
            times.setdefault(row.length, {}).setdefault(ours, []).append(row.median_ms)
    both = [length for length, sides in times.items() if len(sides) == 2]
    if not both:
        return "–"
    sides = times[max(both)]
    return f"{min(sides[False]) / min(sides[True]):.3g} (T={max(both)}, {baseline.peer})"
