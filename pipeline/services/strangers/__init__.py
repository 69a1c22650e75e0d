"""Who strangers are by their address, and what that lets them do. Floor 4; pure.

Shared by the services that let clients in, so that an address means the same to all of them. No
sockets, no clock: peers, headers and monotonic nanoseconds are passed in. Every table is bounded.
"""

from __future__ import annotations

from pipeline.services.strangers.addresses import Addresses
from pipeline.services.strangers.allowances import Allowance, Allowances
from pipeline.services.strangers.headcount import Headcount
from pipeline.services.strangers.wrong_keys import Penalty, WrongKeys

__all__ = ["Addresses", "Allowance", "Allowances", "Headcount", "Penalty", "WrongKeys"]
