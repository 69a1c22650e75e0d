"""Tests of the whole: `python -m pipeline run` against the simulated exchange."""
