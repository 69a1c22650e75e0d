"""Log lines: shape, secrets, repeats, and a stderr that does not take them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator

import pytest

from pipeline.core import logs
from pipeline.core.secrets import Secret

CANARY = "cAnArYtOkEn0123456789abcdef"


class Pipe:
    """Our end of a pipe that stands for stderr."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)

    def text(self) -> str:
        try:
            return os.read(self.read_end, 1 << 20).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        for descriptor in (self.read_end, self.write_end):
            os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    pipe = Pipe()
    yield pipe
    root.handlers[:] = handlers
    root.setLevel(level)
    pipe.close()


@pytest.fixture
def start(pipe: Pipe) -> Callable[..., logs.StderrHandler]:
    def run(level: str = "debug", log_format: str = "text") -> logs.StderrHandler:
        return logs.set_up(
            role="feed", level=level, log_format=log_format, descriptor=pipe.write_end
        )

    return run


Start = Callable[..., logs.StderrHandler]


def test_line_has_time_level_role_and_connection(pipe: Pipe, start: Start) -> None:
    start()
    logs.get_logger("pipeline.feed", connection=2).warning("stalled for %d s", 5)
    line = pipe.text()
    assert line.endswith("Z warning [feed c2] stalled for 5 s\n")
    assert line[10] == "T"


def test_json_line(pipe: Pipe, start: Start) -> None:
    start(log_format="json")
    logs.get_logger("pipeline.feed", connection=2).info("live")
    fields = json.loads(pipe.text())
    assert (fields["level"], fields["role"], fields["connection"]) == ("info", "feed", 2)
    assert fields["message"] == "live" and fields["pid"] == os.getpid()


def test_level(pipe: Pipe, start: Start) -> None:
    start(level="warning")
    logs.get_logger("pipeline.x").info("unheard")
    assert pipe.text() == ""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_are_hidden_everywhere(pipe: Pipe, start: Start, log_format: str) -> None:
    start(log_format=log_format)
    Secret(CANARY)
    log = logs.get_logger("pipeline.x")
    log.info("token %s", CANARY)
    log.error("in the template " + CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError:
        log.exception("with a traceback")
    logging.getLogger("some.library").warning("header %s", CANARY)
    text = pipe.text()
    assert text.count("\n") == 4
    assert CANARY not in text and "***" in text


def test_debug_lines_of_libraries_are_not_heard(pipe: Pipe, start: Start) -> None:
    start(level="debug")
    logging.getLogger("websocket").debug("--- request header ---")
    logging.getLogger("urllib3.connectionpool").info("connecting")
    logging.getLogger("pipelineother").debug("not ours")
    assert pipe.text() == ""


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("text", ["x" * 10_000, "ü" * 10_000, '"\n' * 10_000])
def test_lines_fit_a_pipe_and_say_that_they_were_cut(
    pipe: Pipe, start: Start, log_format: str, text: str
) -> None:
    start(log_format=log_format)
    logs.get_logger("pipeline.x").info("%s", text)
    line = pipe.text()
    assert line.count("\n") == 1
    assert len(line.encode()) <= logs.LINE_BYTES_MAX
    assert "[cut]" in line


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_repeats_are_one_line_with_a_count(
    pipe: Pipe, start: Start, monkeypatch: pytest.MonkeyPatch, log_format: str
) -> None:
    now = 10**12
    monkeypatch.setattr(logs, "monotonic_ns", lambda: now)
    start(log_format=log_format)
    log = logs.get_logger("pipeline.x", connection=1)
    for number in range(100):
        log.warning("bad frame %d", number)
    logs.get_logger("pipeline.x", connection=2).warning("bad frame %d", 0)
    now += logs.REPEAT_INTERVAL_NS
    log.warning("bad frame %d", 100)  # the second begins with the count of the one before
    now += 2 * logs.REPEAT_INTERVAL_NS
    log.warning("bad frame %d", 101)  # it was over, and so this is told at once again
    lines = pipe.text().splitlines()
    if log_format == "json":
        found = [(json.loads(x)["message"], json.loads(x).get("repeats")) for x in lines]
        assert found == [
            ("bad frame 0", None),
            ("bad frame 0", None),
            ("bad frame 99", 99),
            ("bad frame 100", 1),
            ("bad frame 101", None),
        ]
    else:
        assert [line.partition("] ")[2] for line in lines] == [
            "bad frame 0",
            "bad frame 0",
            "bad frame 99 (one of 99 like it)",
            "bad frame 100",
            "bad frame 101",
        ]


def test_what_goes_on_is_told_less_and_less_often_and_its_end_is_told(
    pipe: Pipe, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 10**12
    monkeypatch.setattr(logs, "monotonic_ns", lambda: now)
    handler = start()
    log = logs.get_logger("pipeline.x")
    told: list[float] = []
    for tenth in range(1000):
        log.warning("bad frame %d", tenth)
        told += [tenth / 10] * pipe.text().count("\n")
        now += logs.REPEAT_INTERVAL_NS // 10
    assert told == [0, 1, 5, 21, 51, 81]
    handler.tell_repeats(now + logs.REPEAT_INTERVAL_NS)
    assert pipe.text() == ""
    handler.tell_repeats(now + logs.REPEAT_SILENCE_NS)
    assert "bad frame 999 (one of 190 like it)" in pipe.text()
    handler.tell_repeats(now + logs.REPEAT_INTERVAL_NS_MAX)
    assert pipe.text() == ""


def test_news_that_go_on_are_one_line_a_second(
    pipe: Pipe, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 10**12
    monkeypatch.setattr(logs, "monotonic_ns", lambda: now)
    start()
    for _ in range(5000):  # ten seconds
        logs.get_logger("pipeline.x").info("a connection is live")
        now += 2_000_000
    assert pipe.text().count("\n") == 10


def test_news_with_other_numbers_are_not_repeats(pipe: Pipe, start: Start) -> None:
    start()
    for number in range(3):
        logging.getLogger("pipeline.x").info("connection %d is live", number)
    assert pipe.text().count("\n") == 3


def test_what_was_held_back_is_told_at_the_end(pipe: Pipe, start: Start) -> None:
    handler = start()
    for _ in range(3):
        logging.getLogger("pipeline.x").warning("again %s", "x" * 5000)
    assert pipe.text().count("\n") == 1
    handler.flush()
    line = pipe.text()
    assert line.endswith("(one of 2 like it)\n") and len(line) <= logs.LINE_BYTES_MAX
    handler.flush()
    assert pipe.text() == ""


def test_full_stderr_drops_and_counts(
    pipe: Pipe, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "REPEAT_INTERVAL_NS", 0)
    handler = start()
    log = logs.get_logger("pipeline.x")
    for _ in range(100):
        log.info("%s", "x" * 3000)
    assert handler.dropped > 0
    written = pipe.text()
    assert written.endswith("\n")
    assert written.count("\n") == 100 - handler.dropped


def test_closed_stderr_is_no_error(start: Start) -> None:
    handler = start()
    reader, writer = os.pipe()
    os.close(reader)
    handler.descriptor = writer
    logs.get_logger("pipeline.x").info("nobody reads")
    os.close(writer)
    logs.get_logger("pipeline.x").error("nobody can")
    assert handler.dropped == 2


def test_memory_of_distinct_messages_is_bounded(start: Start) -> None:
    handler = start()
    for number in range(1000):
        logging.getLogger("pipeline.x").debug(f"message {number}")
    assert len(handler._seen) <= 256


def test_a_library_is_redacted_for_handlers_that_are_not_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("chatty.library")
    logs.redact_library("chatty.library", "chatty.library")
    assert len(logger.filters) == 1
    Secret("canary0of0a0library")
    with caplog.at_level(logging.DEBUG):
        logger.debug("GET %s", "/x?token=canary0of0a0library")
    assert "GET /x?token=***" in caplog.text
    logger.filters.clear()


def test_a_terminal_is_told_and_nothing_that_keeps_it(pipe: Pipe) -> None:
    logs.tell_terminal("for a person", pipe.write_end)
    assert pipe.text() == ""
    reader, terminal = os.openpty()
    try:
        logs.tell_terminal("for a person", terminal)
        assert os.read(reader, 100).strip() == b"for a person"
    finally:
        os.close(reader)
        os.close(terminal)
    logs.tell_terminal("to nobody", terminal)
