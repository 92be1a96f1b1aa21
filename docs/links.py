"""Markdown of the repository as pages of the site: sections, and links to where they are shown."""

import posixpath
import re

from papers import list_papers

# A file or directory of the repository to the page that shows it.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "guides/contributing.md",
    "papers/README.md": "ledger/rules.md",
    "papers/LEDGER.md": "ledger/index.md",
    "benchmarks/NOTES.md": "benchmarks/notes.md",
    "tests/README.md": "tests.md",
    "common/layers": "api/layers.md",
    "common/models": "api/models.md",
    "common/models/export.py": "guides/export.md",
    "common/ops": "api/ops.md",
    "common/tasks": "api/tasks.md",
    **{f"papers/{name}": f"papers/{name}.md" for name in list_papers()},
    **{f"papers/{name}/README.md": f"papers/{name}.md" for name in list_papers()},
}
# What the site has beside its pages.
ASSETS = "docs/assets/"
_LINK = re.compile(r"\[([^\]\n]*)\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#{1,6}) +(.+?) *$")


def to_site(text: str, source: str, page: str) -> str:
    """Turns the relative links of a file of the repository into those of the page that shows it.

    A link to what no page shows keeps its text only.

    Args:
        text: Markdown.
        source: path of the file within the repository.
        page: path of the page within the site's sources.
    """

    def replaced(match: re.Match[str]) -> str:
        label, target = match.groups()
        path, mark, anchor = target.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return match[0]
        full = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        shown = PAGES.get(full)
        if full.startswith(ASSETS):
            shown = "assets/" + full.removeprefix(ASSETS)
        return f"[{label}]({relative(page, shown)}{mark}{anchor})" if shown else label

    parts = re.split(r"(^```.*?^```$|`[^`\n]+`)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if i % 2 else _LINK.sub(replaced, part) for i, part in enumerate(parts))


def relative(page: str, target: str) -> str:
    """The link from one page's source to another's."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


def sections(text: str) -> dict[str, str]:
    """The parts of a Markdown file by its headings of the second level; "" is what is before."""
    found: dict[str, list[str]] = {"": []}
    name, fenced = "", False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        heading = None if fenced else _HEADING.match(line)
        if heading and len(heading[1]) <= 2:
            name = heading[2] if len(heading[1]) == 2 else ""
            found.setdefault(name, [])
        else:
            found[name].append(line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def title_of(text: str) -> str:
    """The heading of the first level."""
    return next((match[2] for line in text.splitlines() if (match := _HEADING.match(line))), "")
