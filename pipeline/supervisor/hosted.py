"""`python -m pipeline.supervisor.hosted PARENT SIGNAL ARGUMENTS...`: a program that dies with us.

Floor 5; started by `launch` alone. It asks for the signal before it runs anything of the program,
because only a process itself can ask; then it runs the program as Python would have.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from ext.process import die_with_parent


def run(arguments: Sequence[str]) -> None:
    """Run `-m MODULE ...` or `PROGRAM ...` as `__main__`, in this interpreter."""
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    sys.argv = list(arguments)
    sys.path[0] = str(Path(arguments[0]).parent.absolute())
    runpy.run_path(arguments[0], run_name="__main__")


def main() -> None:
    """Take the first two arguments away, and be the program that the rest names."""
    parent, number, *rest = sys.argv[1:]
    die_with_parent(int(number))
    if os.getppid() != int(parent):
        sys.exit(f"process {parent} ended before it could take this one with it")
    run(rest)


if __name__ == "__main__":
    main()
