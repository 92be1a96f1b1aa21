"""`python -m papers.neural_turing_machine`."""

from common.reproduce import main
from papers.neural_turing_machine.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
