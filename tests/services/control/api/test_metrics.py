"""What the gateway counts, as Prometheus reads it; the pool's figures: test_app.py."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.metrics_core import Metric

from pipeline.services.control.api import metrics
from pipeline.services.control.api.openalgo.access import gateway_counts
from tests.services.status.test_gateways import page_in


def _samples(families: list[Metric]) -> dict[tuple[str, str], float]:
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_reason_of_the_gateway_is_a_sample_of_its_own(tmp_path: Path) -> None:
    paths, page = page_in(tmp_path)
    record = page.record
    assert record.dtype.names is not None
    fields = [
        name
        for name in record.dtype.names
        if name.startswith(("refused_", "cut_")) or name.endswith("_lost") or name == "bans"
    ]
    for number, name in enumerate(fields, 1):
        record[name] = number
    record["clients"] = 7
    found = _samples(list(metrics._gateway(gateway_counts(paths))))
    assert found["gateway_refused_total", "origin"] == record["refused_origin"] > 0
    assert found["gateway_cut_total", "wrong_keys"] == record["cut_wrong_keys"] > 0
    assert found["gateway_lost_total", "orders"] == record["orders_lost"] > 0
    assert found["gateway_bans_total", ""] == record["bans"] > 0
    assert found["gateway_clients", ""] == 7
    told = [value for (name, _), value in found.items() if name != "gateway_clients" and value]
    assert sorted(told) == list(range(1, len(fields) + 1)), "each once"


def test_without_a_gateway_there_is_nothing_of_it() -> None:
    assert list(metrics._gateway({})) == []
