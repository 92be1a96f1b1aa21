"""`python -m papers.delta_net`."""

from common.reproduce import main
from papers.delta_net.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
