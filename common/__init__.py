"""Pieces shared by the papers: ops, the layer base, tasks and the reproduction runner."""
