"""Verdicts, and how a paper's headline holds, as marks: a sign, a word and a colour."""

from collections import Counter
from collections.abc import Iterable
from html import escape

from common.reproduce.judge.verdict import (
    AGREES,
    NOT_REPRODUCED,
    NOT_RUN,
    REDUCED,
    REPRODUCED,
    UNDECIDED,
    Verdict,
)

# In this order wherever they are counted: what holds, what is open, what does not.
SIGNS = {
    REPRODUCED: "✓",
    REDUCED: "✓",
    AGREES: "✓",
    UNDECIDED: "?",
    NOT_REPRODUCED: "✗",
    NOT_RUN: "–",
}


def slug(word: str) -> str:
    """The word as a name of a class."""
    return word.replace(" ", "-")


def badge(word: str) -> str:
    """A verdict as HTML."""
    sign = SIGNS.get(word, "")
    return (
        f'<span class="badge v-{slug(word)}"><span aria-hidden="true">{sign}</span> {word}</span>'
    )


def headline_badge(holds: str) -> str:
    """How the paper's headline holds as HTML."""
    return f'<span class="badge h-{slug(holds)}">{holds}</span>'


def counted(verdicts: Iterable[Verdict]) -> Counter[str]:
    """How many there are of each word."""
    return Counter(one.word for one in verdicts)


def bar(counts: Counter[str], key: bool = False) -> str:
    """How many claims have which verdict: a bar in parts, and with `key` what they are."""
    total = sum(counts.values())
    text = ", ".join(f"{counts[word]} {word}" for word in SIGNS if counts[word])
    parts = "".join(
        f'<span class="v-{slug(word)}" style="flex-grow:{counts[word]}" '
        f'data-tip="{counts[word]} of {total}: {word}">{counts[word]}</span>'
        for word in SIGNS
        if counts[word]
    )
    html = f'<div class="verdicts" role="img" aria-label="{escape(text, quote=True)}">{parts}</div>'
    if not key:
        return html
    items = "".join(
        f'<li><span class="swatch v-{slug(word)}"></span>{counts[word]} {word}</li>'
        for word in SIGNS
        if counts[word]
    )
    return f'{html}<ul class="legend verdict-key" aria-hidden="true">{items}</ul>'
