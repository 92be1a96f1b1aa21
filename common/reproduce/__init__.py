"""Reproduction of papers: what a paper declares, what makes its runs, and what judges them.

`declare` knows neither of the others, `execute` knows `declare`, and `judge` knows both.
`cluster` does on a Ray cluster what `execute` does here.

    files          files that are whole or absent, locks
    provenance     commit, versions, machine
    lazy           exports that are imported on first use
    arguments      the command line of a command
    command        signals, quiet libraries, exit codes
    cli            `python -m papers.<name>`: runs, then verdicts

    declare.spec        layer cases, experiments, claims, papers
    declare.tolerances  what a measured value must be
    declare.overrides   settings from the command line
    declare.require     checks of declarations and their messages

    execute.plan        what a command runs, and the files of a run
    execute.batch       all runs of a plan, each once
    execute.outcome     what became of them, and their rows
    execute.display     their bars
    execute.processes   a process a seed, for timings
    execute.attempt     one run, from its settings to its summary
    execute.trial       the trial function and its arguments
    execute.run         what a trial is given
    execute.training    training that can be killed and resumed
    execute.checkpoint  the state of a training in a file
    execute.interrupts  Ctrl-C and SIGTERM
    execute.memory      the peak of memory that a call needs
    execute.timing      timing of functions against each other
    execute.plots       figures of runs
    execute.show        the settings that would run
    execute.forecast    the hours that a plan takes
    execute.code        hash of the code behind a run
    execute.results     results.csv, a chain of rows

    cluster.connect     starts or joins a Ray cluster
    cluster.resources   what a run takes of it
    cluster.driver      a task a run, and what comes back
    cluster.work        the task
    cluster.files       a run's files, where disks are not shared
    cluster.mailbox     progress, from the workers to the driver

    judge.reported      reported.csv
    judge.soundness     whether claims mean what they say
    judge.declared      declared.csv
    judge.notes         notes.csv
    judge.probes        probes.csv
    judge.behaviour     whether code computes what it did
    judge.intervals     what a few seeds say
    judge.measure       a claim's quantity over its seeds
    judge.verdict       the verdict on a claim
    judge.ledger        all verdicts of a paper
    judge.words         a verdict in words
    judge.upkeep        what is added to probes.csv and declared.csv
    judge.terminal      the ledger on a terminal
    judge.tables        the ledger as CSV, JSON and Markdown
"""

from typing import TYPE_CHECKING

from common.reproduce.lazy import lazy_exports

if TYPE_CHECKING:
    from common.reproduce.cli import main
    from common.reproduce.execute.run import Run
    from common.reproduce.execute.training import evaluations_since_best

__all__ = ["Run", "evaluations_since_best", "lazy_exports", "main"]

__getattr__ = lazy_exports(
    __name__, Run="execute.run", evaluations_since_best="execute.training", main="cli"
)
