"""`python -m docs build`, `serve` and `figure`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from common.reproduce.arguments import parse
from common.reproduce.command import HOLD, run_command
from docs.figure import FIGURE, figure
from docs.site import SITE, build


@dataclass(frozen=True)
class Options:
    """Options of `python -m docs`."""

    command: tyro.conf.Positional[Literal["build", "serve", "figure"]]
    """Build the site, build and serve it, or draw the README's figure."""
    site: Path = SITE
    """Directory of the site."""
    port: int = 8000
    """Where `serve` listens, on this machine only."""
    verbose: bool = False
    """Show where an error comes from."""


def main() -> int:
    """Does what the command line says.

    Returns:
        The exit code.
    """
    return run_command(_main)


def _main() -> int:
    options = parse(
        Options, prog="python -m docs", description="The documentation site. Needs the extra docs."
    )
    if options.command == "figure":
        FIGURE.write_text(figure(), encoding="utf-8")
        print(FIGURE)
        return HOLD
    build(options.site)
    print(options.site)
    if options.command == "serve":
        _serve(options.site, options.port)
    return HOLD


def _serve(site: Path, port: int) -> None:
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    raise SystemExit(main())
