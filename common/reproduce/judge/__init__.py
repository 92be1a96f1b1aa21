"""What judges runs: what is reported, what was measured, and the verdicts."""
