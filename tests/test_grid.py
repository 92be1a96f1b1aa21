"""What the default run takes of the whole grid."""

import re
from pathlib import Path

import pytest

from tests import grid

NAMES = set().union(*grid.PROPERTIES.values(), grid.ALIKE, grid.REPEATED)

SUITE = """
import pytest

class Subject:
    def __init__(self, name):
        self.name = name

CASES = [(Subject(name), form) for name in "abc" for form in ("first", "second")]

@pytest.mark.parametrize(("subject", "form"), CASES)
@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_compiled(subject, form, mode):
    pass

@pytest.mark.parametrize("subject", [subject for subject, _ in CASES[::2]])
def test_float32(subject):
    pass

@pytest.mark.parametrize("path", "xyz")
def test_the_examples_of_a_paper(path):
    pass

def test_verify():
    pass

@pytest.mark.slow
def test_many():
    pass
"""


class Collect:
    """What pytest collects, before it leaves anything out."""

    def __init__(self, suites):
        self.suites, self.items = suites, []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grid, "_SUITES", self.suites)
            grid.leave_to_the_grid(items)
        self.items = list(items)


def collected(path):
    plugin = Collect([path.parent])
    options = ["-q", "--collect-only", "-c", "/dev/null", "--rootdir", str(path.parent)]
    pytest.main([str(path), *options, "-p", "no:cacheprovider", "-p", "no:xdist"], [plugin])
    return plugin.items


def test_every_property_of_a_subject_is_tested_once(tmp_path, capsys):
    path = tmp_path / "test_suite.py"
    path.write_text(SUITE)
    items = collected(path)
    kept = [item for item in items if not item.get_closest_marker("grid")]
    assert len(items) == 12 + 3 + 3 + 1 + 1
    names = [item.originalname for item in kept]
    assert names.count("test_many") == 1 and "test_verify" not in names
    assert names.count("test_the_examples_of_a_paper") == 1
    cases = [item.callspec.params for item in kept if hasattr(item, "callspec")]
    agree = [case for case in cases if "subject" in case]
    assert [case["subject"].name for case in agree] == ["a", "b", "c"]
    assert len({(case.get("form"), case.get("mode")) for case in agree}) == 3


def test_the_tests_named_exist():
    sources = Path(__file__).parent.rglob("test_*.py")
    defined = set(re.findall(r"def (test_\w+)\(", "".join(p.read_text() for p in sources)))
    assert defined >= NAMES
