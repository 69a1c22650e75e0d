"""Become another program: `python -m benchmarks.become PROGRAM ARGUMENTS`.

For what a scenario times and is no Python: like all its processes it is started as an
interpreter, which is killed with the harness, and what it becomes keeps that.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    os.execv(sys.argv[1], sys.argv[1:])
