"""What `python -m benchmarks` can be asked for. Imports neither Keras nor a backend."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from common.reproduce import provenance
from common.reproduce.spec import LayerCase
from papers import get_paper, list_papers

Mode = Literal["forward", "backward", "train", "step"]
Form = Literal["parallel", "chunkwise", "recurrent"]
Compiler = Literal["eager", "graph", "xla"]


@dataclass(frozen=True)
class Options:
    """Options of `python -m benchmarks`; the backend is that of KERAS_BACKEND."""

    papers: tuple[str, ...] = ()
    """Papers whose layers to time; by default all."""
    layers: tuple[str, ...] = ()
    """Layers to time, as --list names them; by default all of the papers."""
    forms: tuple[Form, ...] = ("parallel", "chunkwise", "recurrent")
    """Forms to time, where a layer has them."""
    length: tuple[int, ...] | None = None
    """Time steps T: by default 256, 1024 and 4096, with --quick 256."""
    batch: int | None = None
    """Sequences B: by default 8, with --quick 2."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype; weights stay float32, except those of torch's peers."""
    device: Literal["cpu", "gpu"] | None = None
    """By default a GPU if the backend sees one."""
    modes: tuple[Mode, ...] | None = None
    """backward: the gradients of inputs and weights; train: a step of Adam; step: a step of
    decoding. By default all, with --quick all but train."""
    compilers: tuple[Compiler, ...] | None = None
    """TensorFlow only: by default graph and xla, with --quick xla. JAX is jitted, torch eager."""
    peers: bool = True
    """Time other implementations on the same shapes too."""
    samples: int | None = None
    """Samples of each number, at least 10 ms long: by default 30, with --quick 5."""
    seconds: float | None = None
    """A number that was sampled for so long needs 5 samples only, with --quick 3, and 2 after ten
    times as long: by default 20, with --quick 0.5."""
    quick: bool = False
    """Few samples, modes, compilers and lengths: about a minute a paper."""
    output: Path | None = None
    """Directory to write; by default benchmarks/results/<date>-<device>-<backend>."""
    compare: Path | None = None
    """results.jsonl (or a JSON list of its rows) of an earlier run; exit code 1 if slower."""
    threshold: float = 0.1
    """With --compare, the relative slowdown that counts as one."""
    list: bool = False
    """Print the layers, their forms and sizes, and exit."""
    claims: bool = False
    """Print the speeds that the papers report beside ours, and exit."""
    verbose: bool = False
    """Show what the libraries log, and where an error comes from."""

    def __post_init__(self) -> None:
        _require_all("--papers", self.papers, list_papers())
        _require_all("--layers", self.layers, tuple(_names(self.papers)))
        for length in self.lengths:
            _require(length >= 1, "--length", length, "integers >= 1")
        _require(bool(self.lengths), "--length", (), "at least one")
        _require(self.batch_size >= 1, "--batch", self.batch, "an integer >= 1")
        _require(self.samples is None or self.samples >= 5, "--samples", self.samples, ">= 5")
        _require(self.seconds is None or self.seconds > 0, "--seconds", self.seconds, "> 0")
        _require(self.threshold > 0, "--threshold", self.threshold, "a positive number")
        missing = self.compare is not None and not self.compare.is_file()
        _require(not missing, "--compare", self.compare, "a file of an earlier run")
        for name in ("modes", "forms", "compilers"):
            _require(getattr(self, name) != (), f"--{name}", (), "at least one")
        _require(bool(self.cases()), "--forms", self.forms, "a form that the layers have")

    @property
    def lengths(self) -> tuple[int, ...]:
        """Time steps, with the defaults filled in."""
        if self.length is not None:
            return self.length
        return (256,) if self.quick else (256, 1024, 4096)

    @property
    def batch_size(self) -> int:
        """Sequences, with the default filled in."""
        if self.batch is not None:
            return self.batch
        return 2 if self.quick else 8

    @property
    def sample_count(self) -> int:
        """Samples of each number."""
        return self.samples or (5 if self.quick else 30)

    @property
    def sample_limit(self) -> float:
        """Seconds after which 5 samples suffice."""
        return self.seconds or (0.5 if self.quick else 20.0)

    @property
    def timed_modes(self) -> tuple[Mode, ...]:
        """Modes, with the defaults filled in."""
        if self.modes is not None:
            return self.modes
        return (
            ("forward", "backward", "step")
            if self.quick
            else ("forward", "backward", "train", "step")
        )

    def timed_compilers(self, backend: str) -> tuple[str, ...]:
        """Ways to compile on `backend`, with the defaults filled in."""
        if backend != "tensorflow":
            return ("jit",) if backend == "jax" else ("eager",)
        return self.compilers or (("xla",) if self.quick else ("graph", "xla"))

    def cases(self) -> dict[str, LayerCase]:
        """`<paper>/<layer>` to the layer's case at benchmark size, with the forms to time."""
        chosen = {}
        for name, case in _names(self.papers).items():
            forms = tuple(form for form in case.forms if form in self.forms)
            if forms and (not self.layers or name in self.layers):
                chosen[name] = case.at_benchmark_size()
        return chosen

    def directory(self, device: str, backend: str) -> Path:
        """Where to write."""
        date = datetime.now(UTC).strftime("%Y-%m-%d-%H%M")
        return self.output or Path("benchmarks/results") / f"{date}-{device}-{backend}"


def backend_name() -> str:
    """The backend Keras will use, without importing it; TensorFlow unless the user says so.

    Raises:
        ValueError: if it is none of ours, or not installed.
    """
    return provenance.backend()


def _names(papers: tuple[str, ...]) -> dict[str, LayerCase]:
    return {
        f"{paper}/{case.name}": case
        for paper in papers or list_papers()
        for case in get_paper(paper).layers
    }


def _require(condition: bool, argument: str, value: object, expected: str) -> None:
    if not condition:
        raise ValueError(f"{argument} is {value}, expected {expected}.")


def _require_all(argument: str, values: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    for value in values:
        _require(value in allowed, argument, value, f"some of {' '.join(allowed)}")
