"""`python -m papers.mamba3`."""

from common.reproduce import main
from papers.mamba3.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
