"""`python -m papers.rwkv7`."""

from common.reproduce import main
from papers.rwkv7.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
