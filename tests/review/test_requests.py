import json

import pytest

from multiview.review.requests import Refusal, parse_presses, route

NUMBERS = [b'{"presses": [], "since": [%s]}' % n for n in (b"1e999", b"-1", b"9" * 30)]
GOOD = {"Host": "127.0.0.1:8000"}


def ask(path="/secret/", method="GET", headers=None):
    found = route(method, path, GOOD if headers is None else headers, "secret", 8000)
    return found.what, found.number


def test_what_is_served():
    assert ask() == ("page", 0)
    assert ask("/secret/montage/12") == ("montage", 12)
    assert ask("/secret/press", "POST", GOOD | {"Origin": "http://127.0.0.1:8000"})[0] == "press"
    assert ask(headers={"Host": "localhost:8000"})[0] == "page"


@pytest.mark.parametrize(
    ("status", "path", "method", "headers"),
    [
        (403, "/secret/", "GET", {"Host": "evil.example:8000"}),
        (403, "/secret/", "GET", {"Host": "127.0.0.1:80"}),
        (403, "/secret/", "GET", {}),
        (403, "/secret/press", "POST", GOOD | {"Origin": "http://evil.example"}),
        (403, "/secret/press", "POST", GOOD | {"Origin": "null"}),
        (403, "/", "GET", GOOD),
        (403, "/secre/", "GET", GOOD),
        (403, "/s\xe9cret/", "GET", GOOD),
        (404, "/secret/../../etc/passwd", "GET", GOOD),
        (404, "/secret/montage/../1", "GET", GOOD),
        (404, "/secret/montage/-1", "GET", GOOD),
        (404, "/secret/montage/\u0661", "GET", GOOD),
        (404, "/secret/press?x=1", "POST", GOOD),
        (405, "/secret/press", "GET", GOOD),
        (405, "/secret/", "POST", GOOD),
    ],
)
def test_what_is_refused(status, path, method, headers):
    with pytest.raises(Refusal) as refusal:
        ask(path, method, headers)
    assert refusal.value.status == status


def test_presses_are_read():
    sent = {"name": "p-1", "deed": "view", "places": [3], "camera": "cam00"}
    assert parse_presses(json.dumps({"since": [4], "presses": [sent]}).encode()) == ([4], [sent])


@pytest.mark.parametrize(
    "changed",
    [
        {"deed": "format"},
        {"places": [-1]},
        {"places": [10**30]},
        {"camera": ""},
        {"name": "a b"},
        {"places": "x"},
    ],
)
def test_presses_of_no_sense_are_refused(changed):
    sent = {"name": "p", "deed": "view", "places": [3], "camera": "cam00"} | changed
    with pytest.raises(Refusal):
        parse_presses(json.dumps({"since": [0], "presses": [sent]}).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{}", b"[" * 100_000, *NUMBERS])
def test_a_body_that_is_none_of_ours_is_refused(body):
    with pytest.raises(Refusal):
        parse_presses(body)
