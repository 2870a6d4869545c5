"""What the browser tests share: the browser itself, a page that is loaded, and what must hold of every page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from tests.e2e.dashboard.stand_in import StandIn

CHROMIUM = Path("/usr/bin/chromium")
NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason="no browser: apt-get install chromium (/usr/bin/chromium is missing)"
    ),
]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
EVERYTHING = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
SIZES = ((360, 740), (1280, 900))
ZONE = "Europe/Berlin"

Opened = Callable[..., AbstractContextManager[Page]]


def opener(browser: Browser, server: StandIn) -> Opened:
    """Opens a page in a fresh profile; on leaving, nothing may have gone elsewhere or broken the policy."""

    @contextmanager
    def open_page(
        scene: str = "in-range",
        *,
        width: int = 390,
        height: int = 844,
        live: bool = True,
        clock: bool = False,
        speed: float = 1.0,
        path: str = "/",
        zone: str = ZONE,
        **more: Any,
    ) -> Iterator[Page]:
        server.play(scene, speed=speed)
        for name, value in more.items():
            setattr(server, name, value)
        context = browser.new_context(viewport={"width": width, "height": height}, timezone_id=zone, locale="en-GB")
        context.set_default_timeout(15_000)
        page = context.new_page()
        wrong = watched(page, server)
        if clock:
            page.clock.install()
        page.goto(server.url + path, wait_until="commit" if live else "load")
        if live:
            loaded(page)
        try:
            yield page
            assert wrong == []
        finally:
            context.close()

    return open_page


def watched(page: Page, server: StandIn) -> list[str]:
    """Collects requests to anybody else, breaches of the content policy, and errors of the scripts."""
    wrong: list[str] = []

    def request(r: Request) -> None:
        if not r.url.startswith((server.url, "data:")):
            wrong.append(f"asked somebody else: {r.url}")

    def console(m: ConsoleMessage) -> None:
        if "content security policy" in m.text.lower():
            wrong.append(m.text)

    page.on("request", request)
    page.on("console", console)
    page.on("pageerror", lambda e: wrong.append(f"script error: {e}"))
    return wrong


LISTED = """() => !document.querySelector('#entries').textContent.includes('Not loaded')
  && document.querySelector('#chart-empty').textContent !== 'Not loaded yet.'"""
KEPT = """() => new Promise((done) => {
  const r = indexedDB.open('iv3', 1);
  r.onsuccess = () => {
    const q = r.result.transaction('outbox').objectStore('outbox').count();
    q.onsuccess = () => { r.result.close(); done(q.result); };
  };
})"""


def loaded(page: Page) -> None:
    page.wait_for_selector("html[data-live=live]")
    page.wait_for_function(LISTED)


def violations(page: Page, only: Mapping[str, object] = EVERYTHING) -> list[str]:
    """What axe finds; it is evaluated past the policy of the page, as a browser extension would be."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate(
        "(only) => axe.run({ runOnly: only, resultTypes: ['violations'], preload: false })", dict(only)
    )
    return [
        f"{v['id']}: {n['html'][:120]} {n['failureSummary'][:200]}" for v in found["violations"] for n in v["nodes"]
    ]


def no_sideways_scroll(page: Page) -> None:
    wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"the page is {wide} px wider than the screen"


def check_everywhere(page: Page) -> None:
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        no_sideways_scroll(page)
        page.emulate_media(color_scheme="light")
        assert violations(page) == [], f"{width} px, light"
        page.emulate_media(color_scheme="dark")  # a theme changes colours and nothing else
        assert violations(page, COLOURS) == [], f"{width} px, dark"


def outbox(page: Page) -> int:
    count: int = page.evaluate(KEPT)
    return count


def log_first_chip(page: Page) -> None:
    page.get_by_role("button", name="Log dose or carbs").click()
    page.get_by_role("button", name="6.5 U Humalog, log now").click()
