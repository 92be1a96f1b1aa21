"""TFDS builders. A builder's module has to live in a package directory of its own."""
