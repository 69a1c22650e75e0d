"""Who wants what, and what that comes to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.enums import Mode
from pipeline.planning.pool import Priority, Want
from pipeline.services.control.ledger import Ledger, effective


def _want(token: int, mode: Mode = Mode.QUOTE, **more: object) -> Want:
    return Want(token, mode, **more)  # type: ignore[arg-type]


def test_an_instrument_is_wanted_as_long_as_anybody_does_in_the_highest_mode() -> None:
    ledger = Ledger()
    for name, mode in (("a", Mode.LTP), ("b", Mode.FULL)):
        ledger.join(name)
        ledger.add(name, {1: _want(1, mode)})
    assert ledger.desired[1].mode is Mode.FULL
    assert ledger.take_changed() == [1]
    assert ledger.remove("b", [1, 2]) == 1
    assert ledger.desired[1].mode is Mode.LTP
    assert ledger.take_changed() == [1]
    ledger.remove("a", [1])
    assert ledger.desired == {} and ledger.take_changed() == [1]


def test_what_is_wanted_already_changes_nothing() -> None:
    ledger = Ledger()
    ledger.join("a")
    ledger.add("a", {1: _want(1)})
    ledger.take_changed()
    ledger.add("a", {1: _want(1)})
    ledger.join("b")
    ledger.add("b", {1: _want(1, Mode.LTP)})
    assert ledger.take_changed() == []
    assert set(ledger.holders(1)) == {"a", "b"}


def test_a_demand_outlives_its_client_by_the_grace() -> None:
    ledger = Ledger()
    ledger.join("a")
    ledger.add("a", {1: _want(1)})
    ledger.leave("a", 100)
    assert ledger.expire(149, 50) == [] and 1 in ledger.desired
    ledger.join("a")
    assert ledger.expire(10_000, 50) == []
    ledger.leave("a", 10_000)
    assert ledger.expire(10_050, 50) == ["a"]
    assert ledger.desired == {} and ledger.clients == {}


def test_who_wanted_nothing_is_forgotten_at_once() -> None:
    ledger = Ledger()
    for durable in (False, True):
        ledger.join("a", durable=durable)
        ledger.leave("a", 0)
        assert ledger.clients == {}


def test_a_durable_demand_stays() -> None:
    ledger = Ledger()
    ledger.join("cli", durable=True)
    ledger.add("cli", {1: _want(1)})
    ledger.leave("cli", 0)
    assert ledger.expire(10**18, 0) == []


def test_a_declaration_replaces_the_demand() -> None:
    ledger = Ledger()
    ledger.join("a")
    ledger.add("a", {1: _want(1), 2: _want(2)})
    ledger.take_changed()
    ledger.replace("a", {2: _want(2), 3: _want(3)})
    assert ledger.take_changed() == [1, 3]
    assert set(ledger.desired) == {2, 3}


def test_what_changed_comes_in_the_order_in_which_it_was_asked_for() -> None:
    ledger = Ledger()
    ledger.join("a")
    tokens = [738561, 256265, 408065, 7, 25601539, 1]
    ledger.add("a", {token: _want(token) for token in tokens})
    assert ledger.take_changed() == tokens


def test_what_would_be_changes_nothing() -> None:
    ledger = Ledger()
    ledger.join("a")
    ledger.add("a", {1: _want(1, Mode.FULL)})
    ledger.take_changed()
    would = ledger.with_added("b", {1: _want(1, Mode.LTP), 2: _want(2)})
    assert would[1].mode is Mode.FULL and would[2].mode is Mode.QUOTE
    assert set(ledger.desired) == {1} and ledger.take_changed() == []


def test_pins_and_priority_of_several() -> None:
    found = effective(
        [
            _want(1, Mode.LTP, priority=Priority.COLD),
            _want(1, account="x", priority=Priority.HOT),
            _want(1, account="y", group="g"),
        ]
    )
    assert found == Want(1, Mode.QUOTE, Priority.HOT, "g", "x")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "replace", "forget"]),
            st.sampled_from("abc"),
            st.dictionaries(st.integers(1, 8), st.sampled_from([Mode.LTP, Mode.FULL])),
        )
    )
)
def test_desired_is_always_what_the_clients_come_to(
    steps: list[tuple[str, str, dict[int, Mode]]],
) -> None:
    ledger = Ledger()
    expected: dict[str, dict[int, Mode]] = {}
    seen: dict[int, Mode] = {}
    for action, name, modes in steps:
        ledger.join(name)
        own = expected.setdefault(name, {})
        if action == "add":
            ledger.add(name, {t: _want(t, m) for t, m in modes.items()})
            own.update(modes)
        elif action == "remove":
            assert ledger.remove(name, modes) == len(own.keys() & modes.keys())
            expected[name] = {t: m for t, m in own.items() if t not in modes}
        elif action == "replace":
            ledger.replace(name, {t: _want(t, m) for t, m in modes.items()})
            expected[name] = dict(modes)
        else:
            ledger.forget(name)
            del expected[name]
        wanted: dict[int, Mode] = {}
        for each in expected.values():
            for token, mode in each.items():
                wanted[token] = max(mode, wanted.get(token, Mode.NONE))
        assert {t: want.mode for t, want in ledger.desired.items()} == wanted
        for token in ledger.take_changed():
            seen.pop(token, None)
            if token in wanted:
                seen[token] = wanted[token]
        assert seen == wanted
