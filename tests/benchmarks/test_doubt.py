"""Numbers that cannot be: measured again, and marked where they stay."""

import re
from dataclasses import replace

import pytest

from benchmarks.claims import speed_claims
from benchmarks.compare import slowdowns
from benchmarks.report import growth, layer_table, to_markdown
from benchmarks.rows import append_row, read_rows
from common.reproduce.execute.timing import Timing
from tests.benchmarks.conftest import lines, run
from tests.benchmarks.test_compare import ROW

MARKED = re.compile(r"[0-9)] \?")
ARGUMENTS = ("--length", "8", "--modes", "backward")


def timing(milliseconds: float, spread: float = 0.1) -> Timing:
    seconds = milliseconds / 1e3
    return Timing(seconds, seconds * (1 - spread / 2), seconds * (1 + spread / 2), 5, 1.0)


@pytest.fixture
def sampled(quick, monkeypatch, capsys):
    """A run whose samplings give the timings of a list in turn; of both forms, or of one."""

    def go(*samplings):
        left = list(samplings)

        def sample(functions, first, samples, **rest):
            results = left.pop(0)
            assert len(results) == len(functions)
            return dict(zip(functions, results, strict=True))

        monkeypatch.setattr("benchmarks.sampling.sample", sample)
        _, rows, directory, _ = quick(["RunningSum"], *ARGUMENTS)
        assert not left
        drawn = directory / "drawn"
        assert run(capsys, "--report", directory, "--output", drawn)[0] == 0
        report = " ".join((drawn / "results.md").read_text().split())
        return {(row.name, row.mode): row for row in rows}, lines(directory), report

    return go


def test_forward_slower_than_with_backward_is_measured_again(sampled):
    rows, written, report = sampled(
        [timing(4), timing(1)], [timing(3), timing(3)], [timing(2)], [timing(5)]
    )
    assert rows["parallel", "forward"].median_ms == pytest.approx(2)
    assert rows["parallel", "forward+backward"].median_ms == pytest.approx(5)
    assert rows["parallel", "backward"].median_ms == pytest.approx(3)
    assert rows["recurrent", "backward"].median_ms == pytest.approx(2)
    assert not any(row.doubt for row in rows.values())
    # The first of the two is in the file too: nothing waits for the end of a run.
    cell = [(r["name"], r["mode"], round(r["median_ms"], 9)) for r in written]
    assert cell.count(("parallel", "forward", 4.0)) == cell.count(("parallel", "forward", 2.0)) == 1
    assert not MARKED.search(report)


def test_and_marked_if_it_stays_so(sampled):
    rows, _, report = sampled(
        [timing(4), timing(1)], [timing(3), timing(3)], [timing(4.5)], [timing(3.5)]
    )
    for mode in ("forward", "forward+backward"):
        assert rows["parallel", mode].doubt == "forward 4.5 ms, with backward 3.5"
        assert rows["recurrent", mode].doubt == ""
    assert ("parallel", "backward") not in rows
    assert re.search(r"\| 4.5 \([^|]*\) \? \| 3.5 \([^|]*\) \? \|", report)
    assert len(MARKED.findall(report)) == 2


def test_a_wide_spread_is_sampled_again(sampled):
    rows, _, report = sampled(
        [timing(1, 0.6), timing(1)], [timing(1.5)], [timing(3), timing(3)]
    )  # fmt: skip
    assert rows["parallel", "forward"].median_ms == pytest.approx(1.5)
    assert not any(row.doubt for row in rows.values()) and not MARKED.search(report)


def test_the_narrower_of_two_wide_ones_counts_and_is_marked(sampled):
    rows, _, report = sampled(
        [timing(1, 0.6), timing(1)], [timing(2, 0.9)], [timing(3), timing(3)]
    )  # fmt: skip
    row = rows["parallel", "forward"]
    assert row.median_ms == pytest.approx(1)
    assert row.doubt == "p20 to p80 are 60% of the median"
    assert rows["parallel", "backward"].doubt == row.doubt
    assert "| 1 (0.7–1.3) ? " in report


def test_numbers_in_doubt_prove_nothing():
    slow, sure = replace(ROW, median_ms=99.0), replace(ROW, median_ms=99.0, doubt="noise")
    assert slowdowns([slow], [ROW], 0.1) and not slowdowns([sure], [ROW], 0.1)
    assert not slowdowns([slow], [replace(ROW, doubt="noise")], 0.1)
    ours = replace(
        ROW, layer="min_rnn/mingru", name="parallel", mode="forward+backward", length=512
    )
    rows = [ours, replace(ours, name="keras GRU", median_ms=50.0)]

    def this_run(rows):
        claims = speed_claims(["min_rnn"], rows)
        return next(c.this_run for c in claims if c.claim.startswith("speed-mingru"))

    assert this_run(rows).startswith("5 (T=512")
    assert this_run([rows[0], replace(rows[1], doubt="noise")]) == "–"


def test_the_table_has_a_line_a_form_and_length():
    both = replace(ROW, mode="forward+backward", median_ms=30.0, p20_ms=29.0, p80_ms=31.0)
    refused = replace(
        ROW, name="par|allel", compiler="", mode="", length=0, status="disagrees", message="by 1",
        median_ms=None, p20_ms=None, p80_ms=None,
    )  # fmt: skip
    rows = [refused, replace(ROW, length=512), ROW, both, replace(ROW, layer="other/one")]
    table = layer_table(rows, "paper/layer")
    assert list(table["T"]) == ["256", "512", "–"]
    assert list(table["forward ms"]) == ["10 (9–11)", "10 (9–11)", "disagrees: by 1"]
    assert list(table["fwd + bwd ms"]) == ["30 (29–31)", "", ""]
    assert list(layer_table(rows, "paper/layer", spread=False)["forward ms"])[:2] == ["10", "10"]
    markdown = to_markdown("Title", ["fact"], rows)
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[0][:4] == ["form or peer", "by", "T", "forward ms"]
    assert cells[2][:5] == ["chunkwise", "xla", "256", "10 (9–11)", "30 (29–31)"]
    assert "par\\|allel" in markdown


def test_the_growth_with_the_length_is_told_from_three_lengths_on():
    rows = [replace(ROW, length=n, median_ms=(n / 100) ** 1.5) for n in (256, 512, 1024)]
    line = "chunkwise xla, forward: time grows as T^1.50"
    assert growth(rows, "paper/layer") == [line]
    assert f"- {line}" in to_markdown("Title", ["fact"], rows)
    assert growth(rows[1:], "paper/layer") == growth(rows, "other/one") == []
    assert growth([replace(rows[0], doubt="noise"), *rows[1:]], "paper/layer") == []


def test_a_file_gives_the_last_row_of_a_cell(tmp_path):
    for row in (ROW, replace(ROW, length=512), replace(ROW, median_ms=8.0)):
        append_row(tmp_path, row)
    assert [row.median_ms for row in read_rows(tmp_path, "--report")] == [8.0, 10.0]
