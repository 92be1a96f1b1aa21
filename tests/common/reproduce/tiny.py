"""A repository with one tiny paper, run in subprocesses as a user would."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]

PAPER = """
from common.reproduce.declare.spec import Claim, Experiment, Paper, Preset, Quantity
from common.reproduce.declare.tolerances import at_most, between, within_relative

PAPER = Paper(
    name="tiny",
    title="A Tiny Paper",
    authors="Nobody",
    year=2026,
    venue="nowhere",
    url="https://example.org",
    default_experiment="fit",
    headline="Two is two.",
    headline_claims=("two",),
    not_attempted=("the twentieth digit (Table 9)",),
    experiments=(
        Experiment(
            name="fit",
            description="Fits a line.",
            trial="papers.tiny.experiments:fit",
            variants={"narrow": {"width": 4}, "wide": {"width": 8}},
            presets={
                "smoke": Preset(
                    settings={"steps": 3, "pause": 0.0}, minutes=0.01, scale="reduced",
                    reduces="Three steps.",
                ),
                "cpu": Preset(
                    settings={"steps": 40, "pause": 0.02}, minutes=0.1, scale="reduced",
                    reduces="Forty steps.", cpus=1, memory_gib=0.5,
                ),
                "paper": Preset(settings={"steps": 6, "pause": 0.0}, minutes=0.1, scale="paper"),
            },
            kind="training",
            seeds=(0, 1),
            metrics=("error",),
            untrained={"error": 1e9},
        ),
        Experiment(
            name="count",
            description="Counts without training.",
            trial="papers.tiny.experiments:count",
            variants={"one": {"value": 1.0}, "two": {"value": 2.0}},
            presets={
                "smoke": Preset(settings={}, minutes=0.01, scale="reduced", reduces="Nothing."),
                "cpu": Preset(settings={}, minutes=0.01, scale="paper"),
                "paper": Preset(settings={}, minutes=0.01, scale="paper"),
            },
            kind="static",
            seeds=(0,),
            metrics=("value",),
        ),
        Experiment(
            name="clock",
            description="A process a seed.",
            trial="papers.tiny.clock:clock",
            variants={"one": {}, "two": {}},
            presets={
                "smoke": Preset(settings={}, minutes=0.01, scale="reduced", reduces="Nothing."),
                "cpu": Preset(settings={}, minutes=0.01, scale="paper"),
                "paper": Preset(settings={}, minutes=0.01, scale="paper"),
            },
            kind="timing",
            seeds=(0, 1, 2, 3, 4),
            metrics=("process",),
        ),
    ),
    claims=(
        Claim(
            id="line", experiment="fit", quantity=Quantity("wide", "error"),
            kind="ordering", accept=at_most(100.0), reason="A test.",
        ),
        Claim(
            id="two", experiment="count", quantity=Quantity("two", "value"),
            kind="number", accept=within_relative(0.01), reason="A test.",
        ),
        Claim(
            id="ratio", experiment="count", quantity=Quantity("two", "value"),
            relative_to=Quantity("one", "value"), kind="number", accept=between(2.5, 3.5),
            reason="A test.",
        ),
    ),
)
"""

EXPERIMENTS = """
import time

import keras
import numpy as np


def fit(run, *, width, steps, pause, rate=0.001):
    model = keras.Sequential(
        [keras.layers.Dense(width, "tanh"), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(rate), "mse", jit_compile=False)

    def batches(step):
        time.sleep(pause)
        x = np.random.default_rng([run.seed, step]).normal(size=(8, 4)).astype("float32")
        return x, x.sum(axis=1, keepdims=True)

    x, y = batches(10**6)
    run.log(width=width)
    row = run.train(
        model,
        batches,
        steps=steps,
        eval_every=3,
        evaluate=lambda: {"error": float(np.mean((model.predict_on_batch(x) - y) ** 2))},
        best=("min", "error"),
        checkpoint_every_seconds=0.1,
    )
    return {"error": row["error"]}


def count(run, *, value):
    return {"value": value}
"""

CLOCK = """
import os


def clock(run):
    return {"process": float(os.getpid())}
"""

REPORTED = """\
id,paper,arxiv,location,url,metric,variant,value,deviation,n,statistic,unit,statement,note
line,,,Table 1,https://example.org,error,wide,0.5,,,one run,,,
two,,,Table 2,https://example.org,value,two,2,,,one run,s,,
ratio,,,Table 2,https://example.org,value,two,3,,,one run,,,
"""


@dataclass(frozen=True)
class Tree:
    """A repository's root."""

    root: Path

    @property
    def tiny(self) -> Path:
        return self.root / "papers" / "tiny"

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.root), str(REPOSITORY)])
        return {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )


def make_tree(root: Path) -> Tree:
    """The real `papers` package with the tiny paper as its only one."""
    tree = Tree(root)
    tree.tiny.mkdir(parents=True)
    for name in ("__init__.py", "__main__.py", "registration.py"):
        shutil.copy(REPOSITORY / "papers" / name, root / "papers" / name)
    (tree.tiny / "__init__.py").write_text("")
    (tree.tiny / "paper.py").write_text(PAPER)
    (tree.tiny / "experiments.py").write_text(EXPERIMENTS)
    (tree.tiny / "clock.py").write_text(CLOCK)
    (tree.tiny / "reported.csv").write_text(REPORTED)
    (tree.tiny / "__main__.py").write_text(
        "from common.reproduce import main\n"
        "from papers.tiny.paper import PAPER\n"
        'if __name__ == "__main__":\n'
        "    raise SystemExit(main(PAPER))\n"
    )
    return tree
