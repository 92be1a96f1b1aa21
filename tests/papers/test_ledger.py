"""The ledger as the repository records it."""

from pathlib import Path

import pytest

from common.reproduce.ledger import ledger
from common.reproduce.verdict import NOT_REPRODUCED, NOT_RUN
from papers import get_paper, list_papers

ROOT = Path(__file__).parents[2] / "papers"


@pytest.mark.parametrize("name", list_papers())
def test_whatever_is_not_reproduced_is_explained(name):
    verdicts = ledger(get_paper(name), ROOT / name)
    open_claims = [v.claim for v in verdicts if v.word in (NOT_REPRODUCED, NOT_RUN)]
    assert [claim.id for claim in open_claims if not claim.explanation] == []
