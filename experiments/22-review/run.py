"""The review page in a real browser: key to picture, keys lost; and NiceGUI's keys beside it.

.venv/bin/pip install selenium nicegui       # Debian: apt-get install chromium chromium-driver
.venv/bin/python experiments/22-review/run.py [--nicegui PYTHON]
"""

import argparse
import json
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from multiview.core.samples import make_samples
from multiview.formats.samples_parquet import write_samples

HERE = Path(__file__).parent
VIEWS, FRAMES, PRESSES = 31, 100, 500
PACE_S, LOOK_S = 0.25, 1.0
CYCLE = "1213a"  # a view out, another, the first one in again, a third; then accept the rest


def make_labels(folder):
    """A label folder of 31 views; its pictures have the size and weight of a camera's."""
    rng = np.random.default_rng(0)
    base = cv2.resize(rng.integers(0, 256, (60, 80, 3), np.uint8), (640, 480))
    grain = np.clip(base + rng.normal(0, 6, base.shape), 0, 255).astype(np.uint8)
    hand = 60 * rng.standard_normal((21, 2)) + (320, 240)
    rows = [(f, f"cam{v:02d}") for f in range(FRAMES) for v in range(VIEWS)]
    first = folder / "images" / "first.jpg"
    first.parent.mkdir(parents=True)
    cv2.imwrite(str(first), grain, [cv2.IMWRITE_JPEG_QUALITY, 95])
    for frame, camera in rows:
        target = folder / "images" / camera / f"{frame:06d}.jpg"
        target.parent.mkdir(exist_ok=True)
        target.hardlink_to(first)
    samples = make_samples(
        xy_px=np.stack([hand + rng.normal(0, 5, 2) for _ in rows]),
        visibility=np.full((len(rows), 21), 2),
        residual_px=np.abs(rng.normal(0, 3, (len(rows), 21))),
        image=[f"images/{camera}/{frame:06d}.jpg" for frame, camera in rows],
        size_wh=[(640, 480)] * len(rows),
        right=np.ones(len(rows)),
        camera=[camera for _, camera in rows],
        frame_id=[frame for frame, _ in rows],
    )
    write_samples(samples, folder / "samples.parquet")


def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--window-size=1600,900", "--disable-gpu"):
        options.add_argument(option)
    options.binary_location = shutil.which("chromium")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


def serve(labels, order="time"):
    server = subprocess.Popen(
        [sys.executable, "-m", "multiview", "review", str(labels), "--order", order],
        stdout=subprocess.PIPE,
        text=True,
    )
    url = next(line.strip() for line in server.stdout if "http://" in line)
    return server, url


def press(driver, keys):
    from selenium.webdriver import ActionChains

    ActionChains(driver, duration=0).send_keys(keys).perform()


def wait(check, limit_s=120):
    end = time.monotonic() + limit_s
    while not check():
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.05)


def kept(labels, query):
    store = labels.with_name(f"{labels.name}.review") / "verdicts.sqlite"
    with sqlite3.connect(store) as db:
        return db.execute(query).fetchall()


def figures(times):
    return {f"p{q}": round(float(np.percentile(times, q)), 1) for q in (50, 95, 100)}


def ours(labels):
    began = time.monotonic()
    server, url = serve(labels)
    driver = browser()
    driver.get(url)
    picture = "return document.querySelector('#frame img')?.naturalWidth > 0"
    wait(lambda: driver.execute_script(picture))
    first = time.monotonic() - began
    review = labels.with_name(f"{labels.name}.review")
    wait(lambda: len(list(review.glob("[0-9]*.jpg"))) == FRAMES, 600)
    drawn = time.monotonic() - began
    reading = "return performance.getEntriesByName('key to picture').map(e => e.duration)"
    began = time.monotonic()
    for _ in range(FRAMES - 1):
        press(driver, "a")
        time.sleep(PACE_S)
    took = time.monotonic() - began
    paced = driver.execute_script(reading)
    driver.execute_script("performance.clearMeasures()")
    press(driver, "\ue011")  # home
    time.sleep(1)
    before = kept(labels, "SELECT count(*) FROM press")[0][0]
    began = time.monotonic()
    press(driver, CYCLE * (PRESSES // len(CYCLE)))
    sent = time.monotonic() - began
    wait(lambda: not driver.execute_script("return document.getElementById('unsent').textContent"))
    server.kill()  # nothing may be lost by it
    server.wait()
    count = kept(labels, "SELECT count(*) FROM press")[0][0] - before
    states = {verdict for (verdict,) in kept(labels, "SELECT verdict FROM frame")}
    driver.quit()
    return {
        "seconds to the first picture, browser's start included": round(first, 1),
        "seconds until all montages are drawn": round(drawn, 1),
        "montage, kB": round(next(review.glob("[0-9]*.jpg")).stat().st_size / 1000),
        "key to picture, ms": figures(paced) | {"n": len(paced)},
        "seconds for 100 frames at that pace": round(took, 1),
        "presses a second, at once": round(PRESSES / sent),
        "of 500 presses kept after kill -9": count,
        "verdicts after them": sorted(states),
    }


def person(labels):
    """A hundred frames from the command on, none drawn yet: a second's look at each, then a key.

    Every tenth is rejected; of every seventh a view is, and the rest accepted.
    """
    began = time.monotonic()
    server, url = serve(labels, "residual")
    driver = browser()
    driver.get(url)
    waits = []
    for at in range(FRAMES):
        asked = time.monotonic()
        wait(lambda n=at: driver.execute_script(f"return place === {n} && shown === {n}"))
        waits.append(time.monotonic() - asked)
        if at == 0:
            first = time.monotonic()
        time.sleep(LOOK_S)
        press(driver, "x" if at % 10 == 9 else "3a" if at % 7 == 6 else "a")
    done = "return document.getElementById('progress').textContent.startsWith('all judged')"
    unsent = "return document.getElementById('unsent').textContent"
    wait(lambda: driver.execute_script(done) and not driver.execute_script(unsent))
    ended = time.monotonic()
    server.kill()
    server.wait()
    verdicts = [verdict for (verdict,) in kept(labels, "SELECT verdict FROM frame")]
    driver.quit()
    return {
        "seconds from the first picture to 100 kept verdicts": round(ended - first, 1),
        "seconds from the command, browser's start included": round(ended - began, 1),
        "longest wait for a picture after the first, s": round(max(waits[1:]), 2),
        "accepted, rejected, without a view": [
            verdicts.count("ok"),
            verdicts.count("bad"),
            sum(v.startswith("bad ") for v in verdicts),
        ],
    }


def nicegui(python, labels):
    """NiceGUI's own keyboard element showing the same montages: what a plain page would do."""
    pictures = labels.with_name(f"{labels.name}.review")
    server = subprocess.Popen(
        [python, str(HERE / "nicegui_page.py"), str(pictures)], stdout=subprocess.PIPE, text=True
    )
    try:
        began = time.monotonic()
        url = next(line.strip() for line in server.stdout if "http://" in line)
        started = time.monotonic() - began
        driver = browser()
        driver.get(url)
        wait(lambda: driver.execute_script("return document.querySelector('img')?.complete"))
        time.sleep(2)
        driver.execute_script(
            """window.times = []; let at = 0;
            addEventListener('keydown', e => { at = e.timeStamp; }, true);
            document.querySelector('img').addEventListener('load', () => requestAnimationFrame(
              () => setTimeout(() => times.push(performance.now() - at))));"""
        )
        for _ in range(FRAMES - 1):
            press(driver, "a")
            time.sleep(PACE_S)
        times = driver.execute_script("return times")
        counted = lambda: int(driver.find_element("id", "count").text)  # noqa: E731
        before = counted()
        began = time.monotonic()
        press(driver, "a" * PRESSES)
        sent = time.monotonic() - began
        time.sleep(20)
        lost = PRESSES - (counted() - before)
        driver.quit()
    finally:
        server.kill()
        server.wait()
    return {
        "seconds to start": round(started, 1),
        "key to picture, ms": figures(times) | {"n": len(times)},
        "presses a second, at once": round(PRESSES / sent),
        "lost of 500, seen 20 s later": lost,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nicegui", help="Python with nicegui installed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        labels = Path(folder) / "labels"
        make_labels(labels)
        cold = Path(folder) / "cold"
        shutil.copytree(labels, cold)
        table = {"machine": f"{platform.machine()}, Python {platform.python_version()}"}
        table["page"] = ours(labels)
        table["a second's look at each"] = person(cold)
        print(json.dumps(table, indent=2), flush=True)
        if options.nicegui:
            print(json.dumps({"nicegui": nicegui(options.nicegui, labels)}, indent=2))


if __name__ == "__main__":
    main()
