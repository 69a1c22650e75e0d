"""A foreign client in a process of its own: told what to do by lines of JSON, and heard."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections import defaultdict
from types import TracebackType
from typing import Any, Self

from tests.conftest import wait_until

DEADLINE_S = 60.0


class Session:
    """A context: a program that calls a client library; what that tells is kept by kind.

    The program reads `[function, argument, ...]` and writes `[kind, value]`; an answer is of the
    kind "answer". It gets the address and the key by its environment.
    """

    def __init__(self, line: list[str], url: str, key: str, **environment: str) -> None:
        self.messages: defaultdict[str, list[Any]] = defaultdict(list)
        found = {**os.environ, "OPENALGO_API_KEY": key, "OPENALGO_URL": url, **environment}
        found.pop("PYTHONPATH", None)
        self._process = subprocess.Popen(
            line, env=found, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(DEADLINE_S if error is None else 0.1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join()
        process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            kind, value = json.loads(line)
            self.messages[kind].append(value)

    def say(self, function: str, *arguments: object) -> None:
        """Have a function of the library called."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([function, *arguments]) + "\n")
        self._process.stdin.flush()

    def call(self, function: str, *arguments: object) -> Any:
        """Have a function called, and return what it returned."""
        answers = self.messages["answer"]
        self.say(function, *arguments)
        wait_until(lambda: answers, timeout_s=DEADLINE_S, what=f"an answer to {function}")
        return answers.pop()

    def wait_for(self, kind: str, more: int) -> None:
        """Wait for so many further messages of a kind."""
        found = self.messages[kind]
        least = len(found) + more
        wait_until(lambda: len(found) >= least, timeout_s=DEADLINE_S, what=f"{more} of {kind}")

    def counts(self) -> dict[str, int]:
        """Return how many messages there are of each kind."""
        return {kind: len(found) for kind, found in self.messages.items()}
