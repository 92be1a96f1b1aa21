import pytest

from tests.common.reproduce import tiny


@pytest.fixture
def tree(tmp_path):
    """A fresh repository with the tiny paper."""
    return tiny.make_tree(tmp_path)
