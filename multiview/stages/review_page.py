"""`multiview review`: the verification page, served to this computer only.

The standard library's server: the page needs three kinds of request, its keys are handled in the
browser, and nothing but 127.0.0.1 is ever listened to.
"""

from __future__ import annotations

import errno
import json
import secrets
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from multiview.errors import InputError, MultiviewError
from multiview.progress import say
from multiview.review.requests import HEADERS, MOST_BYTES, Refusal, Route, parse_presses, route
from multiview.stages.review_session import ReviewSession, label_folders

__all__ = ["ReviewServer", "run_review"]

LOOPBACK = "127.0.0.1"
# Connections that say nothing are closed after this.
IDLE_S = 60


class ReviewServer(ThreadingHTTPServer):
    """The page of a session.

    Parameters
    ----------
    session
        What is looked at.
    port
        Of 127.0.0.1; 0 takes a free one.

    Raises
    ------
    InputError
        If the port is taken or not allowed.
    """

    daemon_threads = True

    def __init__(self, session: ReviewSession, port: int) -> None:
        self.session, self.token = session, secrets.token_urlsafe(24)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            taken = getattr(error, "errno", 0) == errno.EADDRINUSE
            raise InputError(
                f"port {port}: {'another program listens there' if taken else error}",
                "give another: --port 0 takes a free one",
            ) from None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that hung up."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    server_version, sys_version = "multiview", ""
    protocol_version = "HTTP/1.1"
    # a reply is two writes; the second must not wait for the browser's acknowledgement
    disable_nagle_algorithm = True
    timeout = IDLE_S

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request of ours in the one way that all are answered."""
        self.close_connection = True
        self._json(code, {"why": "not this way"})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the addresses hold the token."""

    def _serve(self, method: str) -> None:
        try:
            server = self.server
            headers = {name.title(): value for name, value in self.headers.items()}
            if len(self.headers.get_all("Host", [])) != 1:
                raise Refusal(400, "one Host, please")
            asked = route(method, self.path, headers, server.token, server.server_port)
            self._answer(*_reply(server.session, asked, self._body()))
        except Refusal as refusal:
            self.close_connection = True
            self._json(refusal.status, {"why": refusal.why})
        except MultiviewError as error:
            self._json(503, {"why": f"{error.what}: {error.next_step}"})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        known = length.isdecimal() and "Transfer-Encoding" not in self.headers
        # a number of thousands of digits is none that Python reads
        if not known or len(length) > 9 or int(length) > MOST_BYTES:
            raise Refusal(413, "too much, or of unknown length")
        return self.rfile.read(int(length))

    def _json(self, status: int, data: dict[str, Any]) -> None:
        self._answer(status, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (HEADERS | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _reply(session: ReviewSession, asked: Route, body: bytes) -> tuple[int, bytes, dict[str, str]]:
    """Do what is asked for; return status, body and headers."""
    if asked.what == "page":
        nonce = secrets.token_urlsafe(16)
        policy = "default-src 'none'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        policy += f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'"
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
        return 200, _page(session.describe(), nonce).encode(), headers
    if asked.what == "montage":
        if asked.number >= len(session.places):
            raise Refusal(404, "there is no such frame")
        picture = session.montage(asked.number).read_bytes()
        headers = {"Content-Type": "image/jpeg", "Cache-Control": "private, max-age=3600"}
        return 200, picture, headers
    since, presses = parse_presses(body)
    answer = json.dumps(session.press(presses, since)).encode()
    return 200, answer, {"Content-Type": "application/json"}


def _page(data: dict[str, Any], nonce: str) -> str:
    """Fill the page in; names of cameras cannot end the script that holds them."""
    folder = files("multiview.review") / "data"
    text = (folder / "review.html").read_text(encoding="utf-8").replace("@NONCE@", nonce)
    head, _, tail = text.partition("@DATA@")
    tail = tail.replace("@SCRIPT@", (folder / "review.js").read_text(encoding="utf-8"))
    return head + json.dumps(data).replace("<", "\\u003c") + tail


def run_review(
    run: Path,
    *,
    order: str = "residual",
    port: int = 0,
    ready: Callable[[ReviewServer], None] | None = None,
) -> None:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    run
        Label folder, round of the loop, or the loop's run.
    order
        ``residual`` (worst first), ``score`` (best first) or ``time``.
    port
        Of 127.0.0.1; 0 takes a free one.
    ready
        Called with the server before it serves.

    Raises
    ------
    InputError
        If there are no labels, their verdicts cannot be opened, or the port is taken.
    """
    session = ReviewSession(label_folders(run), order)
    try:
        with ReviewServer(session, port) as server:
            session.start()
            said = session.describe()["frames"]
            waiting = sum(not frame["verdict"] for frame in said)
            say(f"review: {waiting} of {len(said)} frames wait for a verdict. Open in a browser:")
            say(f"  {server.url}")
            say(
                f"  from another computer, first there: ssh -L {server.server_port}:{LOOPBACK}:"
                f"{server.server_port} THIS_COMPUTER"
            )
            say("  every verdict is kept as it is given; Ctrl-C ends")
            if ready is not None:
                ready(server)
            server.serve_forever()
    except KeyboardInterrupt:
        say("review: verdicts are kept")
    finally:
        session.close()
