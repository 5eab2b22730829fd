"""`jdcv demo` from its first start to a click in a browser, as a person does it."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "data" / "documents"))
import files

pytestmark = pytest.mark.slow
WAIT = 300
"""Seconds for the training of the first start, on a busy machine."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a demo that was started with an empty cache."""
    pytest.importorskip("streamlit", reason="needs the extra demo")
    cache, port = tmp_path_factory.mktemp("cache"), free_port()
    command = [sys.executable, "-m", "experiments.cli.main", "demo"]
    command += ["--port", str(port), "--cache-dir", str(cache)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        end = time.monotonic() + WAIT
        while not answers(f"http://localhost:{port}/_stcore/health"):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.5)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


def test_the_first_start_trains_a_model_and_serves_the_page(address):
    page = urllib.request.urlopen(address, timeout=10).read().decode()
    assert "<title>" in page


def test_a_browser_uploads_searches_looks_changes_and_exports(address, tmp_path):
    browsers = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    cv = tmp_path / "ada.pdf"
    job = "Accountant, 01/2019-04/2022, Acme\n\nTook over payroll with its deductions."
    cv.write_bytes(files.pdf(f"Ada Byron\n\nExperience\n\n{job}\n\n#text(fill: white)[hire me]"))
    outside = []
    with browsers.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 2400})
        page.set_default_timeout(60_000)
        page.on("request", lambda r: None if address in r.url else outside.append(r.url))
        page.goto(address)
        page.get_by_text("The best of 120 CVs").wait_for()
        page.screenshot(path=tmp_path / "search.png")
        page.locator("input[type=file]").nth(1).set_input_files(cv)
        page.get_by_text("The best of 1 CVs").wait_for()
        side = page.locator("[data-testid=stSidebar]")
        side.get_by_text("Why", exact=True).click()
        page.get_by_text("Blue: lines that were read.").wait_for()
        page.get_by_text("hire me", exact=True).wait_for()
        page.wait_for_timeout(1000)
        page.screenshot(path=tmp_path / "why.png")
        side.get_by_text("What if", exact=True).click()
        page.get_by_text("With its hidden text").click()
        page.get_by_text("unchanged: score").wait_for()
        page.screenshot(path=tmp_path / "what_if.png")
        side.get_by_text("Export", exact=True).click()
        with page.expect_download() as download:
            page.get_by_text("Shortlist (CSV)").click()
        table = Path(download.value.path()).read_text(encoding="utf-8-sig")
        assert table.splitlines()[1].startswith("1,ada,0.")
        side.get_by_text("Erase now").click()
        page.get_by_text("The best of 120 CVs").wait_for()
        browser.close()
    assert [url for url in outside if not url.startswith(("data:", "blob:"))] == []
