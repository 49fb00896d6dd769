"""The page in a browser: real keys, a phone, light and dark."""

import sys
from pathlib import Path

import pytest
from viz_scenes import FRAMES, small_scene

sys.path.append(str(Path(__file__).parents[1]))
from browser import browser, press, wait

from multiview.viz.web_page import web_page

RIGHT, LEFT, DOWN, HOME, END, SHIFT = "\ue014", "\ue012", "\ue015", "\ue011", "\ue010", "\ue008"
# W3C's contrast of two colours of the page; 4.5 is what its guidelines ask of text.
CONTRAST = """
const light = text => { const c = text.match(/[0-9.]+/g).slice(0, 3).map(x => x/255)
  .map(x => x <= 0.03928 ? x/12.92 : ((x + 0.055)/1.055)**2.4);
  return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2]; };
const of = (e, what) => light(getComputedStyle(document.querySelector(e))[what]);
return arguments[0].map(([text, under]) => {
  const [a, b] = [of(text, 'color'), of(under, 'backgroundColor')].sort((x, y) => y - x);
  return (a + 0.05)/(b + 0.05); });
"""
TEXTS = [["#title", "header"], ["#help", "header"], ["#where", "footer"], ["#key", "body"]]
TEXTS += [["#read", "body"], ["#play", "#play"], ["#note", "header"]]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "run.html"
    path.write_text(web_page(small_scene()), encoding="utf-8")
    return path.as_uri()


def opened(driver, page, where=""):
    driver.get(f"{page}#{where}")
    wait(driver, "document.body.dataset.ready", "1")


def test_keys_step_play_and_leave_the_fields_theirs(page):
    with browser() as driver:
        opened(driver, page)
        frame = "Number(document.body.dataset.frame)"
        press(driver, RIGHT, RIGHT, RIGHT, LEFT)
        wait(driver, frame, 2)
        press(driver, END)
        wait(driver, frame, FRAMES - 1)
        press(driver, LEFT, held=SHIFT)
        wait(driver, frame, FRAMES - 11)
        press(driver, HOME)
        wait(driver, frame, 0)
        driver.execute_script("document.getElementById('color').focus()")
        press(driver, DOWN, RIGHT)  # of the list, not of time
        wait(driver, "document.getElementById('color').value", "confidence")
        driver.execute_script("document.getElementById('pics').focus()")
        press(driver, " ")
        wait(driver, "document.getElementById('pics').checked", False)
        wait(driver, "[playing, frame]", [False, 0])
        driver.execute_script("document.activeElement.blur()")
        press(driver, " ")
        wait(driver, "playing")
        press(driver, "h")
        wait(driver, "eye.away < start.away / 3")
        asked = "performance.getEntriesByType('resource').filter(e => !/^data:/.test(e.name))"
        wait(driver, f"{asked}.length", 0)


def test_a_phone_has_room_for_hands_and_two_fingers_zoom(page):
    for size in ((390, 844), (844, 390)):
        with browser(*size, phone=True) as driver:
            opened(driver, page)
            wait(driver, "document.documentElement.scrollWidth <= innerWidth")
            wide, tall = driver.execute_script("return [view.clientWidth, view.clientHeight]")
            assert wide > 0.75 * size[0]
            assert tall > 0.5 * size[1]
            assert driver.execute_script("return document.querySelector('#where').clientWidth") > 60
            middle = size[0] * 0.4
            for n, gap in enumerate((40, 60, 80)):
                fingers = [
                    {"x": middle + s * gap, "y": 200, "id": i} for i, s in enumerate((-1, 1))
                ]
                given = {"type": "touchMove" if n else "touchStart", "touchPoints": fingers}
                driver.execute_cdp_cmd("Input.dispatchTouchEvent", given)
            wait(driver, "Math.round(start.away/eye.away*100)/100", 2)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_words_are_legible_in_the_dark_and_in_the_light(page, scheme):
    with browser(scheme=scheme) as driver:
        opened(driver, page)
        ratios = driver.execute_script(CONTRAST, TEXTS)
        assert min(ratios) >= 4.5, dict(zip(map(str, TEXTS), ratios, strict=True))
        dark = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (int(dark[4:7].strip(",")) < 50) == (scheme == "dark")
