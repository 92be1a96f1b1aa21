"""What a paper declares, and the checks of it. Standard library only."""
