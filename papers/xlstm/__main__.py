"""`python -m papers.xlstm`."""

from common.reproduce import main
from papers.xlstm.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
