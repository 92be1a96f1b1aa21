"""Pure functions on tensors: scans, recurrences and attention, each with its own gradient."""
