"""The page on the real server, in a real Chromium: what a newcomer sees after opening the printed link."""

import re
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tests.support.up import Up

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason="no browser: apt-get install chromium (/usr/bin/chromium is missing)"
    ),
    pytest.mark.xdist_group("real-page"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
AXE = (files("axe_playwright_python") / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("page") / "data-demo")
    up.start()
    yield up
    up.kill()


@pytest.fixture(scope="module")
def page(demo: Up) -> Iterator[Page]:
    link = re.search(r"http\S+/login\?code=\S+", demo.said())
    assert link
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        context = browser.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=False)
        opened = context.new_page()
        opened.said = []  # type: ignore[attr-defined] # console messages, kept beside the page
        opened.on("console", lambda m: opened.said.append(f"{m.type}: {m.text}"))  # type: ignore[attr-defined]  # an attribute of our own on the page
        opened.on("request", lambda r: opened.said.append(f"request: {r.url}"))  # type: ignore[attr-defined]  # an attribute of our own on the page
        opened.goto(link.group())
        opened.wait_for_url(re.compile(r"/$"))  # the sign-in leads on by itself
        until(opened, "document.title.includes('Demo') && !document.body.classList.contains('off-air')", 15)
        yield opened
        browser.close()


def until(page: Page, expression: str, within_s: float) -> None:
    """Look again and again; the page's policy forbids Playwright's own way of waiting."""
    deadline = time.monotonic() + within_s
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(100)


def test_the_link_leads_to_a_live_page_marked_as_a_demo(page: Page, demo: Up) -> None:
    _, now = demo.ask("GET", "/v1/now")
    assert page.title().startswith("[DEMO]")
    assert "DEMO: simulated person" in page.inner_text("#bars")
    assert f"{now['reading']['glucose_mmol']:.1f}" in page.inner_text("#hero")


def test_nothing_is_asked_of_anybody_else_and_nothing_breaks_the_policy(page: Page, demo: Up) -> None:
    said: list[str] = page.said  # type: ignore[attr-defined]  # an attribute of our own on the page
    assert not [line for line in said if line.startswith("request: ") and demo.url not in line and "data:" not in line]
    assert not [line for line in said if line.startswith("error")]


def test_axe_finds_nothing_wrong_with_it(page: Page) -> None:
    session = page.context.new_cdp_session(page)  # past the page's policy, which rightly takes no script of ours
    session.send("Runtime.evaluate", {"expression": AXE})
    result = page.evaluate("async () => (await axe.run(document)).violations.map((v) => `${v.id}: ${v.nodes[0].html}`)")
    assert result == []


def test_two_taps_log_an_entry_that_the_api_then_knows(page: Page, demo: Up) -> None:
    before = len(demo.ask("GET", "/v1/entries")[1]["items"])
    page.keyboard.press("l")
    page.wait_for_selector("#sheet[open] .chip")
    # A dose might be asked about, depending on what the simulated person did lately; carbs never are.
    page.locator("#sheet .chip", has_text="Carbs").first.click()
    deadline = time.monotonic() + 60
    while len(demo.ask("GET", "/v1/entries")[1]["items"]) != before + 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_greys_out_when_the_server_is_gone_and_comes_back_with_it(page: Page, demo: Up) -> None:
    port = demo.url.rsplit(":", 1)[1]
    demo.kill()
    until(page, "document.body.classList.contains('off-air')", 40)
    demo.command += ["--port", port]
    demo.start()
    until(page, "!document.body.classList.contains('off-air')", 30)
