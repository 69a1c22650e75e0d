"""The scenarios of `python -m pipeline bench`, one a file; `SCENARIOS` of each are collected."""
