"""Until when instruments ticked that have changed their connection with a break. Floor 4.

Where no other connection goes on with an instrument that one loses, whichever ticks first ends a
gap of it: its row says when that began (`Row.left_mono_ns`), and until there is a row, this does. A
connection on which nothing came hands on the older time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.services.control.links import Link
from pipeline.services.control.surroundings import Surroundings


class Absences:
    """The breaks of one pool; `links` are its connections, by number.

    `left_mono_ns`: of what is wanted and has no row any more, until when its last connection was
    decoded.
    """

    def __init__(self, links: Mapping[int, Link], outside: Surroundings) -> None:
        self.left_mono_ns: dict[int, int] = {}
        self._links = links
        self._outside = outside

    def begin(self, token: int) -> int:
        """Return since when an instrument that gets a row is on no connection; 0 = it is on one."""
        return self.left_mono_ns.pop(token, 0) or self._left_elsewhere(token)

    def forget(self, token: int) -> None:
        """Take note that nobody wants an instrument any more."""
        self.left_mono_ns.pop(token, None)

    def had_until(self, token: int, link: Link, until_ns: int | None) -> int:
        """Return until when a connection had an instrument, or the one before it; 0 = none had.

        It had nothing of it after `until_ns`; None: it may have had.
        """
        row = link.rows[token]
        if not self._outside.has_ticked(link.number, token, row.slot):
            return row.left_mono_ns
        decoded_ns = self._outside.decoded_until(link.number)
        return decoded_ns if until_ns is None else min(decoded_ns, until_ns)

    def hand_on(self, token: int, left_ns: int) -> None:
        """Have whichever connection ticks next say until when the instrument did before."""
        others = [link for link in self._links.values() if token in link.rows]
        if not others:
            self.left_mono_ns[token] = left_ns
        if any(self._has_ticked(token, link) for link in others):
            return
        for link in others:
            row = link.rows[token]
            link.put(token, row._replace(left_mono_ns=max(left_ns, row.left_mono_ns)))

    def of(self, tokens: Iterable[int], placement: Mapping[int, int]) -> dict[int, int]:
        """Return until when each of these ticked that is on no connection, or on none yet."""
        found: dict[int, int] = {}
        for token in tokens:
            link = self._links.get(placement.get(token, -1))
            row = None if link is None else link.rows.get(token)
            left_ns = self.left_mono_ns.get(token, 0) if row is None else row.left_mono_ns
            if left_ns:
                found[token] = left_ns
        return found

    def _has_ticked(self, token: int, link: Link) -> bool:
        return self._outside.has_ticked(link.number, token, link.rows[token].slot)

    def _left_elsewhere(self, token: int) -> int:
        """Return what rows say of a gap that no tick has ended yet; 0 = there is none."""
        links = [link for link in self._links.values() if token in link.rows]
        left_ns = max((link.rows[token].left_mono_ns for link in links), default=0)
        if not left_ns or any(self._has_ticked(token, link) for link in links):
            return 0
        return left_ns
