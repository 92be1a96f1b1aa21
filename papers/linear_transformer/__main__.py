"""`python -m papers.linear_transformer`."""

from common.reproduce import main
from papers.linear_transformer.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
