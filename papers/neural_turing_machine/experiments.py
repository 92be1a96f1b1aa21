"""Trials: learning to copy, to copy repeatedly and to recall, with and without a memory."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from common.layers import LSTM
from common.reproduce.execute.run import Run
from common.reproduce.files import write_bytes
from common.tasks import AssociativeRecall, Copy, RepeatCopy, Task, evaluation_set
from papers.neural_turing_machine.layers import NTM
from papers.neural_turing_machine.model import BitsCrossEntropy, Transducer

# Wrong bits per sequence below which Collier and Beel call a model converged.
CONVERGED = 0.1
# Share of wrong bits up to which errors at a length are local; guessing makes 0.5. Graves et al.
# (section 4.1) only show them in pictures.
LOCAL_ERRORS = 0.1
# Seeds of the fixed evaluation sets: what a model is trained on never depends on them.
EVALUATION_SEED = 0


def copy(
    run: Run,
    *,
    model: str,
    lstm_layers: int,
    lstm_units: int,
    steps: int,
    eval_every: int,
    patience: int | None,
    bucket: int,
    max_length: int,
    sequences: int,
    test_lengths: Sequence[int],
) -> dict[str, float]:
    """Trains on copying 1 to `max_length` vectors; tests on longer sequences.

    Args:
        run: The run.
        model: Memory initialisation of an NTM, or `"lstm"`.
        lstm_layers: Layers of the LSTM.
        lstm_units: Units of each.
        steps: Training steps of 32 sequences at most.
        eval_every: Steps between evaluations.
        patience: Evaluations in a row with the model converged after which training stops;
            `None` for never.
        bucket: Training batches are padded to a multiple of so many vectors, which XLA compiles
            for one by one.
        max_length: Most vectors to train on.
        sequences: Sequences a length to evaluate on, for each length.
        test_lengths: Lengths to test on, none of them above 1 to `max_length` needed.

    Returns:
        `converged_step`, the step of the first evaluation below 0.1 wrong bits a sequence, or
        the last step plus one evaluation where there is none; `converged` 0 or 1;
        `wrong_bits` over the training lengths, `wrong_bits_L` at each test length, and
        `copied_length`, the test length up to which at most a tenth of the bits are wrong, or 0;
        all of the weights with the fewest wrong bits.
    """
    net = _transducer(model, 8, lstm_layers, lstm_units)
    drawn = Copy(max_length=max_length, pad=False)
    lengths = range(1, max_length + 1)
    held_out = _joined(run, [Copy(min_length=n, max_length=n) for n in lengths], sequences)
    metrics = _fit(
        run,
        net,
        lambda step: _padded(drawn.batch(32, run.seed, step), 2 * bucket),
        held_out,
        steps,
        eval_every,
        patience,
    )
    # All lengths padded to the longest, which XLA compiles once.
    tests = [Copy(min_length=length, max_length=length) for length in test_lengths]
    wrong = _wrong_bits(net, _joined(run, tests, sequences)).reshape(len(tests), sequences).mean(1)
    curve = {length: float(bits) for length, bits in zip(test_lengths, wrong, strict=True)}
    for length, bits in curve.items():
        run.log(length, wrong_bits_at_length=bits)
    _draw(curve, max_length, run.dir / "generalisation.png")
    return (
        metrics
        | {f"wrong_bits_{length}": value for length, value in curve.items()}
        | {"copied_length": copied_length(curve, bits=8)}
    )


def copied_length(curve: Mapping[int, float], bits: int) -> float:
    """The longest length such that errors are local there and at all shorter ones.

    Args:
        curve: Length to wrong bits a sequence.
        bits: Bits of a vector.
    """
    longest = 0
    for length, wrong in sorted(curve.items()):
        if wrong > LOCAL_ERRORS * bits * length:
            break
        longest = length
    return float(longest)


def repeat_copy(
    run: Run,
    *,
    model: str,
    lstm_layers: int,
    lstm_units: int,
    steps: int,
    eval_every: int,
    patience: int | None,
    max_length: int,
    max_repeats: int,
    sequences: int,
) -> dict[str, float]:
    """Trains on copying up to `max_length` vectors up to `max_repeats` times; arguments as `copy`.

    Returns:
        `converged_step`, `converged` and `wrong_bits` as `copy`.
    """
    net = _transducer(model, 8, lstm_layers, lstm_units)
    task = RepeatCopy(max_length=max_length, max_repeats=max_repeats, shared_length=False)
    return _fit(
        run,
        net,
        lambda step: _xyw(task.batch(32, run.seed, step)),
        _joined(run, [task], sequences),
        steps,
        eval_every,
        patience,
    )


def associative_recall(
    run: Run,
    *,
    model: str,
    lstm_layers: int,
    lstm_units: int,
    steps: int,
    eval_every: int,
    patience: int | None,
    max_items: int,
    sequences: int,
) -> dict[str, float]:
    """Trains on recalling one of 2 to `max_items` items; arguments as `copy`.

    Returns:
        `converged_step`, `converged` and `wrong_bits` as `copy`.
    """
    net = _transducer(model, 6, lstm_layers, lstm_units)
    task = AssociativeRecall(max_items=max_items)
    tests = [AssociativeRecall(min_items=n, max_items=n) for n in range(2, max_items + 1)]
    return _fit(
        run,
        net,
        lambda step: _xyw(task.batch(32, run.seed, step)),
        _joined(run, tests, sequences),
        steps,
        eval_every,
        patience,
    )


Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def _transducer(model: str, bits: int, lstm_layers: int, lstm_units: int) -> Transducer:
    """The compiled model: Collier and Beel's optimizer."""
    stack: list[keras.layers.Layer]
    if model == "lstm":
        stack = [*(LSTM(lstm_units) for _ in range(lstm_layers)), keras.layers.Dense(bits)]
    else:
        stack = [NTM(bits, memory_init=model)]
    net = Transducer(stack)
    adam = keras.optimizers.Adam(1e-3, epsilon=1e-8, global_clipnorm=50.0)
    jit = keras.backend.backend() != "torch"
    net.compile(adam, BitsCrossEntropy(), jit_compile=jit)
    return net


def _fit(
    run: Run,
    net: Transducer,
    batches: Callable[[int], Batch],
    held_out: Batch,
    steps: int,
    eval_every: int,
    patience: int | None,
) -> dict[str, float]:
    def stable(history) -> bool:
        last = [row["wrong_bits"] for row in history[-(patience or 0) :]]
        return patience is not None and len(last) == patience and max(last) < CONVERGED

    row = run.train(
        net,
        batches,
        steps=steps,
        evaluate=lambda: {"wrong_bits": float(_wrong_bits(net, held_out).mean())},
        eval_every=eval_every,
        stop=stable,
        best=("min", "wrong_bits"),
    )
    converged = [one["step"] for one in run.history if one["wrong_bits"] < CONVERGED]
    return {
        "converged_step": converged[0] if converged else float(steps + eval_every),
        "converged": float(bool(converged)),
        "wrong_bits": row["wrong_bits"],
    }


def _xyw(batch: dict[str, np.ndarray]) -> Batch:
    return batch["inputs"], batch["targets"], batch["weights"]


def _padded(batch: dict[str, np.ndarray], multiple: int) -> Batch:
    """The batch with unscored steps at its end until T - 1 is a multiple of `multiple`."""
    missing = -(batch["inputs"].shape[1] - 1) % multiple

    def pad(x):
        return np.pad(x, ((0, 0), (0, missing), *[(0, 0)] * (x.ndim - 2)))

    x, y, weights = _xyw(batch)
    return pad(x), pad(y), pad(weights)


def _joined(run: Run, tasks: Sequence[Task], sequences: int) -> Batch:
    """`sequences` test sequences of each task, one after another, padded to the longest."""
    batches = [
        _xyw(evaluation_set(task, "test", sequences, EVALUATION_SEED, run.data_dir))
        for task in tasks
    ]
    longest = max(x.shape[1] for x, _, _ in batches)

    def join(arrays):
        widths = [((0, 0), (0, longest - x.shape[1]), *[(0, 0)] * (x.ndim - 2)) for x in arrays]
        return np.concatenate([np.pad(x, w) for x, w in zip(arrays, widths, strict=True)])

    x, y, weights = zip(*batches, strict=True)
    return join(x), join(y), join(weights)


def _wrong_bits(net: Transducer, batch: Batch) -> np.ndarray:
    """Bits on the wrong side of 1/2 at the scored steps, of each sequence; NaN is on neither."""
    x, y, weights = batch
    logits = net.predict_on_batch(x)
    right = np.isfinite(logits) & ((logits >= 0) == (y > 0.5))
    wrong = np.sum(~right, axis=-1) * weights
    return np.sum(wrong, axis=-1)


def _draw(curve: dict[int, float], max_length: int, path: Path) -> None:
    """Saves wrong bits against length as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(list(curve), list(curve.values()), marker="o")
    axes.axvline(max_length, color="grey", linestyle=":", label="longest in training")
    axes.set(xlabel="vectors to copy", ylabel="wrong bits per sequence")
    axes.legend()
    content = io.BytesIO()
    figure.savefig(content, dpi=120, format="png")
    write_bytes(path, content.getvalue())
