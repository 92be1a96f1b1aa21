"""`python -m papers.delta_product`."""

from common.reproduce import main
from papers.delta_product.paper import PAPER

if __name__ == "__main__":
    raise SystemExit(main(PAPER))
