"""`python -m benchmarks`: what the layers cost, beside peers, the machine and the papers."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import report
from benchmarks.claims import speed_claims
from benchmarks.compare import shared_cells, slowdowns
from benchmarks.frameworks import import_torch_first
from benchmarks.options import Options, backend_name
from benchmarks.rows import Roofline, Row, latest, read_rows, write_row
from common.reproduce.arguments import parse
from common.reproduce.command import run_command
from common.reproduce.files import write_json, write_text
from common.reproduce.interrupts import Interrupted
from common.reproduce.report import make_console
from papers import list_papers

GOOD, SLOWER = 0, 1


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
        description="Times the layers of the papers, forward and backward.",
        negations=True,
    )
    before = read_rows(options.compare) if options.compare else []
    if options.list:
        _list(options, console)
        return GOOD
    if options.claims:
        claims = speed_claims(options.papers or list_papers())
        report.print_claims(console, claims)
        return GOOD
    backend = backend_name()
    if options.peers:
        import_torch_first()
    from benchmarks.device import choose_device

    device = choose_device(options.device)
    directory = options.directory(device, backend)
    rows = _run(options, device, directory, console)
    if options.compare is None:
        return GOOD
    slower = slowdowns(rows, before, options.threshold)
    report.print_slowdowns(console, slower, shared_cells(rows, before))
    return SLOWER if slower else GOOD


def _run(options: Options, device: str, directory: Path, console: Console) -> list[Row]:
    """Measures and writes; the rows.

    Raises:
        Interrupted: on a signal, once what was measured is written.
    """
    import keras

    from benchmarks.device import limit_memory, load_average
    from benchmarks.environment import environment
    from benchmarks.roofline import measure_roofline
    from benchmarks.runner import Runner

    if device == "cpu":
        limit_memory()
    rows: list[Row] = []
    interrupted = None
    directory.mkdir(parents=True, exist_ok=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with (
        keras.device(f"{device}:0"),
        (directory / "results.jsonl").open("a") as file,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        task = progress.add_task("the machine's limits")
        roofline = measure_roofline(device, options.dtype)
        facts = environment(options, device, roofline, load_average())
        write_json(directory / "environment.json", facts)
        console.print(report.roofline_line(roofline))

        def note(text: str) -> None:
            progress.update(task, description=text)

        try:
            for row in Runner(options, device, roofline, note).run():
                rows.append(row)
                write_row(file, row)
                console.print(report.row_line(row), markup=False)
        except Interrupted as error:
            interrupted = error
    facts["load_after"] = load_average()
    write_json(directory / "environment.json", facts)
    rows = latest(rows)
    _write(options, directory, rows, roofline, facts, console)
    if interrupted is not None:
        raise Interrupted(interrupted.number, f"{directory} holds what was measured", again=False)
    return rows


def _write(
    options: Options,
    directory: Path,
    rows: list[Row],
    roofline: Roofline,
    facts: dict,
    console: Console,
) -> None:
    """Tables on the terminal and in files, and the plots."""
    from benchmarks.plots import draw

    report.print_rows(console, rows)
    report.print_claims(console, speed_claims(options.papers or list_papers(), rows))
    write_text(directory / "results.csv", report.frame(rows).to_csv(index=False))
    told = [f"{key}: {facts[key]}" for key in ("command", "hardware", "date", "commit", "dirty")]
    told += [f"load average {facts['load_before']:.1f} before, {facts['load_after']:.1f} after"]
    told += [
        report.roofline_line(roofline),
        ", ".join(f"{k} {v}" for k, v in facts["versions"].items()),
    ]
    title = f"Benchmarks on {facts['backend']}, {facts['device']}"
    write_text(directory / "results.md", report.to_markdown(title, told, rows))
    plots = draw(rows, directory)
    console.print(f"written: {directory} ({len(rows)} rows, {len(plots)} plots)", markup=False)


def _list(options: Options, console: Console) -> None:
    for name, case in options.cases().items():
        sizes = ", ".join(f"{key} {value}" for key, value in case.config.items())
        line = f"{name}: {' '.join(case.forms)}; D {case.input_dim}, {sizes}"
        console.print(line, markup=False)


if __name__ == "__main__":
    raise SystemExit(main())
