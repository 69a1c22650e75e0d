"""A `[simulator]` that speaks TLS, and knows the keys of the accounts beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core.capacity import BrokerLimits
from pipeline.core.config import load
from pipeline.core.errors import ConfigError, Problem
from tests.feed.authority import Authority
from tests.system.rig import SIMULATOR, Run, Tape, compare, wait_for
from tests.system.test_run import settle

Make = Callable[..., Run]
LIMITS = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}
TLS = SIMULATOR + '\ntls_certificate = "{certificate}"\ntls_key = "{key}"'
FOURTH = """
[[account]]
name = "fourth"
url = "simulator"
api_key = "my-fourth-key"
[[connection]]
account = "fourth"
instruments_max = 1
"""


def test_every_tick_arrives_over_tls_and_a_key_of_ones_own_is_known(
    make_run: Make, tmp_path: Path
) -> None:
    certificate, key = Authority(tmp_path).self_signed()
    simulator = TLS.format(certificate=certificate.name, key=key.name)
    run = make_run(simulator=simulator, count=20, more=FOURTH).start_and_wait()
    tape = Tape(run)
    until = settle(tape)
    wait_for(lambda: int(run.page(3)["last_http_status"]) == 101, "the fourth key to be let in")
    assert "simulated exchange: wss://localhost:" in run.log.read_text()
    assert run.stop() == 0
    tape.pump()
    assert tape.gaps() == []
    assert compare(run, tape, until_ts_ns=until).lost == 0
    run.assert_nothing_left()


def problem_of(run: Run) -> Problem:
    with pytest.raises(ConfigError) as caught:
        load(run.config, limits=LIMITS)
    [problem] = caught.value.problems
    return problem


def test_files_that_do_not_belong_together_are_an_error_of_the_config(
    make_run: Make, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.self_signed()
    for wrong in (authority.foreign_key(b"a passphrase"), authority.foreign_key(), certificate):
        problem = problem_of(make_run(simulator=TLS.format(certificate=certificate, key=wrong)))
        assert problem.path == "simulator.tls_certificate"
        assert str(wrong) in problem.found and "_ssl.c" not in problem.found
    problem = problem_of(make_run(simulator=TLS.format(certificate=certificate, key="nowhere.pem")))
    assert (problem.path, problem.found) == ("simulator.tls_key", "nowhere.pem: no such file")
    good = make_run(simulator=TLS.format(certificate=certificate, key=key))
    assert load(good.config, limits=LIMITS).simulator is not None
