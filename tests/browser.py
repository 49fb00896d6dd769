"""A real browser for tests of pages; skips where chromium, its driver or selenium is missing."""

import contextlib
import shutil
import time

import pytest

PATIENCE_S = 60


@contextlib.contextmanager
def browser(width=1200, height=700, *, scheme="dark", phone=False):
    """Open a browser that reaches this machine alone."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        packages = "apt-get install chromium chromium-driver"
        pytest.skip(f"no {' and no '.join(missing)} here (Debian: {packages})")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    given = ("--headless=new", "--no-sandbox", "--disable-gpu")
    for option in (*given, "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"):
        options.add_argument(option)
    options.binary_location = shutil.which("chromium")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        tell = driver.execute_cdp_cmd
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        tell("Emulation.setDeviceMetricsOverride", size)
        tell("Emulation.setTouchEmulationEnabled", {"enabled": phone, "maxTouchPoints": 2})
        wish = [{"name": "prefers-color-scheme", "value": scheme}]
        tell("Emulation.setEmulatedMedia", {"features": wish})
        yield driver
    finally:
        driver.quit()


def wait(driver, script, wanted=True):
    """Wait until an expression has a value."""
    end = time.monotonic() + PATIENCE_S
    while (got := driver.execute_script(f"return {script}")) != wanted:
        assert time.monotonic() < end, f"{script} is {got}, not {wanted}"
        time.sleep(0.02)


def press(driver, *keys, held=None):
    """Press keys as a person does: whatever has the focus gets them."""
    from selenium.webdriver import ActionChains

    chain = ActionChains(driver, duration=0)
    chain = chain.key_down(held) if held else chain
    chain = chain.send_keys(*keys)
    (chain.key_up(held) if held else chain).perform()
