"""What each peer computes: a module a peer, none of which imports anything of this repository.

Each has `vectors()`, which yields the name of a vector and its arrays, as `recording.record` makes
them.
"""
