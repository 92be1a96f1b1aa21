"""The sets that recorded runs are evaluated on; run as a program it writes `checksums.csv`.

The test split of every task's default settings is there too: its digest tells a changed sampler.
Real numbers whose last bits another machine computes otherwise are left out: white noise goes
through a Fourier transform, the Mackey-Glass series is chaotic, MNIST-1D is divided by sums.
"""

import importlib
from collections.abc import Iterator
from typing import NamedTuple

import common.tasks
from common.reproduce.cli import package_directory
from common.reproduce.execute.results import load_results, of_fingerprint
from common.reproduce.execute.trial import arguments
from common.reproduce.files import format_csv, write_text
from common.tasks import Copy, KeyValueRetrieval, SequenceDuplication, Task, datasets
from common.tasks.adding_problem import AddingProblem
from common.tasks.checksums import COLUMNS, PATH, dataset_name, digest
from common.tasks.copy_memory import CopyMemory
from common.tasks.datasets import TaskConfig, TaskDataset
from common.tasks.flip_flop import FlipFlop
from common.tasks.palindrome import Palindrome
from common.tasks.permutation_word import PermutationWord
from common.tasks.regular_languages import RegularLanguage
from common.tasks.stacks import Stacks
from papers import get_paper, list_papers
from papers.delta_net.mad import TASKS as MAD_TASKS
from papers.path_attention.experiments import RATES

INEXACT = ("DelayedWhiteNoise", "MackeyGlass", "Mnist1d")


class EvaluationSet(NamedTuple):
    """The arguments of `evaluation_set`."""

    task: Task
    split: str
    size: int | None = None
    seed: int = 0

    @property
    def sizes(self) -> dict[str, int] | None:
        return None if self.size is None else {self.split: self.size}

    @property
    def key(self) -> tuple[str, str, str]:
        """Of `checksums.recorded`."""
        return dataset_name(self.task, self.sizes, self.seed), self.task.VERSION, self.split

    @property
    def bytes(self) -> int:
        example = self.task.batch(1, self.seed, 0, self.split)
        return (self.size or 1024) * sum(values.nbytes for values in example.values())

    def digest(self) -> str:
        return digest(TaskConfig.of(self.task, self.sizes, self.seed).arrays()[self.split])


def labelling(seed, *, task, task_settings, eval_size, test_size, tests, **_):
    make = getattr(common.tasks, task)
    yield EvaluationSet(make(**task_settings), "validation", eval_size)
    for changed in ({}, *(tests or {}).values()):
        yield EvaluationSet(make(**{**task_settings, **changed}), "test", test_size)


def synthetic(seed, *, task, task_settings, **_):
    for split in ("validation", "test"):
        yield EvaluationSet(getattr(common.tasks, task)(**task_settings), split)


def selective_copying(seed, *, length, num_tokens, validation_size, test_size, **_):
    task = common.tasks.MambaSelectiveCopying(length=length, num_tokens=num_tokens)
    yield EvaluationSet(task, "validation", validation_size, seed)
    yield EvaluationSet(task, "test", test_size, seed)


def duplication(seed, *, length, test_size, **_):
    task = SequenceDuplication(length=length, score_separator=False)
    yield EvaluationSet(task, "test", test_size, seed)


def retrieval(seed, *, num_keys, replacement, **_):
    for full in (False, True):
        task = KeyValueRetrieval(num_keys, replacement, full_length_test=full)
        yield EvaluationSet(task, "test", 20, seed)


def copy(seed, *, max_length, test_lengths, sequences, **_):
    for length in (*range(1, max_length + 1), *test_lengths):
        yield EvaluationSet(Copy(min_length=length, max_length=length), "test", sequences)


def words(seed, *, group, length, test_length, eval_size, test_size, **_):
    task, longer = PermutationWord(group, length), PermutationWord(group, test_length)
    yield EvaluationSet(task, "validation", eval_size)
    yield EvaluationSet(task, "test", test_size)
    yield EvaluationSet(longer, "test", test_size)


def flip_flop(seed, *, length, eval_size, tests, **_):
    yield EvaluationSet(FlipFlop(length, RATES["id"]), "validation", eval_size)
    for name, size in tests.items():
        yield EvaluationSet(FlipFlop(length, RATES[name]), "test", size)


def state_tracking(
    seed, *, task, task_settings, min_length, short_length, test_length, eval_size, test_size, **_
):
    make = getattr(common.tasks, task)
    longer = make(min_length=test_length, max_length=test_length, **task_settings)
    short = make(min_length=min_length, max_length=short_length, **task_settings)
    yield EvaluationSet(longer, "validation", eval_size)
    yield EvaluationSet(longer, "test", test_size)
    yield EvaluationSet(short, "test", test_size)


def regular_language(seed, *, language, validation_lengths, eval_size, **_):
    yield EvaluationSet(RegularLanguage(language, *validation_lengths), "validation", eval_size)


def palindromes_and_stacks(seed, *, task, task_settings, eval_size, test_size, **_):
    source = {"palindrome": Palindrome, "stacks": Stacks}[task](**task_settings)
    yield EvaluationSet(source, "validation", eval_size)
    yield EvaluationSet(source, "test", test_size)


def mad(seed, *, task, task_settings, eval_size, test_size, **_):
    source = MAD_TASKS[task](**task_settings)
    yield EvaluationSet(source, "validation", eval_size)
    yield EvaluationSet(source, "test", test_size)


def recall_of_pairs(seed, *, vocabulary_size, length, pairs, eval_size, test_size, **_):
    for count in pairs:
        task = common.tasks.MQAR(vocabulary_size, length, count)
        yield EvaluationSet(task, "validation", eval_size)
        yield EvaluationSet(task, "test", test_size)


def adding(seed, *, length, test_size, **_):
    yield EvaluationSet(AddingProblem(length), "test", test_size)


def copying(seed, *, delay, test_size, **_):
    for split in ("validation", "test"):
        yield EvaluationSet(CopyMemory(delay), split, test_size)


TRIALS = {
    "common.trials.labelling:labelling": labelling,
    "papers.delta_net.mad:mad": mad,
    "papers.delta_product.experiments:word_problem": words,
    "papers.h3.experiments:synthetic": synthetic,
    "papers.kimi_delta.experiments:synthetic": palindromes_and_stacks,
    "papers.log_linear.experiments:recall": recall_of_pairs,
    "papers.path_attention.experiments:flip_flop": flip_flop,
    "papers.mamba3.experiments:state_tracking": state_tracking,
    "papers.min_rnn.experiments:selective_copying": selective_copying,
    "papers.linear_transformer.experiments:duplication": duplication,
    "papers.fast_weights.experiments:retrieval": retrieval,
    "papers.neural_turing_machine.experiments:copy": copy,
    "papers.structured_linear_cde.experiments:regular_language": regular_language,
    "papers.tcn.stress_tests:adding": adding,
    "papers.tcn.stress_tests:copying": copying,
}


def recorded_runs() -> Iterator[tuple[str, dict, int]]:
    """Trial, settings and seed of the recorded runs whose settings are the declared ones."""
    for name in list_papers():
        paper = get_paper(name)
        rows = load_results(package_directory(paper) / "results.csv")
        for experiment in paper.experiments:
            for preset in experiment.presets:
                for variant in experiment.variants:
                    settings = experiment.settings(preset, variant)
                    for run in of_fingerprint(rows, experiment, preset, variant):
                        yield experiment.trial, settings, run.seed


def recorded_sets() -> dict[tuple[str, str, str], EvaluationSet]:
    """By key, those of recorded runs and of the tasks' defaults."""
    builders = [one for one in TaskDataset.__subclasses__() if one.__module__ == datasets.__name__]
    tasks = [builder.TASK() for builder in builders]
    found = [EvaluationSet(task, "test") for task in tasks]
    for trial, settings, seed in recorded_runs():
        if trial in TRIALS:
            module, _, name = trial.partition(":")
            function = getattr(importlib.import_module(module), name)
            found += TRIALS[trial](seed, **arguments(function, settings))
    return {one.key: one for one in found if type(one.task).__name__ not in INEXACT}


if __name__ == "__main__":
    rows = [
        dict(zip(COLUMNS, (*key, one.digest()), strict=True))
        for key, one in sorted(recorded_sets().items())
    ]
    write_text(PATH, format_csv(COLUMNS, rows))
    print(f"{PATH}: {len(rows)} sets")
