"""`doctor`: what is wrong on this machine, and the exact command that mends it. Floor 6.

Runs in an unbuilt checkout too, so nothing here imports a compiled module before its own check
found that it is there.
"""

from __future__ import annotations

from pipeline.cli.doctor.command import command

__all__ = ["command"]
