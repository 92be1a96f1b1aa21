"""Runs as tasks of a Ray cluster, which alone imports Ray, and when it is asked for."""
