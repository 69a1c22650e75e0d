"""The harness behind `python -m pipeline bench`: scenarios, verdicts, and how they are shown."""
