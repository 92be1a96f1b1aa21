"""`python -m papers.h3`."""

from common.reproduce import main
from papers.h3.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
