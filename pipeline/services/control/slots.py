"""The slots of one decoder's latest table, and which instrument has which. Floor 4; pure.

A connection has slots beside each other, in blocks that are its own: what the decoder keeps by slot
for one connection's frame then lies on few pages and lines. Dealt out one by one in the order in
which instruments come, each connection's slots would be strewn over the whole table. An instrument
keeps its slot when it moves, wherever that is.

A slot that was given back is used again late, because others may still look at what is in it: first
come slots of blocks in which nobody has any (the block that was emptied last comes last), and then
those that were given back longest ago, whoever's block they are in.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

#: Of 704 bytes each, these are eleven whole pages.
BLOCK: Final = 64


class Slots:
    """The slots of one decoder; each is an instrument's, for as many connections as carry it."""

    def __init__(self, count: int, *, block: int = BLOCK) -> None:
        self._count = count
        self._block = block
        self._slots: dict[int, int] = {}
        self._users: dict[int, int] = {}
        # A free slot is in just one of these: blocks that are nobody's, what is left to a
        # connection of its blocks, and what was given back in any of them.
        blocks = range(-(-count // block))
        self._unowned = OrderedDict((number, list(self._range(number))) for number in blocks)
        self._left: dict[int, OrderedDict[int, None]] = {}
        self._given_back: OrderedDict[int, None] = OrderedDict()
        # The turn in which each was given back last, whichever of those it is in; 0 = it never was.
        self._turns = [0] * count
        self._turn = 0
        self._owners: dict[int, int] = {}
        self._in_use = [0] * len(blocks)

    def take(self, token: int, connection: int) -> int:
        """Return the instrument's slot, for one connection more that carries it."""
        if token not in self._slots:
            self._assign(token, self._choose(connection))
        self._users[token] = self._users.get(token, 0) + 1
        return self._slots[token]

    def give_back(self, token: int) -> None:
        """Take note that a connection does not carry the instrument any more."""
        self._users[token] -= 1
        if self._users[token]:
            return
        del self._users[token]
        slot = self._slots.pop(token)
        self._turn += 1
        self._turns[slot] = self._turn
        self._given_back[slot] = None
        block = slot // self._block
        self._in_use[block] -= 1
        if not self._in_use[block]:
            self._disown(block)

    def adopt(self, token: int, slot: int, connection: int) -> bool:
        """Note a use that is there already; False if the slot is another instrument's."""
        if self._slots.get(token, slot) != slot:
            return False
        if token not in self._slots:
            if not self._pick(slot, connection):
                return False
            self._assign(token, slot)
        self._users[token] = self._users.get(token, 0) + 1
        return True

    def has(self, token: int) -> bool:
        """Whether the instrument has a slot."""
        return token in self._slots

    @property
    def free(self) -> int:
        """How many are left."""
        return self._count - len(self._slots)

    def _assign(self, token: int, slot: int) -> None:
        self._slots[token] = slot
        self._in_use[slot // self._block] += 1

    def _choose(self, connection: int) -> int:
        """Take a free slot: of its own blocks, of a new one, or of anybody's; KeyError: none."""
        if connection not in self._left and self._unowned:
            self._own(next(iter(self._unowned)), connection)
        if not self._left:
            return self._given_back.popitem(last=False)[0]
        owner = connection if connection in self._left else next(iter(self._left))
        slot = next(iter(self._left[owner]))
        self._discard_left(owner, slot)
        return slot

    def _discard_left(self, connection: int, slot: int) -> bool:
        """Take a slot from what is left to a connection; return whether it was there."""
        left = self._left.get(connection)
        if left is None or slot not in left:
            return False
        del left[slot]
        if not left:
            del self._left[connection]
        return True

    def _pick(self, slot: int, connection: int) -> bool:
        """Take that very slot, with its block if that is nobody's; False if it is not free."""
        if not 0 <= slot < self._count:
            return False
        block = slot // self._block
        if block in self._unowned:
            self._own(block, connection)
        if slot in self._given_back:
            del self._given_back[slot]
            return True
        return self._discard_left(self._owners[block], slot)

    def _own(self, block: int, connection: int) -> None:
        """Have a block be a connection's, whose slots come after what it has left."""
        self._owners[block] = connection
        left = self._left.setdefault(connection, OrderedDict())
        left.update(dict.fromkeys(self._unowned.pop(block)))

    def _disown(self, block: int) -> None:
        """Have a block be nobody's; of its slots come first those that were free for longest."""
        owner = self._owners.pop(block)
        for slot in self._range(block):
            self._discard_left(owner, slot)
            self._given_back.pop(slot, None)
        self._unowned[block] = sorted(self._range(block), key=self._turns.__getitem__)

    def _range(self, block: int) -> range:
        first = block * self._block
        return range(first, min(first + self._block, self._count))
