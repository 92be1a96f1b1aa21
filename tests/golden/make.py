"""Makes the golden vectors, or checks that the peers still give those of the files.

    python -m tests.golden.make             writes tests/golden/vectors/*.npz
    python -m tests.golden.make --check     compares with them, to a relative error of 1e-12

Needs the peers: `pip install -e '.[peers]'`. No layer of this repository takes part.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

# PyTorch comes before TensorFlow, which keras_lmu imports: the other order can crash.
from tests.golden.peers import (  # isort: skip
    torch_builtin,
    hugging_face,
    mambapy_block,
    xlstm_authors,
    flash_linear_attention,
    flash_linear_attention_softmax,
    min_rnn_pytorch,
    state_spaces_by_hand,
    linear_cde_by_hand,
    turing_machine_by_hand,
    tcn_by_hand,
    keras_lmu_cell,
)

PEERS = (
    torch_builtin,
    hugging_face,
    mambapy_block,
    xlstm_authors,
    flash_linear_attention,
    flash_linear_attention_softmax,
    min_rnn_pytorch,
    state_spaces_by_hand,
    linear_cde_by_hand,
    turing_machine_by_hand,
    tcn_by_hand,
    keras_lmu_cell,
)
FOLDER = Path(__file__).parent / "vectors"
TOLERANCE = 1e-12


def difference(got: dict, want: dict) -> str | None:
    """What the first difference of two vectors is, `None` where they agree."""
    if set(got) != set(want):
        return f"arrays {sorted(set(got) ^ set(want))} are in one of the two only"
    for name in sorted(set(got) - {"source"}):
        if got[name].shape != want[name].shape:
            return f"{name}: shape {want[name].shape} is now {got[name].shape}"
        scale = max(np.max(np.abs(want[name]), initial=0.0), 1e-3)
        error = np.max(np.abs(got[name] - want[name]), initial=0.0) / scale
        if not error <= TOLERANCE:
            return f"{name}: relative difference {error:.1e}"
    return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args(arguments).check
    made, failed = set(), 0
    for peer in PEERS:
        for name, vector in peer.vectors():
            path = FOLDER / f"{name}.npz"
            made.add(path)
            if not check:
                np.savez(path, **vector)
                print(f"{name}: {vector['source']}, {path.stat().st_size / 1024:.0f} KB")
                continue
            fault = difference(vector, dict(np.load(path))) if path.exists() else "no file"
            failed += fault is not None
            print(f"{name}: {fault or 'agrees'} ({vector['source']})")
    for path in sorted(set(FOLDER.glob("*.npz")) - made):
        failed += 1
        print(f"{path.stem}: no peer makes it", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
