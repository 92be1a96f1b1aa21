"""`python -m papers.lmu`."""

from common.reproduce import main
from papers.lmu.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
