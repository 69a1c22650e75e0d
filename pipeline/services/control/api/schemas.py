"""What the OpenAPI document says of good answers, by the handler's name. Floor 4; data."""

from __future__ import annotations

from typing import Any, Final

from pipeline.services.control.api.schema import (
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    Schema,
    all_of,
    good,
    list_of,
    map_of,
    or_null,
    record,
)

_TOKENS: Final = list_of(INTEGER)
_MODES: Final = record(all_of(INTEGER, "ltp", "quote", "full"))
_RATES: Final = map_of(NUMBER)
_AGE: Final = or_null(NUMBER)

_CONNECTION: Final = record(
    {
        **all_of(INTEGER, "connection_id", "subscribed_tokens", "capacity", "decoder", "seat"),
        **all_of(INTEGER, "available_capacity", "since_ts_ns"),
        **all_of(FLAG, "connected", "draining"),
        **all_of(TEXT, "state", "reason"),
        "utilization_percent": NUMBER,
    },
    {
        **all_of(INTEGER, "pid", "connection_epoch", "reconnects", "wire_tokens"),
        **all_of(INTEGER, "confirmed_tokens", "unconfirmed"),
        **all_of(FLAG, "alive", "hung"),
        **all_of(_RATES, "tick_rate", "frame_rate", "packet_rate", "byte_rate", "heartbeat_rate"),
        **all_of(_AGE, "last_frame_age_ms", "last_data_age_ms", "last_heartbeat_age_ms"),
        **all_of(_AGE, "process_age_ms", "health_score"),
        "health_band": or_null(TEXT),
        "health_penalties": map_of(NUMBER),
        "tick_age_ms": or_null(map_of(NUMBER)),
        "ring": record(all_of(INTEGER, "size", "used", "hwm")),
        "last_error": or_null(record({"class": TEXT, "text": TEXT, "at": NUMBER})),
        "modes": _MODES,
        "unconfirmed_tokens": _TOKENS,
        "totals": map_of(INTEGER),
    },
)
_ACCOUNT: Final = record(
    {
        **all_of(TEXT, "account_id", "broker", "policy"),
        **all_of(INTEGER, "total_connections", "total_target_tokens", "total_subscribed_tokens"),
        **all_of(INTEGER, "max_instruments_per_connection", "total_capacity", "wire_tokens"),
        **all_of(INTEGER, "confirmed_tokens", "unconfirmed", "orphaned"),
        "connections": list_of(_CONNECTION),
        "statistics": map_of(INTEGER),
        "health": record({**all_of(NUMBER, "score", "percentage"), "state": TEXT}),
        "totals": map_of(INTEGER),
        "limits": {"type": "object"},
    }
)
_DECODER: Final = record(
    {
        **all_of(INTEGER, "decoder", "pid", "commits"),
        **all_of(FLAG, "alive", "hung"),
        "receive_to_publish_us": record(all_of(NUMBER, "p50", "p99", "max")),
    }
)
_STATS: Final = record(
    {
        "total_accounts": INTEGER,
        "accounts": map_of(_ACCOUNT),
        "note": TEXT,
        "sets": map_of(TEXT),
        "decoders": list_of(_DECODER),
        "pool": map_of(INTEGER),
    }
)
_ALERT: Final = record(
    {
        **all_of(INTEGER, "id", "since_ts_ns"),
        **all_of(TEXT, "kind", "subject", "severity", "text"),
        "resolved": FLAG,
        "resolved_ts_ns": or_null(INTEGER),
    }
)
_HEALTH: Final = record(
    {"status": TEXT},
    {
        **all_of(NUMBER, "score", "health_percentage", "uptime_s"),
        **all_of(INTEGER, "total_connections", "healthy_connections", "active_message_flows"),
        **all_of(INTEGER, "total_instruments", "orphaned", "unconfirmed", "total_messages"),
        **all_of(INTEGER, "total_errors", "recent_errors"),
        **all_of(FLAG, "is_healthy", "is_degraded", "is_critical"),
        "state": TEXT,
        "unhealthy_connections": _TOKENS,
        "connections": list_of(record({"connection_id": INTEGER, "score": NUMBER, "band": TEXT})),
        "alerts": list_of(_ALERT),
    },
)
_LIMITS: Final = (
    "requests_per_second", "requests_per_minute", "requests_per_day",
)  # fmt: skip
_CALLS: Final = record(
    {
        **all_of(INTEGER, "requests_last_minute", "requests_today"),
        **all_of(or_null(INTEGER), "minute_limit", "daily_limit"),
    }
)
_REFUSED: Final = record(
    {"instrument": {"type": ["integer", "string"]}, **all_of(TEXT, "why", "text")}
)
_PLACES: Final = {"connections": map_of(INTEGER), "opened": list_of({"type": "object"})}
_DEMAND: Final = record(
    {
        **all_of(INTEGER, "requested", "accepted", "already", "refused_count", "available"),
        "refused": list_of(_REFUSED),
        "tokens": map_of(_TOKENS),
    },
    {
        "refused_tokens": _TOKENS,
        "plan": record(_PLACES, {"mirrors": record({**_PLACES, "refused": INTEGER})}),
    },
)
_ACTED: Final = record(
    {
        "planned": list_of(record(all_of(INTEGER, "from", "to", "instruments"))),
        "done": FLAG,
        "text": TEXT,
    }
)
_SUBSCRIPTION: Final = record(
    {
        "instrument_token": INTEGER,
        **all_of(TEXT, "mode", "priority"),
        **all_of(or_null(INTEGER), "connection", "mirror", "moving_to"),
        "orphaned": FLAG,
        "unplaced": or_null(TEXT),
        "clients": list_of(TEXT),
    }
)
_CLIENT: Final = record(
    {
        "name": TEXT,
        **all_of(INTEGER, "pid", "instruments"),
        **all_of(FLAG, "connected", "durable"),
        "modes": _MODES,
    }
)
_WINDOW: Final = record(
    {
        **all_of(TEXT, "form", "client", "mode"),
        **all_of(INTEGER, "underlying", "since_ts_ns", "moves"),
        "centre": or_null(NUMBER),
        "instruments": _TOKENS,
        "problem": or_null(TEXT),
    }
)
_SESSION: Final = record({"status": TEXT, "ends_in_s": INTEGER, "account": or_null(TEXT)})
_SCHEMAS: Final[dict[str, Schema]] = {
    "stats": _STATS,
    "account_stats": _ACCOUNT,
    "rate_limit_stats": record(
        {
            **all_of(INTEGER, "total_requests", "rate_limited_count"),
            **all_of(NUMBER, "total_wait_time_seconds", "avg_wait_time_ms"),
            "endpoints": map_of(_CALLS),
        }
    ),
    "rate_limit_config": record(
        {"documentation_url": TEXT, "limits": map_of(record(all_of(_AGE, *_LIMITS)))}
    ),
    "alerts": record(all_of(list_of(_ALERT), "open", "resolved")),
    "clients": list_of(_CLIENT),
    "subscriptions": list_of(_SUBSCRIPTION),
    "windows": list_of(_WINDOW),
    "distribution": map_of(map_of(_TOKENS)),
    "health": _HEALTH,
    "subscribe": _DEMAND,
    "plan": _DEMAND,
    "set_mode": _DEMAND,
    "unsubscribe": record(
        {
            **all_of(INTEGER, "requested", "removed"),
            "refused": list_of(_REFUSED),
            "tokens": map_of(_TOKENS),
        }
    ),
    "rebalance": _ACTED,
    "scale": _ACTED,
    "recycle": _ACTED,
    "drain": _ACTED,
    "put_token": record({"account_id": TEXT, "accepted": FLAG}),
    "session": _SESSION,
    "enter": _SESSION,
    "leave": record({"status": TEXT}),
    "csrf_token": record({"csrf_token": TEXT}),
}


def _told(content: str, text: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": text, "content": {content: {"schema": TEXT}}}}


#: {handler: what `responses` has of its good answer}.
GOOD: Final[dict[str, dict[int | str, dict[str, Any]]]] = {
    **{name: good(schema) for name, schema in _SCHEMAS.items()},
    "metrics": _told("text/plain", "The figures, as Prometheus reads them"),
    "events": _told("text/event-stream", "Events, for as long as somebody listens"),
}
GOOD["health"] |= good(_HEALTH, 503)
