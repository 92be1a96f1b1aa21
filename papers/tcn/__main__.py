"""`python -m papers.tcn`."""

from common.reproduce import main
from papers.tcn.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
