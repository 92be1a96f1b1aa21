"""Equations as MathML, which browsers draw without a script, in a font that the site brings."""

import re
from html import unescape
from typing import Literal

from latex2mathml.converter import convert

_MARKED = re.compile(
    r'<(span|div) class="arithmatex">(?:\\\((.*?)\\\)|\\\[(.*?)\\\])</\1>', re.DOTALL
)
# LaTeX leaves a little room after the name of a function that no bracket follows.
_FUNCTION = re.compile(r"(<mi>(?:exp|log|tanh)</mi>)(?!<mo[^>]*>&#x00028;)")


def on_page_content(html: str, **_: object) -> str:
    """Turns what `pymdownx.arithmatex` marked into MathML; a hook of MkDocs."""

    def drawn(match: re.Match[str]) -> str:
        tag, inline, block = match.groups()
        if block is None:
            return _mathml(inline, "inline")
        # Wider than a phone it scrolls by itself.
        equation = _mathml(block, "block")
        return f'<{tag} class="equation" tabindex="0">{equation}</{tag}>'

    return _MARKED.sub(drawn, html)


def _mathml(latex: str, display: Literal["block", "inline"]) -> str:
    return _FUNCTION.sub(r'\1<mspace width="0.17em"/>', convert(unescape(latex), display=display))
