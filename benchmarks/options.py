"""What `python -m benchmarks` can be asked for. Imports neither Keras nor a backend."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from benchmarks.kernels import NAMES, forms_of
from benchmarks.peers import LIBRARIES
from benchmarks.rows import FILE
from common.reproduce.declare.require import require
from common.reproduce.declare.spec import LayerCase
from papers import get_paper, list_papers

Mode = Literal["forward", "backward", "train", "step"]
Form = Literal["parallel", "chunkwise", "recurrent", "scan", "fft"]
Compiler = Literal["eager", "graph", "xla"]

STREAM_CHUNK = 1024
STREAM_LENGTHS = (1024, 4096, 16_384, 65_536, 262_144, 1_048_576)


@dataclass(frozen=True)
class Options:
    """Options of `python -m benchmarks`; the backend is that of KERAS_BACKEND."""

    papers: tuple[str, ...] = ()
    """Papers whose layers to time; by default all."""
    layers: tuple[str, ...] = ()
    """Layers to time, as --list names them; by default all of the papers."""
    kernels: tuple[str, ...] = ()
    """Ops and layers of common to time, as --list names them, or all; then papers only if named."""
    forms: tuple[Form, ...] | None = None
    """Forms to time, where a layer or kernel has them; by default all."""
    peers: tuple[str, ...] = ("all",)
    """Other implementations to time on the same shapes: all, none, libraries (keras, torch,
    keras-lmu, mambapy, transformers, fla) or names as in the tables, e.g. "torch LSTM"."""
    length: tuple[int, ...] | None = None
    """Time steps T: by default 256, 1024 and 4096, those of the kernel, or with --quick 256."""
    width: int | None = None
    """Width of layers, inputs and outputs, a multiple of theirs; heads keep their sizes, and there
    are more of them. By default each layer's own, as --list names it."""
    batch: int | None = None
    """Sequences B: by default 8, those of the kernel, or with --quick 2."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype; weights stay float32, except those of torch's peers."""
    device: Literal["cpu", "gpu"] | None = None
    """By default a GPU if the backend sees one."""
    modes: tuple[Mode, ...] | None = None
    """backward: the gradients of inputs and weights; train: a step of Adam; step: a step of
    decoding. By default all, with --quick all but train."""
    compilers: tuple[Compiler, ...] | None = None
    """TensorFlow only: by default graph and xla, with --quick xla. JAX is jitted, torch eager."""
    samples: int | None = None
    """Samples of each number, at least 10 ms long: by default 30, with --quick 5."""
    seconds: float | None = None
    """A number that was sampled for so long needs 5 samples only, with --quick 3, and 2 after ten
    times as long: by default 20, with --quick 0.5."""
    quick: bool = False
    """Few samples, modes, compilers and lengths: about a minute a paper."""
    output: Path | None = None
    """Directory to write; by default benchmarks/results/<date>-<device>-<backend>. With --report,
    where to put the tables as Markdown and CSV, and the plots."""
    resume: bool = False
    """Go on with the run in --output: what it has rows of is not measured again."""
    compare: Path | None = None
    """Directory or file of rows of an earlier run; exit code 1 if slower."""
    threshold: float = 0.1
    """With --compare, the relative slowdown that counts as one."""
    export: Path | None = None
    """TensorFlow only: write the programs of the layers' steps and gradients to this directory, as
    XLA compiles them for an accelerator, and exit."""
    stream: bool = False
    """Read T steps in chunks of 1,024, the state carried over, and decode after them: one form a
    layer, peers at once, by default to a million steps of one sequence."""
    exported: Path | None = None
    """JAX only: time the programs of TensorFlow that --export wrote to this directory."""
    report: Path | None = None
    """Print the tables of the run in this directory, and exit."""
    list: bool = False
    """Print the layers and kernels, their forms and sizes, and exit."""
    claims: bool = False
    """Print the speeds that the papers report beside ours, and exit."""
    verbose: bool = False
    """Show what the libraries log, and where an error comes from."""

    def __post_init__(self) -> None:
        _require_all("--papers", self.papers, list_papers())
        _require_all("--layers", self.layers, tuple(_names(self.papers)))
        _require_all("--kernels", self.kernels, ("all", *NAMES))
        libraries = tuple(name.partition(" ")[0] for name in self.peers)
        _require_all("--peers", libraries, ("all", "none", *LIBRARIES))
        for length in self.length or ():
            require(length >= 1, "--length", length, "integers >= 1")
            whole = length % STREAM_CHUNK == 0 or not self.stream
            require(whole, "--length", length, f"with --stream, multiples of {STREAM_CHUNK}")
        require(self.batch is None or self.batch >= 1, "--batch", self.batch, "an integer >= 1")
        require(
            self.output is not None or not self.resume, "--output", None, "with --resume, a run's"
        )
        require(self.samples is None or self.samples >= 5, "--samples", self.samples, ">= 5")
        require(self.seconds is None or self.seconds > 0, "--seconds", self.seconds, "> 0")
        require(self.threshold > 0, "--threshold", self.threshold, "a positive number")
        for name, path in (("--compare", self.compare), ("--report", self.report)):
            there = path is None or path.is_file() or (path / FILE).is_file()
            require(there, name, str(path), f"a file of rows or a directory with {FILE}")
        for name in ("length", "modes", "forms", "compilers", "peers"):
            require(getattr(self, name) != (), f"--{name}", (), "at least one")
        expected = "none with --stream, as kernels carry no state over"
        require(not (self.stream and self.kernels), "--kernels", self.kernels, expected)
        forms = [form for layer in self.chosen_layers().values() for form in layer.forms]
        forms += [form for name in self.chosen_kernels() for form in forms_of(name)]
        expected = f"a form that the layers have: {' '.join(dict.fromkeys(forms))}"
        require(any(map(self.takes_form, forms)), "--forms", self.forms, expected)

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
        every: tuple[Mode, ...] = ("forward", "backward", "train", "step")
        return self.modes or tuple(mode for mode in every if mode != "train" or not self.quick)

    def timed_compilers(self, backend: str) -> tuple[str, ...]:
        """Ways to compile on `backend`, with the defaults filled in."""
        if backend != "tensorflow":
            return ("jit",) if backend == "jax" else ("eager",)
        return self.compilers or (("xla",) if self.quick else ("graph", "xla"))

    def takes_form(self, name: str) -> bool:
        """Whether the form is to be timed."""
        return self.forms is None or name in self.forms

    def takes_peer(self, name: str) -> bool:
        """Whether the peer is to be timed."""
        return bool({"all", name.partition(" ")[0], name} & set(self.peers))

    def chosen_layers(self) -> dict[str, LayerCase]:
        """`<paper>/<layer>` to the layer's case at benchmark size."""
        if self.kernels and not (self.papers or self.layers):
            return {}
        layers = {
            name: layer.at_benchmark_size()
            for name, layer in _names(self.papers).items()
            if not self.layers or name in self.layers
        }
        if self.width is None:
            return layers
        return {name: widened(layer, self.width) for name, layer in layers.items()}

    def chosen_kernels(self) -> tuple[str, ...]:
        """Names of kernels."""
        return NAMES if "all" in self.kernels else self.kernels

    def directory(self, device: str, backend: str) -> Path:
        """Where to write."""
        date = datetime.now(UTC).strftime("%Y-%m-%d-%H%M")
        return self.output or Path("benchmarks/results") / f"{date}-{device}-{backend}"


def widened(layer: LayerCase, width: int) -> LayerCase:
    """The layer with inputs and outputs of `width`, its heads and blocks of the size they have.

    Raises:
        ValueError: if its inputs and outputs have different widths, or `width` is no multiple.
    """
    units = layer.config.get("units")
    expected = f"none with {layer.name}, whose outputs have another width than its inputs"
    require(units == layer.input_dim, "--width", width, expected)
    more, rest = divmod(width, layer.input_dim)
    expected = f"a multiple of {units}, the width of {layer.name}"
    require(more > 0 and rest == 0, "--width", width, expected)
    growing = {
        "num_heads",
        "num_blocks",
        *(name for name in layer.config if name.endswith("units")),
    }
    config = {
        name: value * more if name in growing else value for name, value in layer.config.items()
    }
    return replace(layer, config=config, input_dim=width)


def _names(papers: tuple[str, ...]) -> dict[str, LayerCase]:
    return {
        f"{paper}/{case.name}": case
        for paper in papers or list_papers()
        for case in get_paper(paper).layers
    }


def _require_all(argument: str, values: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    for value in values:
        require(value in allowed, argument, value, f"some of {' '.join(allowed)}")
