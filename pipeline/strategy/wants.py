"""What one client wants, in the forms in which it was said. Floor 3; pure.

The control process resolves names and answers with their tokens. They are kept, so that what was
wanted by a name and is given up by its token is not wanted again after a restart of the control
process. Names stay names: what they stand for may change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.core.control import Declare, Instrument, Subscribe
from pipeline.core.forms import follows_price


class Placement(NamedTuple):
    """What a subscription says beside instruments and mode; see `control.Subscribe`."""

    priority: str = "warm"
    account: str | None = None
    connection: int | None = None
    group: str | None = None


_ANYWHERE = Placement()


class _Want(NamedTuple):
    mode: str
    placement: Placement
    follow: bool = False


class Wants:
    """Instruments with mode and placement, by form; not for two threads at once."""

    def __init__(self) -> None:
        self._wants: dict[Instrument, _Want] = {}
        self._tokens: dict[str, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self._wants)

    def modes(self) -> dict[Instrument, str]:
        """Return {form: mode}."""
        return {form: want.mode for form, want in self._wants.items()}

    def tokens(self) -> frozenset[int]:
        """Return the tokens of all forms, of names as they were answered last."""
        return frozenset(token for form in self._wants for token in self.tokens_of(form))

    def tokens_of(self, form: Instrument) -> tuple[int, ...]:
        """Return the tokens that a form stands for; none of a name that was not resolved."""
        return (form,) if isinstance(form, int) else self._tokens.get(form, ())

    def resolve(self, tokens: Mapping[str, Sequence[int]]) -> None:
        """Keep what names stand for."""
        self._tokens |= {form: tuple(found) for form, found in tokens.items()}

    def add(
        self, forms: Iterable[Instrument], mode: str, placement: Placement,
        refused: Collection[Instrument] = (), *, follow: bool = False,
    ) -> None:  # fmt: skip
        """Want these but those that were refused, in that mode, from now on.

        follow: those with `atm` are windows, which move; they are given up by their form alone.
        """
        forms = list(forms)
        windows = {form for form in forms if follow and follows_price(form)}
        left_out = set(refused)
        accepted = [
            found
            for form in forms
            if form not in windows
            for found in self._accepted(form, left_out)
        ]
        self._take_out(accepted)
        self._wants |= dict.fromkeys(accepted, _Want(mode, placement))
        for form in windows:
            if left_out.isdisjoint((form, *self.tokens_of(form))):
                self._follow(form, _Want(mode, placement, follow=True))

    def _follow(self, form: Instrument, want: _Want) -> None:
        """Have a form follow; what it stood for before goes on being wanted, as tokens."""
        before = self._wants.get(form)
        self._wants[form] = want
        if before is not None and not before.follow:
            for token in self.tokens_of(form):
                self._wants.setdefault(token, before)

    def _accepted(self, form: Instrument, refused: set[Instrument]) -> Iterable[Instrument]:
        tokens = self.tokens_of(form)
        if form in refused:
            return ()
        if refused.isdisjoint(tokens):
            return (form,)
        return [token for token in tokens if token not in refused]

    def remove(self, forms: Iterable[Instrument]) -> None:
        """Do not want these any more, by whatever form they were wanted."""
        self._take_out(forms)

    def set_mode(self, forms: Iterable[Instrument], mode: str) -> None:
        """Want those of these that are wanted in another mode."""
        for form, want in self._take_out(forms).items():
            self._wants[form] = want._replace(mode=mode)

    def _take_out(self, forms: Iterable[Instrument]) -> dict[Instrument, _Want]:
        """Take out what these forms mean; what a name means beyond them stays, as tokens."""
        given = set(forms)
        taken = {form: self._wants.pop(form) for form in given & self._wants.keys()}
        tokens = {token for form in given for token in self.tokens_of(form)}
        split = [
            form
            for form, want in self._wants.items()
            if not want.follow and not tokens.isdisjoint(self.tokens_of(form))
        ]
        for form in split:
            want = self._wants.pop(form)
            for token in self.tokens_of(form):
                (taken if token in tokens else self._wants).setdefault(token, want)
        return taken

    def declare(self) -> Declare:
        """Return all of it as one request."""
        wants: dict[str, list[Instrument]] = {}
        follow: dict[str, list[str]] = {}
        for form, want in self._wants.items():
            if want.follow:
                follow.setdefault(want.mode, []).append(str(form))
            else:
                wants.setdefault(want.mode, []).append(form)
        return Declare(wants=wants, follow=follow)

    def followed(self) -> list[str]:
        """Return the forms that follow their underlying."""
        return [str(form) for form, want in self._wants.items() if want.follow]

    def subscriptions(self) -> list[Subscribe]:
        """Return, for each mode and placement, what has a placement of its own."""
        groups: dict[_Want, list[Instrument]] = {}
        for form, want in self._wants.items():
            if want.placement != _ANYWHERE:
                groups.setdefault(want, []).append(form)
        return [
            Subscribe(
                instruments=forms, mode=want.mode, follow=want.follow, **want.placement._asdict()
            )
            for want, forms in groups.items()
        ]
