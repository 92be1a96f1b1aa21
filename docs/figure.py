"""The README's figure: some decided claims, what their papers report and our runs."""

from docs.site import HERE

FIGURE = HERE / "assets" / "readme.svg"


def figure() -> str:
    return ""
