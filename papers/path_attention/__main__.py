"""`python -m papers.path_attention`."""

from common.reproduce import main
from papers.path_attention.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
