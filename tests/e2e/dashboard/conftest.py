"""One browser and one stand-in server for each file of tests; playwright is imported only where a test asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.e2e.dashboard.kit import Opened
    from tests.e2e.dashboard.stand_in import StandIn


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    from tests.e2e.dashboard.kit import CHROMIUM, FLAGS

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server() -> StandIn:
    from tests.e2e.dashboard.stand_in import StandIn

    return StandIn()


@pytest.fixture
def opened(browser: Browser, server: StandIn) -> Opened:
    from tests.e2e.dashboard.kit import opener

    return opener(browser, server)
