"""The ledger as the repository records it."""

from pathlib import Path

import pytest

from common.reproduce.ledger import ledger
from common.reproduce.reported import problems, reported_claims, source_problems
from common.reproduce.verdict import NOT_REPRODUCED, NOT_RUN
from papers import get_paper, list_papers

ROOT = Path(__file__).parents[2] / "papers"


@pytest.mark.parametrize("name", list_papers())
def test_whatever_is_not_reproduced_is_explained(name):
    verdicts = ledger(get_paper(name), ROOT / name)
    open_claims = [v for v in verdicts if v.word in (NOT_REPRODUCED, NOT_RUN)]
    assert [one.claim.id for one in open_claims if not one.note] == []


@pytest.mark.parametrize("name", list_papers())
def test_claims_mean_what_they_say(name):
    paper = get_paper(name)
    assert problems(paper, reported_claims(paper, ROOT / name)) == []


@pytest.mark.parametrize("name", list_papers())
def test_every_reported_number_can_be_looked_up(name):
    assert source_problems(ROOT / name / "reported.csv") == []
