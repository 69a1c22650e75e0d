"""The process of a `[[strategy]]`: it imports a user's class and calls it back. Floor 3.

Started by the supervisor as a fresh interpreter, `python -m pipeline.strategy.hosting`: user code
is imported here and nowhere else.
"""
