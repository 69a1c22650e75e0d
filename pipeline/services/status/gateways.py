"""The gateway, as its page says. Floor 4."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core.enums import Role, SegmentKind
from pipeline.services.status.model import Balance, Gateway, Process
from pipeline.services.status.pages import age_s, attach, counters, latency
from pipeline.shm.names import InstancePaths

_ROLE = Role.GATEWAY.name.lower()
#: Gauges, not counts.
_GAUGES = (
    "clients", "authenticated", "subscriptions", "instruments", "messages_waiting", "demanded",
)  # fmt: skip
#: It is written field by field, four times a second: a copy may have been taken in between.
_LOOKS = 3


def read_gateway(
    paths: InstancePaths, processes: Sequence[Process], now_mono_ns: int
) -> Gateway | None:
    """Return the gateway among the supervised processes; None when there is none."""
    process = next((p for p in processes if p.role == _ROLE), None)
    if process is None:
        return None
    segment = attach(paths, SegmentKind.GATEWAY_STATUS, 0)
    for _ in range(_LOOKS):
        record = segment.record("GatewayStatusC").copy()
        counted = counters(record)
        gauges = {name: int(record[name]) for name in _GAUGES}
        balances = _balances(counted, gauges["messages_waiting"])
        if not any(balance.difference for balance in balances):
            break
    return Gateway(
        pid=process.pid,
        alive=process.alive,
        heartbeat_age_s=age_s(int(record["head"]["heartbeat_mono_ns"]), now_mono_ns),
        port=int(record["port"]),
        **gauges,
        counters=counted,
        balances=balances,
        receive_to_send=latency(segment, "GatewayStatusC", "receive_to_send"),
    )


def _balances(counted: dict[str, int], waiting: int) -> list[Balance]:
    ticks_in, wanted = counted["ticks_in"], counted["ticks_wanted"]
    unwanted = counted["ticks_unwanted"]
    offered, sent = counted["messages_offered"], counted["messages_sent"]
    gone = counted["messages_conflated"] + counted["messages_dropped"]
    return [
        Balance(
            stage="gateway ticks", came_in=ticks_in, went_out=wanted, dropped=unwanted,
            difference=ticks_in - wanted - unwanted,
        ),
        Balance(
            stage="gateway messages", came_in=offered, went_out=sent + waiting, dropped=gone,
            difference=offered - sent - waiting - gone,
        ),
    ]  # fmt: skip
