"""`python -m benchmarks.lstm`: a training step of our LSTM, Keras's and torch's."""

import tyro

from benchmarks.frameworks import import_torch_first
from common.reproduce.spec import LayerCase


def main(
    batch: int = 32, length: int = 256, width: int = 64, units: int = 128, samples: int = 30
) -> None:
    """Times one training step (forward, backward, Adam), interleaved, and prints milliseconds.

    Args:
        batch: Sequences B.
        length: Time steps T.
        width: Width of the inputs D.
        units: Units H.
        samples: Samples of each, at least 10 ms long.
    """
    import_torch_first()
    import keras

    from benchmarks.models import Shape, layer_model
    from benchmarks.peers import find_peers
    from benchmarks.programs import Work, make_program
    from common.reproduce.timing import measure

    ours = LayerCase(
        name="lstm",
        factory="common.layers:LSTM",
        config={"units": units},
        input_dim=width,
        forms=("recurrent",),
    )
    peers, absent = find_peers(Shape(width, units, 1, "float32", "cpu"))
    compilers = ("graph", "xla") if keras.backend.backend() == "tensorflow" else ("",)
    models = {"ours": layer_model(ours, "recurrent", "float32"), "keras": peers["keras LSTM"]()}
    functions = {
        f"{name} {compiler}": make_program(
            model, width, Work("train", compiler, batch, length, "float32")
        ).call
        for compiler in compilers
        for name, model in models.items()
    }
    if "torch LSTM" in peers:
        work = Work("train", "eager", batch, length, "float32")
        functions["torch"] = make_program(peers["torch LSTM"](), width, work).call
    else:
        print(f"torch: absent, {absent['torch']}")
    timings = measure(functions, samples=samples)
    print(f"B={batch} T={length} D={width} H={units}, one training step, milliseconds")
    print(f"{'layer':12} {'median':>8} {'p20':>8} {'p80':>8} {'compile':>8}")
    for name, t in timings.items():
        row = [1e3 * seconds for seconds in (t.median, t.p20, t.p80, t.first)]
        print(f"{name:12} " + " ".join(f"{value:8.1f}" for value in row))


if __name__ == "__main__":
    tyro.cli(main)
