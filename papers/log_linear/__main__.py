"""`python -m papers.log_linear`."""

from common.reproduce import main
from papers.log_linear.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
