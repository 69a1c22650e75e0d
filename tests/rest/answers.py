"""An HTTP server on loopback that gives each request the next scripted answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

PATIENCE_S: Final = 30.0


@dataclass
class Answer:
    """What is answered; `status` 0 closes the connection without a word.

    With `release`, only once that is set.
    """

    status: int = 200
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    release: threading.Event | None = None


@dataclass
class Asked:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server:
    """The scripted answers still to come, and what has been asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[Answer] = []
        self.asked: list[Asked] = []
        self.lock = threading.Lock()


def success(data: object) -> Answer:
    return Answer(body=json.dumps({"status": "success", "data": data}).encode())


def failure(status: int, kind: str, message: str, **headers: str) -> Answer:
    document = {"status": "error", "message": message, "data": None, "error_type": kind}
    return Answer(status, json.dumps(document).encode(), headers=headers)


@contextmanager
def answering(*answers: Answer) -> Iterator[Server]:
    """Serve the answers in order; the last one again and again."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with server.lock:
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.asked.append(Asked(self.command, self.path, headers, body))
                few = len(server.answers) == 1
                chosen = server.answers[0] if few else server.answers.pop(0)
            if chosen.release is not None:
                chosen.release.wait(PATIENCE_S)
            if not chosen.status:
                self.close_connection = True
                return
            self.send_response_only(chosen.status)
            if chosen.content_type is not None:
                self.send_header("Content-Type", chosen.content_type)
            self.send_header("Content-Length", str(len(chosen.body)))
            for name, value in chosen.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(chosen.body)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    server = Server(f"http://127.0.0.1:{httpd.server_port}")
    server.answers = list(answers)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
