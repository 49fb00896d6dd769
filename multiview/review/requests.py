"""What a request to the page may ask, decided before anything is done for it."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multiview.errors import InputError
from multiview.review.verdicts import DEEDS

__all__ = ["HEADERS", "MOST_BYTES", "Refusal", "Route", "parse_presses", "route"]

# Of a request's body: a thousand presses, each about a thousand frames, are smaller.
MOST_BYTES = 8 << 20
# Of places and changes; SQLite's integers end at the same.
MOST_NUMBER = 1 << 63
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Refusal(Exception):
    """A request that is not served.

    Parameters
    ----------
    status
        HTTP status.
    why
        A sentence.
    """

    def __init__(self, status: int, why: str) -> None:
        self.status, self.why = status, why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Route:
    """What is asked for: ``page``, ``press``, or ``montage`` of the frame at place ``number``."""

    what: str
    number: int = 0


def route(method: str, path: str, headers: Mapping[str, str], token: str, port: int) -> Route:
    """Decide what a request asks for.

    A page of another site can make a browser send requests here: one that came under another name
    (``Host``; a name server may point any at 127.0.0.1), or from another page (``Origin``), is
    refused, and so is one without the token. The rest of the path is a word and a number: it
    never names a file.

    Raises
    ------
    Refusal
        403, 404 or 405.
    """
    names = {f"{host}:{port}" for host in ("127.0.0.1", "localhost")}
    if headers.get("Host", "") not in names:
        raise Refusal(403, "this server answers to 127.0.0.1 and localhost only")
    origin = headers.get("Origin")
    if origin is not None and origin not in {f"http://{name}" for name in names}:
        raise Refusal(403, "this request came from another page")
    given, _, rest = path.removeprefix("/").partition("/")
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise Refusal(403, "open the whole address that multiview review printed")
    found = re.fullmatch(r"(?:(press)|(montage)/([0-9]{1,12}))?", rest)
    if found is None:
        raise Refusal(404, "there is nothing here")
    what = found[1] or found[2] or "page"
    if method != ("POST" if what == "press" else "GET"):
        raise Refusal(405, "not this way")
    return Route(what, int(found[3] or 0))


def parse_presses(body: bytes) -> tuple[list[int], list[dict[str, Any]]]:
    """Read presses that a page sends.

    Returns
    -------
    since, presses
        The last change that the page knows of in each folder, and presses with ``name``,
        ``deed``, ``places`` in the list of frames, and ``camera``.

    Raises
    ------
    Refusal
        400: it is none of ours.
    """
    try:
        data = json.loads(body)
        presses = [_press(p) for p in data["presses"]]
        return [_number(n) for n in data["since"]], presses
    except (ValueError, KeyError, TypeError, OverflowError, InputError, RecursionError):
        raise Refusal(400, "these are no presses") from None


def _press(data: dict[str, Any]) -> dict[str, Any]:
    name, deed, camera = str(data["name"]), str(data["deed"]), str(data.get("camera") or "")
    places = [_number(p) for p in data.get("places", ())]
    if not re.fullmatch(r"[0-9A-Za-z-]{1,64}", name) or deed not in DEEDS:
        raise ValueError(name)
    if bool(camera) != (deed == "view"):
        raise ValueError(deed)
    return {"name": name, "deed": deed, "places": places, "camera": camera}


def _number(value: Any) -> int:
    number = int(value)
    if not 0 <= number < MOST_NUMBER:
        raise ValueError(number)
    return number
