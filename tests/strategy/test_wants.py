"""What one client wants, by whatever form it is said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.strategy.wants import Placement, Wants

ANYWHERE = Placement()


def wants_of(**modes: str) -> Wants:
    wants = Wants()
    wants.resolve({"NSE:INFY": [408065], "WINDOW": [1, 2, 3]})
    for form, mode in modes.items():
        wants.add([form], mode, ANYWHERE)
    return wants


def test_a_name_is_given_up_by_its_token_and_the_other_way_round() -> None:
    wants = wants_of()
    wants.add(["NSE:INFY"], "full", ANYWHERE)
    wants.remove([408065])
    assert wants.modes() == {}
    wants.add([408065], "full", ANYWHERE)
    wants.remove(["NSE:INFY"])
    assert wants.modes() == {}


def test_the_newest_form_and_mode_hold() -> None:
    wants = wants_of()
    wants.add([408065], "full", ANYWHERE)
    wants.add(["NSE:INFY"], "ltp", ANYWHERE)
    assert wants.modes() == {"NSE:INFY": "ltp"}
    wants.set_mode([408065], "quote")
    assert wants.modes() == {408065: "quote"}


def test_what_a_name_means_beyond_what_is_given_up_stays() -> None:
    wants = wants_of(WINDOW="quote")
    assert wants.tokens() == {1, 2, 3}
    wants.remove([2, 9])
    assert wants.modes() == {1: "quote", 3: "quote"}
    wants.set_mode([3, 9], "full")
    assert wants.modes() == {1: "quote", 3: "full"}


def test_what_was_refused_is_not_wanted() -> None:
    wants = wants_of()
    wants.add([7, "WINDOW", "NSE:INFY", 8], "full", ANYWHERE, {2, 408065, 8})
    assert wants.modes() == {7: "full", 1: "full", 3: "full"}


def test_a_form_that_follows_is_given_up_by_itself_alone() -> None:
    form = "NFO:NIFTY@weekly:atm+-1:CE"
    wants = Wants()
    wants.resolve({form: [1, 2, 3]})
    wants.add([form, 9], "quote", ANYWHERE, follow=True)
    wants.add([2], "full", ANYWHERE)
    wants.remove([1, 3])
    assert wants.modes() == {form: "quote", 9: "quote", 2: "full"} and wants.followed() == [form]
    wants.resolve({form: [3, 4, 5]})
    assert wants.tokens() == {2, 3, 4, 5, 9}
    wants.set_mode([form], "ltp")
    declare = wants.declare()
    assert declare.follow == {"ltp": [form]} and declare.wants == {"quote": [9], "full": [2]}
    wants.add([form], "ltp", Placement("hot"), follow=True)
    (placed,) = wants.subscriptions()
    assert placed.instruments == [form] and placed.follow and placed.priority == "hot"
    wants.remove([form])
    assert wants.modes() == {9: "quote", 2: "full"} and not wants.followed()


def test_what_stood_still_before_it_followed_goes_on() -> None:
    form = "NFO:NIFTY@weekly:atm+-1:CE"
    wants = Wants()
    wants.resolve({form: [1, 2]})
    wants.add([form], "full", ANYWHERE)
    wants.add([form], "quote", ANYWHERE, follow=True)
    assert wants.modes() == {form: "quote", 1: "full", 2: "full"}
    wants.add([form], "ltp", ANYWHERE)
    assert wants.modes() == {form: "ltp"} and not wants.followed()
    wants.add([form], "ltp", ANYWHERE, {2}, follow=True)
    assert not wants.followed(), "refused"


def test_a_name_that_nobody_resolved_is_only_itself() -> None:
    wants = wants_of(UNKNOWN="full")
    assert wants.tokens() == frozenset()
    wants.set_mode(["UNKNOWN"], "ltp")
    assert wants.modes() == {"UNKNOWN": "ltp"}
    wants.remove(["UNKNOWN"])
    assert len(wants) == 0


def test_declarations_and_placements() -> None:
    wants = wants_of()
    wants.add([1, 2], "full", ANYWHERE)
    wants.add([3], "ltp", Placement(priority="critical", account="b"))
    assert wants.declare().wants == {"full": [1, 2], "ltp": [3]}
    [placed] = wants.subscriptions()
    assert (placed.instruments, placed.mode, placed.account) == ([3], "ltp", "b")


FORMS = st.sampled_from([1, 2, 3, 4, "ONE", "TWO", "ALL"])
NAMES = {"ONE": [1], "TWO": [1, 2], "ALL": [1, 2, 3]}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "mode"]),
        st.lists(FORMS, max_size=3),
        st.sampled_from(["ltp", "quote", "full"]),
    ),
    max_size=12,
)


@given(STEPS)
def test_forms_mean_what_their_tokens_mean(steps: list[tuple[str, list[int | str], str]]) -> None:
    """A model that knows only tokens wants the same."""
    wants, model = Wants(), dict[int, str]()
    wants.resolve(NAMES)
    for action, forms, mode in steps:
        tokens = [t for form in forms for t in ([form] if isinstance(form, int) else NAMES[form])]
        if action == "add":
            wants.add(forms, mode, ANYWHERE)
            model |= dict.fromkeys(tokens, mode)
        elif action == "remove":
            wants.remove(forms)
            model = {token: m for token, m in model.items() if token not in tokens}
        else:
            wants.set_mode(forms, mode)
            model |= {token: mode for token in tokens if token in model}
        found = [(t, m) for form, m in wants.modes().items() for t in wants.tokens_of(form)]
        assert dict(found) == model
        assert all(model[token] == m for token, m in found)
