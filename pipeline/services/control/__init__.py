"""The control process: who wants what, and which connection carries it. Floor 4.

Four sets are never mixed: desired (`ledger`) -> assigned (`pool`, the assignment tables) -> wire
(the feeds) -> confirmed (the decoders). It sits on no data path: when it dies, everything goes on
as it was, and its successor adopts the tables as they are.
"""
