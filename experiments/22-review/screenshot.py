"""The review page on the labels of the demo capture, as docs/images/review.jpg.

.venv/bin/multiview demo --out out/demo
.venv/bin/python experiments/22-review/screenshot.py out/demo/label docs/images/review.jpg
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import cv2
from run import browser, press, serve, wait


def main(labels, target):
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(labels, Path(folder) / "demo"))
        server, url = serve(copy, "residual")
        driver = browser()
        driver.get(url)
        wait(lambda: driver.execute_script("return shown === 0"))
        press(driver, "aax4")  # two accepted, one rejected, a view of the fourth rejected
        wait(lambda: driver.execute_script("return shown === 3 && !queue.length"))
        time.sleep(0.5)
        driver.save_screenshot(f"{folder}/page.png")
        driver.quit()
        server.kill()
        picture = cv2.imread(f"{folder}/page.png")
        small = cv2.resize(picture, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(target), small, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
