"""`python -m papers.retnet`."""

from common.reproduce import main
from papers.retnet.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
