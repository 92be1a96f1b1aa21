"""Trials that more than one paper runs: functions `(run, **settings) -> metrics`."""
