"""`python -m papers.gla`."""

from common.reproduce import main
from papers.gla.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
