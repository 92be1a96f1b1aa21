"""What a reader sees and does, in Chromium."""

import os
import re
from pathlib import Path

import pytest

from tests.docs.conftest import DESKTOP, PAGES, PHONE

SHOTS = os.environ.get("SCREENSHOTS")


def overflow(page):
    """How many pixels the page is wider than the window."""
    root = "document.documentElement"
    return page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_main_page_fits_desktop_and_phone(open_page, name, scheme, tmp_path):
    directory = Path(SHOTS) if SHOTS else tmp_path
    directory.mkdir(parents=True, exist_ok=True)
    for size, of in ((DESKTOP, "desktop"), (PHONE, "phone")):
        page = open_page(PAGES[name], size, scheme)
        assert overflow(page) <= 0, of
        page.screenshot(path=directory / f"{name}-{of}-{scheme}.png")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shade = sum(int(part) for part in ground.strip("rgba()").split(",")[:3])
        assert (shade > 600) == (scheme == "light"), ground


def test_light_and_dark_are_switched(open_page):
    page = open_page()
    assert page.get_attribute("body", "data-md-color-scheme") == "default"
    page.get_by_title("Switch to dark").click()
    assert page.get_attribute("body", "data-md-color-scheme") == "slate"


def point_at(drawing, mark):
    """Moves the pointer to a drawing's last mark, with it in the middle of the window."""
    drawing.evaluate("drawing => drawing.scrollIntoView({ block: 'center' })")
    drawing.locator(mark).last.hover()


def visible(page):
    return page.locator("#claims tbody tr:visible")


def test_the_ledger_filters(open_page):
    page = open_page("ledger/")
    everything = visible(page).count()
    page.select_option("[name=paper]", "lmu")
    of_paper = visible(page).count()
    assert 0 < of_paper < everything
    verdict = visible(page).first.get_attribute("data-verdict")
    page.select_option("[name=verdict]", verdict)
    words = visible(page).evaluate_all("rows => rows.map(row => row.dataset.verdict)")
    assert set(words) == {verdict} and len(words) <= of_paper
    output = page.locator("#filters output").inner_text()
    assert output == f"{visible(page).count()} of {everything}"
    # The address has the filters, and shows the same to whom it is given.
    assert "paper=lmu&verdict=" in page.url
    same = open_page("ledger/?" + page.url.partition("?")[2])
    assert visible(same).count() == visible(page).count()
    page.get_by_role("button", name="clear", exact=True).click()
    assert visible(page).count() == everything
    page.select_option("[name=kind]", "static")
    kinds = visible(page).evaluate_all("rows => rows.map(row => row.dataset.kind)")
    assert set(kinds) == {"static"}
    page.select_option("[name=kind]", "")
    page.fill("[name=text]", "capacity-lmu0 t1000")
    claims = visible(page).evaluate_all("rows => rows.map(row => row.cells[1].dataset.value)")
    assert claims and all("capacity-lmu0-t1000" in claim for claim in claims)


def test_the_ledger_sorts(open_page):
    page = open_page("ledger/")
    values = "rows => rows.map(row => row.cells[3].dataset.value).filter(v => v).map(Number)"
    head = page.locator("th", has_text="measured")
    for order, reverse in (("ascending", False), ("descending", True)):
        page.get_by_role("button", name="measured").press("Enter")
        assert head.get_attribute("aria-sort") == order
        found = page.locator("#claims tbody tr").evaluate_all(values)
        assert len(found) > 50 and found == sorted(found, reverse=reverse)
    page.get_by_role("button", name="paper").click()
    papers = "rows => rows.map(row => row.dataset.paper)"
    found = page.locator("#claims tbody tr").evaluate_all(papers)
    assert found == sorted(found)


def test_a_row_leads_to_its_claim(open_page):
    page = open_page("ledger/?paper=lmu")
    row = page.locator("#claims tbody tr:visible").first
    claim = row.locator("code").inner_text()
    row.locator("code").click()
    page.wait_for_url(f"**/papers/lmu/#claim-{claim}")
    assert page.locator(f"#claim-{claim}").is_visible()


def test_a_claims_drawing_answers_pointer_and_keys(open_page):
    page = open_page("papers/lmu/")
    drawing = page.locator("svg.strip").first
    point_at(drawing, "circle")
    tip = page.locator(".tip")
    assert re.match(r"seed 4(, attempt \d+)?: 0\.00", tip.inner_text())
    drawing.focus()
    texts = set()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
        texts.add(tip.inner_text()[: len("seed 0")])
    assert texts == {f"seed {seed}" for seed in range(5)}
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_the_benchmarks_answer(open_page):
    page = open_page("benchmarks/")
    chart = page.locator("#over-length > svg")
    point_at(chart, ".mark")
    tip = page.locator(".tip")
    assert "T = 1024" in tip.inner_text() and " ms" in tip.inner_text()
    lines = chart.locator("g").count()
    page.locator("#series input:checked").first.uncheck()
    assert chart.locator("g").count() == lines - 1
    # What is not wanted stays away in other runs too, of which one has this series alone.
    page.locator("#series input").first.check()
    page.select_option("[name=measure]", "tokens_per_s")
    assert "tokens/s" in chart.get_attribute("aria-label")
    page.select_option("[name=layer]", "mamba/mamba")
    assert "mamba/mamba" in chart.get_attribute("aria-label")
    assert page.locator("#roofline svg path.roof").count() == 1
    # A line a layer, and attention's.
    growth = page.locator("#growth > svg")
    assert growth.locator("path.line").count() > 30
    assert growth.locator("g:not(.faint):not(.peer)").count() == 1
    point_at(page.locator("#roofline > svg"), ".mark")
    assert "GFLOP/s" in tip.inner_text()
    runs = page.locator("[name=run] option").count()
    for i in range(runs):
        page.select_option("[name=run]", index=i)
        chosen = page.locator("[name=run] option").nth(i).inner_text()
        for part in chosen.split(", "):
            page.locator("#facts", has_text=part).wait_for()
        assert chart.locator(".mark").count() > 0


def test_a_line_of_code_has_an_address(open_page):
    page = open_page("papers/lmu/#layer-LMU")
    line = page.locator("pre.source a.line").first
    line.click()
    target = page.url.partition("#")[2]
    assert target.startswith("LegendreMemory-")
    assert page.locator(f"#{target}").is_visible()


def test_the_search_finds(open_page):
    page = open_page()
    page.get_by_role("textbox", name="Search").click()
    page.keyboard.type("retention", delay=5)
    page.wait_for_selector(".md-search-result__item")
    assert "etention" in page.locator(".md-search-result__list").inner_text()
