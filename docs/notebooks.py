"""A notebook as a page: its text, its code, and the outputs that are stored in it."""

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
        return f"```text {{ .output }}\n{''.join(output['text']).rstrip()}\n```"
    data = output.get("data", {})
    if "image/svg+xml" in data:
        return f'<figure class="drawn">{"".join(data["image/svg+xml"])}</figure>'
    if "image/png" in data:
        image = "".join(data["image/png"]).replace("\n", "")
        return f'<figure class="drawn"><img alt="" src="data:image/png;base64,{image}"></figure>'
    if "text/plain" in data:
        return f"```text {{ .output }}\n{''.join(data['text/plain'])}\n```"
    return ""
