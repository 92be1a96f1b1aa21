"""`python -m papers.kimi_delta`."""

from common.reproduce import main
from papers.kimi_delta.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
