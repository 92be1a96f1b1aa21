"""The site, built once for all workers, and a browser to look at it."""

import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
# The five main pages.
PAGES = {
    "home": "",
    "ledger": "ledger/",
    "paper": "papers/lmu/",
    "benchmarks": "benchmarks/",
    "guide": "guides/streaming/",
}
DESKTOP, PHONE = (1280, 900), (380, 800)


@pytest.fixture(scope="session")
def site(tmp_path_factory, worker_id) -> Path:
    """Directory of the site."""
    for name in ("material", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(name, reason="needs the extra docs")
    from docs.site import build

    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    directory = shared / "site"
    with FileLock(f"{directory}.lock"):
        if not (directory / "index.html").exists():
            build(directory)
    return directory


@pytest.fixture(scope="session")
def address(site):
    """Where the site is served."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    """Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra docs")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium, or set CHROMIUM")
    with playwright.sync_playwright() as started:
        # As root Chromium has no sandbox; what it opens is ours.
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, address):
    """Opens a page of the site; in the end nothing failed, and nothing came from elsewhere."""
    contexts, wrong = [], []

    def opened(path="", size=DESKTOP, scheme="light"):
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=width < 500
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda one: one.type in ("error", "warning") and wrong.append(one.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(request.url))
        page.on("response", lambda one: one.status >= 400 and wrong.append(one.url))
        page.on(
            "request",
            lambda one: (
                one.url.startswith(("http", "ws"))
                and not one.url.startswith(address)
                and wrong.append(one.url)
            ),
        )
        # On a busy machine the network is idle before the page has asked for its scripts.
        page.goto(address + path, wait_until="load")
        page.wait_for_load_state("networkidle")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
