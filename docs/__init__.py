"""The documentation site, made from what the repository has: `python -m docs build`."""
