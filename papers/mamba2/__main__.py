"""`python -m papers.mamba2`."""

from common.reproduce import main
from papers.mamba2.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
