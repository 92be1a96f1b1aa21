"""What `python -m papers` adds to a paper's files: probes of the present code, declarations."""

from pathlib import Path
from tempfile import TemporaryDirectory

from common.reproduce import provenance
from common.reproduce.declare.spec import Paper
from common.reproduce.execute.code import code_hash
from common.reproduce.judge.declared import declare
from common.reproduce.judge.ledger import Book
from common.reproduce.judge.probes import Probe, add_probe


def declare_claims(paper: Paper, directory: Path) -> list[str]:
    """Adds the claims of `paper` that are new, or say something else now, to its declared.csv.

    Returns:
        Their ids.
    """
    commit, _ = provenance.commit(directory)
    return declare(paper, directory, commit, provenance.now())


def take_probes(paper: Paper, directory: Path) -> None:
    """Adds to probes.csv what the present code gives where recorded runs are of other code.

    Of a variant one seed is taken, as far as its first updates, and only if a claim is judged by
    its runs and no probe tells yet whether the code computes the same.

    Raises:
        ValueError: if the tree has changes that are in no commit, which no entry could name.
    """
    needed = Book(paper, directory).probes_lacking()
    if not needed:
        print(f"{paper.name}: no probe is lacking")
        return
    commit, dirty = provenance.commit(directory)
    if dirty:
        raise ValueError(f"{paper.name}: the tree has changes, expected them to be in a commit.")
    from common.reproduce.execute.attempt import take_probe
    from common.reproduce.execute.plan import Plan

    for experiment, preset, variant, seed in needed:
        with TemporaryDirectory() as runs_dir:
            plan = Plan(
                paper=paper,
                directory=directory,
                experiment=experiment,
                preset=preset,
                variants=(variant,),
                seeds=(seed,),
                runs_dir=Path(runs_dir),
            )
            losses = take_probe(plan, variant, seed)
        probe = Probe(
            experiment=experiment.name,
            preset=preset,
            variant=variant,
            seed=seed,
            commit=commit,
            code=code_hash(experiment, preset, variant, directory.parents[1]),
            date=provenance.now(),
            losses=tuple(losses),
            hardware=provenance.hardware(),
        )
        add_probe(directory, probe)
        print(f"{paper.name} {experiment.name} {preset} {variant} seed {seed}: {losses}")
