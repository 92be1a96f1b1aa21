"""`python -m benchmarks`: what layers and kernels cost, beside peers, machine and papers."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import report
from benchmarks.claims import speed_claims
from benchmarks.compare import shared_cells, slowdowns
from benchmarks.frameworks import import_torch_first
from benchmarks.kernels import NAMES, forms_of
from benchmarks.options import Options
from benchmarks.rows import FILE, Roofline, Row, append_row, latest, pack_rows, read_rows
from common.reproduce import provenance
from common.reproduce.arguments import parse
from common.reproduce.command import FAIL, HOLD, run_command
from common.reproduce.execute.interrupts import Interrupted
from common.reproduce.files import FileError, read_json, write_json, write_text
from common.reproduce.judge.terminal import make_console
from papers import list_papers

ENVIRONMENT = "environment.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0; 1 if --compare finds cells that became slower; 2 for bad arguments or files; 3 for
        anything else that stopped it; 128 and its number after a signal.
    """
    return run_command(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    console = make_console()
    options = parse(
        Options,
        args=arguments,
        prog="python -m benchmarks",
        description="Times the layers of the papers and the kernels of common.",
    )
    before = read_rows(options.compare, "--compare") if options.compare else []
    if options.list:
        _list(options, console)
        return HOLD
    if options.claims:
        report.print_claims(console, speed_claims(options.papers or list_papers()))
        return HOLD
    if options.report is not None:
        _report(options.report, options.output, console)
        return HOLD
    backend = provenance.backend()
    if options.export is not None:
        from benchmarks.exported import export

        programs = export(options, options.export)
        console.print(f"written: {options.export} ({len(programs)} programs)", markup=False)
        return HOLD
    if options.peers != ("none",):
        import_torch_first()
    from benchmarks.device import choose_device

    device = choose_device(options.device)
    rows = _run(options, device, options.directory(device, backend), console)
    if options.compare is None:
        return HOLD
    slower = slowdowns(rows, before, options.threshold)
    report.print_slowdowns(console, slower, shared_cells(rows, before))
    return FAIL if slower else HOLD


def _run(options: Options, device: str, directory: Path, console: Console) -> list[Row]:
    """Measures, writes and prints; the rows.

    Raises:
        Interrupted: on a signal, once what was measured is written and printed.
    """
    import keras

    from benchmarks.device import limit_memory, load_average
    from benchmarks.environment import environment
    from benchmarks.roofline import measure_roofline

    if device == "cpu":
        limit_memory()
    rows = _resumed(directory) if options.resume else []
    interrupted = None
    # To torch "cpu:0" is not where weights on "cpu" are: it would copy them at every use.
    place = device if keras.backend.backend() == "torch" else f"{device}:0"
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with (
        keras.device(place),
        Progress(*columns, console=console, transient=True) as progress,
    ):
        task = progress.add_task("the machine's limits")

        def note(text: str) -> None:
            progress.update(task, description=text)

        measured = _measured(options, device, tuple(rows), note)
        roofline = measure_roofline(device, options.dtype)
        facts = environment(options, device, roofline, load_average())
        write_json(directory / ENVIRONMENT, facts)
        console.print(report.roofline_line(roofline))
        try:
            for row in measured(roofline):
                append_row(directory, row)
                rows.append(row)
                console.print(report.row_line(row), markup=False)
        except Interrupted as error:
            interrupted = error
    pack_rows(directory)
    write_json(directory / ENVIRONMENT, {**facts, "load_after": load_average()})
    rows = latest(rows)
    _print(rows, console)
    console.print(f"written: {directory} ({len(rows)} rows)", markup=False)
    if interrupted is not None:
        raise Interrupted(interrupted.number, f"{directory} holds what was measured", again=False)
    return rows


def _measured(
    options: Options, device: str, done: Sequence[Row], note: Callable[[str], None]
) -> Callable[[Roofline], Iterator[Row]]:
    """What measures, given the machine's limits; what was asked for is checked first."""
    if options.exported is not None:
        from benchmarks import exported

        programs = exported.load(options.exported, options.dtype)
        return partial(exported.run, programs, options.exported, options, device, done)
    from benchmarks.cases import find_cases
    from benchmarks.runner import Runner

    cases = find_cases(options, device)
    if options.stream:
        from benchmarks import stream

        return partial(stream.run, cases, options, device, done, note)
    return lambda roofline: Runner(options, device, roofline, note, done).run(cases)


def _resumed(directory: Path) -> list[Row]:
    """Rows of the run in `directory`, which is gone on with; none where nothing is there yet.

    Raises:
        FileError: if they are of another machine.
    """
    if not (directory / FILE).exists():
        return []
    facts = read_json(directory / ENVIRONMENT) or {}
    here, there = provenance.hardware(), facts.get("hardware")
    if there != here:
        raise FileError(f"--output is {directory}, a run on {there}, expected one on {here}.")
    return read_rows(directory, "--output")


def _print(rows: list[Row], console: Console) -> None:
    """The tables, and the reported speeds of the papers in them."""
    report.print_rows(console, rows)
    timed = {row.layer.partition("/")[0] for row in rows}
    report.print_claims(console, speed_claims([n for n in list_papers() if n in timed], rows))


def _report(source: Path, output: Path | None, console: Console) -> None:
    """Prints the tables of an earlier run, and draws them where that is asked for."""
    from benchmarks.plots import draw

    rows = read_rows(source, "--report")
    _print(rows, console)
    if output is None:
        return
    path = (source if source.is_dir() else source.parent) / ENVIRONMENT
    facts = read_json(path)
    if facts is None:
        raise FileError(f"{path} is not there, expected what the run ran on.")
    title = f"Benchmarks on {facts['backend']}, {facts['device']}"
    write_text(output / "results.csv", report.frame(rows).to_csv(index=False))
    write_text(output / "results.md", report.to_markdown(title, report.told(facts), rows))
    plots = draw(rows, output)
    console.print(f"written: {output} ({len(rows)} rows, {len(plots)} plots)", markup=False)


def _list(options: Options, console: Console) -> None:
    for name, case in options.chosen_layers().items():
        sizes = ", ".join(f"{key} {value}" for key, value in case.config.items())
        line = f"{name}: {' '.join(case.forms)}; D {case.input_dim}, {sizes}"
        console.print(line, markup=False)
    for name in options.chosen_kernels() or NAMES:
        console.print(f"--kernels {name}: {', '.join(forms_of(name))}", markup=False)


if __name__ == "__main__":
    raise SystemExit(main())
