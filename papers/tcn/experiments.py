"""Polyphonic music, JSB Chorales and Nottingham, as the authors' `poly_music` trains on it."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from common.checks import check_choice
from common.reproduce import Run
from common.reproduce.execute.checkpoint import Row
from common.reproduce.execute.training import Best
from common.tasks.polyphonic_music import JSBChorales, Nottingham, PianoRolls
from common.tasks.sequence_task import trimmed
from common.tasks.task import Arrays
from papers.tcn.networks import make_network

KEYS = 88

DATASETS = {"JSBChorales": JSBChorales, "Nottingham": Nottingham}

BEST: Best = ("min", "validation_nll")


def music(
    run: Run,
    *,
    dataset: str,
    network: Mapping[str, Any],
    learning_rate: float,
    clip: float,
    epochs: int,
    patience: int,
    narrowing: int = 1,
    songs: int | None = None,
    crop: int | None = None,
) -> dict[str, float]:
    """Trains a network to predict which keys are down next, one song an update.

    The loss of an update is summed over keys and steps. After the tenth epoch the learning rate is
    divided by 10 whenever validation is worse than in each of the three epochs before. The weights
    of the best epoch are tested, on whole songs.

    Args:
        run: The run.
        dataset: `"JSBChorales"` or `"Nottingham"`.
        network: Arguments of `make_network` but for the widths of inputs and outputs.
        learning_rate: Of Adam, at first.
        clip: Norm that the gradient of an update is clipped to.
        epochs: At most.
        patience: Training ends once so many epochs have lowered the validation loss by less than a
            thousandth.
        narrowing: What the width of the network's layers is divided by.
        songs: Songs of an epoch, and to validate and test on; `None` is all.
        crop: Consecutive steps of a song that an update is on, at a random place; `None` is all.

    Returns:
        Negative log-likelihood a step in nats, summed over the keys: `nll` on the test set and
        `validation_nll`; `parameters` in millions; the tested `epoch`.

    Raises:
        MissingFile: if the data are not there and can't be downloaded.
        ValueError: if `dataset` is none of these.
    """
    check_choice("music", tuple(DATASETS), dataset=dataset)
    data_dir = None if run.data_dir is None else str(run.data_dir)
    task = DATASETS[dataset](data_dir=data_dir)
    epoch = min(songs or len(task.sequences("train")), len(task.sequences("train")))
    validation, test = (by_length(task, split, songs) for split in ("validation", "test"))
    units = network["units"] // narrowing
    net = make_network(input_dim=KEYS, output_dim=KEYS, **{**network, "units": units})
    net.compile(
        keras.optimizers.Adam(learning_rate, epsilon=1e-8, global_clipnorm=clip),
        keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum"),
        loss_weights=[KEYS],  # the loss is the mean over the keys
        # Keras has no XLA with torch.
        jit_compile=keras.backend.backend() != "torch",
    )

    def batches(step: int) -> tuple:
        song = trimmed(task.batch(1, run.seed, step))
        if crop is not None:
            song = cropped(song, crop, np.random.default_rng([run.seed, step]))
        return song["inputs"], song["targets"], song["weights"]

    def evaluate() -> dict[str, float]:
        return {"validation_nll": nll(net, validation)}

    def stop(history: Sequence[Row]) -> bool:
        # The optimizer's rate is in the checkpoint with its other variables.
        losses = [row["validation_nll"] for row in history]
        net.optimizer.learning_rate.assign(learning_rate * 0.1 ** plateaus(losses))
        return settled(losses, patience)

    row = run.train(
        net,
        batches,
        steps=epochs * epoch,
        evaluate=evaluate,
        eval_every=epoch,
        stop=stop,
        best=BEST,
    )
    return {
        "nll": nll(net, test),
        "validation_nll": row["validation_nll"],
        "parameters": net.count_params() / 1e6,
        "epoch": row["step"] / epoch,
    }


def plateaus(losses: Sequence[float]) -> int:
    """How often the learning rate is lowered, given the validation losses of all epochs."""
    return sum(
        losses[number] > max(losses[number - 3 : number]) for number in range(10, len(losses))
    )


def settled(losses: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` epochs lowered the lowest loss by less than a thousandth."""
    return len(losses) > patience and min(losses) > 0.999 * min(losses[:-patience])


def cropped(song: Arrays, steps: int, rng: np.random.Generator) -> Arrays:
    """`steps` consecutive steps of a batch of one song, from a random one on."""
    spare = int(song["weights"].sum()) - steps
    if spare <= 0:
        return {name: values[:, :steps] for name, values in song.items()}
    start = rng.integers(spare + 1)
    return {name: values[:, start : start + steps] for name, values in song.items()}


def by_length(task: PianoRolls, split: str, songs: int | None) -> list[Arrays]:
    """The songs of a split in one batch for each power of two that their lengths round up to."""
    groups: dict[int, list[Arrays]] = {}
    for number in range(min(songs or len(task.sequences(split)), len(task.sequences(split)))):
        song = trimmed(task.batch(1, 0, number, split))
        groups.setdefault(song["inputs"].shape[1], []).append(song)
    return [
        {name: np.concatenate([song[name] for song in group]) for name in group[0]}
        for _, group in sorted(groups.items())
    ]


def nll(net: keras.Model, batches: Sequence[Arrays]) -> float:
    """Negative log-likelihood a step, the mean over all steps of all songs."""
    total = steps = 0.0
    for batch in batches:
        logits = net.predict_on_batch(batch["inputs"]).astype("float64")
        losses = np.logaddexp(0, logits) - batch["targets"] * logits
        total += float((losses.sum(-1) * batch["weights"]).sum())
        steps += float(batch["weights"].sum())
    return total / steps
