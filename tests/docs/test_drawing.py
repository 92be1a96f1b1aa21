"""The drawings of claims: axes, marks, and the README's figure."""

import math
from xml.etree import ElementTree

import pytest

from common.reproduce.judge.ledger import Book
from docs.charts import strip
from docs.evidence import points_of
from docs.figure import FIGURE, figure
from docs.scale import Scale, number, scale_of
from docs.site import ROOT
from papers import get_paper, list_papers


@pytest.mark.parametrize(
    "values",
    [(1.0, 2.0), (0.0, 0.0), (5.0, 5.0), (-3.0, 7.0), (1e-9, 1.0), (0.4, 14.0), (2.0, 70.0)],
)
def test_an_axis_holds_its_values_and_has_ticks(values):
    scale = scale_of(values)
    assert all(0 < scale.place(value) < 1 for value in values)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 8
    assert all(0 <= scale.place(tick) <= 1 for tick in ticks)
    assert len({number(tick) for tick in ticks}) == len(ticks)


def test_what_is_beyond_an_axis_is_at_its_end():
    assert Scale(1, 10, logarithmic=True).clipped(-math.inf) == 0
    assert Scale(0, 10).clipped(math.inf) == 1


@pytest.mark.parametrize("name", list_papers())
def test_every_run_of_a_claim_is_drawn(name):
    book = Book(get_paper(name), ROOT / "papers" / name)
    for verdict in book.verdicts():
        points = points_of(book, verdict)
        found = verdict.measured
        assert len(points) == (found.seeds if found else 0)
        values = [point.value for point in points if math.isfinite(point.value)]
        drawn = strip(verdict, points)
        if not values:
            assert drawn == ""
            continue
        marks = ElementTree.fromstring(drawn)
        assert len(marks.findall("circle")) == len(values)
        assert len(marks.findall("line[@class='reported']")) == (verdict.reported.value is not None)
        if found.hold is not None:
            hollow = marks.findall("circle[@class='run outside']")
            assert len(values) - len(hollow) == found.hold


def test_the_readmes_figure_is_what_is_recorded():
    assert FIGURE.read_text(encoding="utf-8") == figure(), "python -m docs figure"


def test_the_readmes_figure_is_light():
    ElementTree.parse(FIGURE)
    assert FIGURE.stat().st_size < 60 * 1024
