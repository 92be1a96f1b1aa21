"""`python -m papers.structured_linear_cde`."""

from common.reproduce import main
from papers.structured_linear_cde.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
