import math

import pytest

from multiview.errors import InputError
from multiview.review.verdicts import Press, after, bad_views, seconds_left, tidy


def said(deed, old, camera=""):
    return after(Press("p", deed, (7,), camera), {7: old, 8: "ok"}).get(7, old)


@pytest.mark.parametrize("old", ["", "ok", "bad", "bad cam01"])
def test_rejecting_is_about_the_whole_frame(old):
    assert said("reject", old) == "bad"


def test_accepting_keeps_single_views_rejected():
    assert [said("accept", old) for old in ("", "bad", "bad cam01")] == ["ok", "ok", "bad cam01"]


def test_a_view_named_twice_is_taken_back():
    once = said("view", "ok", "cam02")
    assert once == "bad cam02"
    assert said("view", once, "cam01") == "bad cam01 cam02"
    assert said("view", once, "cam02") == ""


def test_only_what_changes_is_told():
    assert after(Press("p", "accept", (7, 8, 9)), {7: "", 8: "ok"}) == {7: "ok"}


@pytest.mark.parametrize(
    ("deed", "camera"), [("view", ""), ("accept", "cam00"), ("drop", ""), ("view", "cam 1")]
)
def test_a_press_of_no_sense_is_refused(deed, camera):
    with pytest.raises(InputError):
        Press("p", deed, (1,), camera)


def test_spelling_of_verdicts():
    assert tidy("  BAD cam02   cam01 cam02 ") == "bad cam01 cam02"
    assert bad_views("bad cam01 cam02") == ("cam01", "cam02")
    assert bad_views("bad") == bad_views("ok") == bad_views("") == ()


@pytest.mark.parametrize("text", ["good", "ok cam01", "bad cam09"])
def test_what_is_no_verdict_is_refused(text):
    with pytest.raises(InputError, match="no verdict"):
        tidy(text, ("cam01", "cam02"))


def test_time_left_is_at_the_pace_of_the_last_frames_without_pauses():
    assert seconds_left([0.0, 1.0, 3.0, 500.0, 501.5], 10) == pytest.approx(15.0)
    assert math.isnan(seconds_left([4.0], 3))
    assert math.isnan(seconds_left([], 0))
