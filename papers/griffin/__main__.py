"""`python -m papers.griffin`."""

from common.reproduce import main
from papers.griffin.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
