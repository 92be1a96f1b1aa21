"""`python -m papers.min_rnn`."""

from common.reproduce import main
from papers.min_rnn.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
