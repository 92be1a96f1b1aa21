"""`python -m papers.mamba`."""

from common.reproduce import main
from papers.mamba.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
