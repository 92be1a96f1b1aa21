"""The site is built without a warning, and its links lead somewhere."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

from papers import list_papers

HOST = "http://site.example/"


class Page(HTMLParser):
    """The ids, the links and what else a page loads."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "a" and attributes.get("name"):
            self.ids.append(attributes["name"])
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        for name in ("src", "href"):
            if attributes.get(name) and tag in ("script", "img", "link", "iframe", "source"):
                self.loads.append(attributes[name])


@pytest.fixture(scope="module")
def pages(site):
    """Address of a page to what it has."""
    found = {}
    for path in site.rglob("*.html"):
        name = path.relative_to(site).as_posix().removesuffix("index.html")
        found[HOST + name] = Page(path.read_text(encoding="utf-8"))
    return found


def test_every_paper_has_a_page(pages):
    for name in list_papers():
        assert f"{HOST}papers/{name}/" in pages
        assert f"{HOST}api/papers/{name}/" in pages


def test_links_within_the_site_lead_somewhere(pages, site):
    broken = []
    for address, page in pages.items():
        for link in [*page.links, *page.loads]:
            if link.startswith("data:") or address.endswith("404.html"):
                continue
            target, anchor = urldefrag(urljoin(address, link))
            if not target.startswith(HOST):
                continue
            target = target.partition("?")[0]
            if target in pages:
                if anchor and unquote(anchor) not in pages[target].ids:
                    broken.append((address, link))
            elif not (site / unquote(urlsplit(target).path).lstrip("/")).is_file():
                broken.append((address, link))
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(pages, site):
    for page in pages.values():
        loaded = [link for link in page.loads if not link.startswith("data:")]
        assert [link for link in loaded if urlsplit(link).scheme or link.startswith("//")] == []
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", path.read_text("utf-8"))


def test_an_id_stands_once(pages):
    for address, page in pages.items():
        # Material's own icons and its copies of a table of contents have none.
        twice = {one for one in page.ids if page.ids.count(one) > 1}
        assert not twice, (address, twice)


def test_every_claim_is_in_the_ledger_and_on_its_papers_page(pages):
    links = [link for link in pages[f"{HOST}ledger/"].links if "#claim-" in link]
    assert len(links) > 100
    drawn = {
        f"../papers/{name}/#{id}"
        for name in list_papers()
        for id in pages[f"{HOST}papers/{name}/"].ids
        if id.startswith("claim-")
    }
    assert set(links) == drawn


def test_equations_are_drawn(site):
    text = (site / "papers" / "lmu" / "index.html").read_text(encoding="utf-8")
    assert "<math" in text
    assert "arithmatex" not in text and "$$" not in text
