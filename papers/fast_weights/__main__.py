"""`python -m papers.fast_weights`."""

from common.reproduce import main
from papers.fast_weights.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
