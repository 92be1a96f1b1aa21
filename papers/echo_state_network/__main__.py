"""`python -m papers.echo_state_network`."""

from common.reproduce import main
from papers.echo_state_network.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
