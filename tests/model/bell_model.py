"""The bell as a state graph: writers that ring, readers that sleep, and their store buffers.

A store waits in its thread's buffer until it drains; stores to different words drain in any order,
a release store after all that stand before it. A full fence, an atomic addition with release and
a system call wait until the buffer is empty. FUTEX_WAIT looks at the word and falls asleep at one
instant; FUTEX_WAKE wakes all. There are no timeouts here: a sleeper whom nobody wakes sleeps on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple


class Rules(NamedTuple):
    """The rules of the bell; a test leaves out one, or lets writers die."""

    writer_fence: bool = True
    reader_fence: bool = True
    clear_before_word: bool = True
    word_before_look: bool = True
    second_look: bool = True
    writers_may_die: bool = False


class Pending(NamedTuple):
    """A store that nobody else sees yet."""

    word: str
    value: int
    release: bool


class Thread(NamedTuple):
    """A writer or a reader: where it stands, what it remembers, and its buffer."""

    at: str
    seen: int = 0
    buffer: tuple[Pending, ...] = ()


class State(NamedTuple):
    memory: tuple[tuple[str, int], ...]
    threads: tuple[Thread, ...]


ENDED: Final = ("done", "asleep", "dead")


class Bell:
    """`writers` ring once each, and `readers` wait until they have seen every tail."""

    def __init__(self, rules: Rules, *, writers: int, readers: int) -> None:
        self.rules = rules
        self.writers = writers
        self.tails = [f"tail{i}" for i in range(writers)]
        memory = dict.fromkeys([*self.tails, "word", "sleepers"], 0)
        self.awake = Thread("word" if rules.word_before_look else "first look")
        threads = [Thread("tail")] * writers + [self.awake] * readers
        self.first = State(tuple(sorted(memory.items())), tuple(threads))

    def sleepers_forever(self) -> list[State]:
        """Return the states in which nothing can happen any more and a reader is asleep."""
        seen = {self.first}
        pending = [self.first]
        stuck = []
        while pending:
            state = pending.pop()
            following = list(self._following(state))
            if not following and any(t.at == "asleep" for t in state.threads):
                stuck.append(state)
            for each in following:
                if each not in seen:
                    seen.add(each)
                    pending.append(each)
        self.states = len(seen)
        return stuck

    def _following(self, state: State) -> Iterator[State]:
        for number, thread in enumerate(state.threads):
            yield from self._drained(state, number, thread)
            if thread.at in ENDED:
                continue
            if number < self.writers:
                yield from self._writer(state, number, thread)
                if self.rules.writers_may_die:
                    yield _with(state, number, thread._replace(at="dead"))
            else:
                yield from self._reader(state, number, thread)

    def _drained(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        for i, store in enumerate(thread.buffer):
            before = thread.buffer[:i]
            if before and (store.release or any(other.word == store.word for other in before)):
                continue
            memory = dict(state.memory) | {store.word: store.value}
            rest = thread._replace(buffer=before + thread.buffer[i + 1 :])
            yield _with(state._replace(memory=tuple(sorted(memory.items()))), number, rest)

    def _writer(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        clear_first = self.rules.clear_before_word
        if thread.at == "tail":
            after = "fence" if self.rules.writer_fence else "look"
            yield _with(state, number, _stored(thread, f"tail{number}", 1, after, release=True))
        elif thread.at == "look":
            rings = _read(state, thread, "sleepers")
            begin = "clear" if clear_first else "add"
            yield _with(state, number, thread._replace(at=begin if rings else "done"))
        elif thread.at == "clear":
            after = "add" if clear_first else "wake"
            yield _with(state, number, _stored(thread, "sleepers", 0, after))
        elif not thread.buffer:
            yield from self._writer_with_empty_buffer(state, number, thread)

    def _writer_with_empty_buffer(
        self, state: State, number: int, thread: Thread
    ) -> Iterator[State]:
        if thread.at == "fence":
            yield _with(state, number, thread._replace(at="look"))
        elif thread.at == "add":
            memory = dict(state.memory)
            memory["word"] += 1
            after = "wake" if self.rules.clear_before_word else "clear"
            added = state._replace(memory=tuple(sorted(memory.items())))
            yield _with(added, number, thread._replace(at=after))
        elif thread.at == "wake":
            woken = tuple(self.awake if t.at == "asleep" else t for t in state.threads)
            yield _with(state._replace(threads=woken), number, thread._replace(at="done"))

    def _reader(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        word_first = self.rules.word_before_look
        if thread.at == "word":
            after = "first look" if word_first else "sleep"
            yield _with(state, number, Thread(after, _read(state, thread, "word"), thread.buffer))
        elif thread.at in ("first look", "second look"):
            all_seen = all(_read(state, thread, tail) for tail in self.tails)
            after = "mark" if thread.at == "first look" else "sleep" if word_first else "word"
            yield _with(state, number, thread._replace(at="done" if all_seen else after))
        elif thread.at == "mark":
            look = "second look" if self.rules.second_look else "sleep"
            after = "fence" if self.rules.reader_fence else look
            yield _with(state, number, _stored(thread, "sleepers", 1, after))
        elif thread.at == "fence" and not thread.buffer:
            look = "second look" if self.rules.second_look else "sleep"
            yield _with(state, number, thread._replace(at=look))
        elif thread.at == "sleep" and not thread.buffer:
            asleep = _read(state, thread, "word") == thread.seen
            yield _with(state, number, Thread("asleep") if asleep else self.awake)


def _read(state: State, thread: Thread, word: str) -> int:
    for store in reversed(thread.buffer):
        if store.word == word:
            return store.value
    return dict(state.memory)[word]


def _stored(thread: Thread, word: str, value: int, after: str, *, release: bool = False) -> Thread:
    return Thread(after, thread.seen, (*thread.buffer, Pending(word, value, release)))


def _with(state: State, number: int, thread: Thread) -> State:
    threads = (*state.threads[:number], thread, *state.threads[number + 1 :])
    return state._replace(threads=threads)
