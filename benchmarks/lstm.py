"""`python -m benchmarks.lstm`: a training step of our LSTM, Keras's and torch's."""

import sys
from dataclasses import dataclass

from benchmarks.frameworks import import_torch_first
from common.checks import check_integers, check_positive
from common.reproduce.arguments import parse
from common.reproduce.command import HOLD, run_command
from common.reproduce.spec import LayerCase

_DESCRIPTION = "Times one training step (forward, backward, Adam), interleaved, in milliseconds."


@dataclass(frozen=True)
class Options:
    """Options of `python -m benchmarks.lstm`."""

    batch: int = 32
    """Sequences B."""
    length: int = 256
    """Time steps T."""
    width: int = 64
    """Width of the inputs D."""
    units: int = 128
    """Units H."""
    samples: int = 30
    """Samples of each, at least 10 ms long."""

    def __post_init__(self) -> None:
        check_positive(
            self, batch=self.batch, length=self.length, width=self.width, units=self.units
        )
        check_integers(self, 5, samples=self.samples)


def main() -> int:
    """Runs the command line; the exit code is 0."""
    run(parse(Options, prog="python -m benchmarks.lstm", description=_DESCRIPTION))
    return HOLD


def run(options: Options) -> None:
    """Times a training step of each LSTM that is here, and prints milliseconds."""
    import_torch_first()
    import keras

    from benchmarks.models import Shape, layer_model
    from benchmarks.peers import find_peers
    from benchmarks.programs import Work, make_program
    from common.reproduce.timing import measure

    ours = LayerCase(
        name="lstm",
        factory="common.layers:LSTM",
        config={"units": options.units},
        input_dim=options.width,
        forms=("recurrent",),
    )
    peers, absent = find_peers(Shape(options.width, options.units, 1, "float32", "cpu"))
    compilers = ("graph", "xla") if keras.backend.backend() == "tensorflow" else ("",)
    models = {"ours": layer_model(ours, "recurrent", "float32"), "keras": peers["keras LSTM"]()}
    functions = {
        f"{name} {compiler}": make_program(
            model,
            options.width,
            Work("train", compiler, options.batch, options.length, "float32"),
        ).call
        for compiler in compilers
        for name, model in models.items()
    }
    if "torch LSTM" in peers:
        work = Work("train", "eager", options.batch, options.length, "float32")
        functions["torch"] = make_program(peers["torch LSTM"](), options.width, work).call
    else:
        print(f"torch: absent, {absent['torch']}")
    timings = measure(functions, samples=options.samples)
    sizes = f"B={options.batch} T={options.length} D={options.width} H={options.units}"
    print(f"{sizes}, one training step, milliseconds")
    print(f"{'layer':12} {'median':>8} {'p20':>8} {'p80':>8} {'compile':>8}")
    for name, t in timings.items():
        row = [1e3 * seconds for seconds in (t.median, t.p20, t.p80, t.first)]
        print(f"{name:12} " + " ".join(f"{value:8.1f}" for value in row))


if __name__ == "__main__":
    sys.exit(run_command(main))
