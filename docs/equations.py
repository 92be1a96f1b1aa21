"""Equations as MathML, which browsers draw without a script or a font of ours."""

import re
from html import unescape

from latex2mathml.converter import convert

_MARKED = re.compile(
    r'<(span|div) class="arithmatex">(?:\\\((.*?)\\\)|\\\[(.*?)\\\])</\1>', re.DOTALL
)


def on_page_content(html: str, **_: object) -> str:
    """Turns what `pymdownx.arithmatex` marked into MathML; a hook of MkDocs."""

    def drawn(match: re.Match[str]) -> str:
        tag, inline, block = match.groups()
        if block is None:
            return convert(unescape(inline), display="inline")
        # Wider than a phone it scrolls by itself.
        equation = convert(unescape(block), display="block")
        return f'<{tag} class="equation" tabindex="0">{equation}</{tag}>'

    return _MARKED.sub(drawn, html)
