"""A notebook as a page: its text, its code, and the outputs that are stored in it."""

import base64
import json
from pathlib import Path
from typing import Any


def notebook_page(path: Path) -> str:
    """Markdown of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(_cell(cell) for cell in cells) + "\n"


def _cell(cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    outputs = [text for one in cell["outputs"] if (text := _output(one))]
    return "\n\n".join([f"```python\n{source}\n```", *outputs])


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _text("".join(output["text"]))
    data = output.get("data", {})
    if "image/svg+xml" in data:
        # As an image, so that the style in it stays its own.
        drawing = base64.b64encode("".join(data["image/svg+xml"]).encode()).decode()
        source = f"data:image/svg+xml;base64,{drawing}"
        return f'<figure class="drawn"><img alt="what the code draws" src="{source}"></figure>'
    return _text("".join(data.get("text/plain", [])))


def _text(text: str) -> str:
    return f"```{{ .text .output }}\n{text.rstrip()}\n```" if text.strip() else ""
