"""What a Markdown file shows."""

import re
from pathlib import Path

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def python_blocks(path: Path) -> list[str]:
    """The blocks of Python code of a file, in their order."""
    return _BLOCK.findall(path.read_text(encoding="utf-8"))
