"""The dashboard in a real browser, on a server that obeys docs/reference/api.md and can be broken at will."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")
pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")

from playwright.sync_api import Browser, Page, expect

from tests.e2e.dashboard.kit import (
    NEEDS_BROWSER,
    ZONE,
    Opened,
    check_everywhere,
    loaded,
    log_first_chip,
    outbox,
    violations,
    watched,
)
from tests.e2e.dashboard.stand_in import SCENES, StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = NEEDS_BROWSER
TWINS = {"mgdl", "very-high-word", "low-word", "gap", "uploads", "after-midnight"}  # look like another state
NEVER = re.compile(r"\bmissed\b|\btake\b|\binject\b|\binject now\b", re.IGNORECASE)


# ---- every state, for everybody ----


@pytest.fixture(scope="module")
def gallery(browser: Browser, server: StandIn) -> Iterator[tuple[Page, list[str]]]:
    """One page that walks through all states, and what went wrong in it."""
    context = browser.new_context(timezone_id=ZONE, locale="en-GB")
    context.set_default_timeout(5000)
    page = context.new_page()
    yield page, watched(page, server)
    context.close()


@pytest.mark.parametrize("scene", sorted(set(SCENES) - TWINS))
def test_every_state_can_be_read_by_everyone_in_both_themes_on_a_phone_and_a_desk(
    scene: str, gallery: tuple[Page, list[str]], server: StandIn
) -> None:
    page, wrong = gallery
    server.play(scene)
    page.goto(server.url, wait_until="commit")
    loaded(page)
    assert page.title().startswith("[DEMO]") == SCENES[scene].demo
    assert page.locator(".bar.demo").count() == int(SCENES[scene].demo)
    for part in ("#open-alerts", "#alerts", "#bars"):
        assert not NEVER.search(page.locator(part).inner_text())
    check_everywhere(page)
    assert wrong == []


def test_the_sheet_and_the_trails_can_be_read_by_everyone(opened: Opened) -> None:
    with opened("no-insulins") as page:
        page.get_by_role("button", name=re.compile("^Why")).first.click()
        page.get_by_text("Show as a table").click()
        expect(page.locator("#table caption")).to_be_attached()
        page.get_by_role("button", name="Log dose or carbs").click()
        expect(page.get_by_text("No insulin is set up in iv3 yet")).to_be_visible()
        check_everywhere(page)


def test_the_lost_the_signed_out_the_unsent_and_the_sign_in_page_can_be_read_by_everyone(
    opened: Opened, server: StandIn
) -> None:
    with opened() as page:
        server.die()
        expect(page.locator("#bars-page")).to_contain_text("Not live.")
        log_first_chip(page)
        expect(page.locator("#unsent")).to_contain_text("1 not saved yet")
        check_everywhere(page)
        page.set_viewport_size({"width": 390, "height": 844})
        server.signed_in = False
        server.revive()
        page.get_by_role("button", name="Try now").first.click()
        expect(page.get_by_role("heading", name="Signed out: paste an access token")).to_be_visible()
        expect(page.locator("#unsent")).to_contain_text("1 not saved yet")
        check_everywhere(page)
    with opened(path="/login", live=False) as page:
        expect(page.get_by_label("Access token")).to_be_visible()
        check_everywhere(page)


def test_the_bedside_view_keeps_the_number_the_alert_and_the_bars(opened: Opened) -> None:
    with opened("undeliverable") as page:
        page.get_by_role("button", name="Bedside view").click()
        expect(page.locator("#hero .value")).to_have_text("3.3")
        expect(page.get_by_role("button", name="Acknowledge")).to_be_in_viewport()
        expect(page.get_by_text("ALARMS ARE NOT GETTING OUT")).to_be_in_viewport()
        assert violations(page) == []
        page.keyboard.press("Escape")
        expect(page.get_by_role("heading", name="Last 6 hours")).to_be_visible()


# ---- live or not ----


def test_nothing_is_shown_as_current_before_the_stream_says_hello(opened: Opened, server: StandIn) -> None:
    with opened(live=False, hello=False) as page:
        expect(page.get_by_text("Not live yet.").first).to_be_visible()
        expect(page.locator("#hero .value")).to_have_text("– –")
        assert page.evaluate("() => document.body.classList.contains('off-air')")
        server.hello = True
        server.tell("hello")
        loaded(page)
        expect(page.locator("#hero .value")).to_have_text("5.8")
        assert not page.evaluate("() => document.body.classList.contains('off-air')")


def test_a_stream_that_falls_silent_for_25_seconds_makes_the_page_grey(opened: Opened, server: StandIn) -> None:
    with opened(clock=True) as page:
        server.hello = False  # the next stream, too, would say nothing
        page.clock.run_for(20_000)
        expect(page.locator("html")).to_have_attribute("data-live", "live")
        page.clock.run_for(6_000)
        expect(page.locator("html")).to_have_attribute("data-live", "lost")
        expect(page.locator("#hero .tag")).to_have_text("Not live, was in range")
        expect(page.locator("#hero")).to_contain_text("No forecast while the page is not live.")
        assert page.title().startswith("? ")


def test_a_page_that_lost_the_server_comes_back_by_itself(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        server.die()
        page.wait_for_selector("html[data-live=lost]")
        server.revive()
        page.wait_for_selector("html[data-live=live]")
        expect(page.locator("#bars-page")).to_be_empty()


def test_the_age_of_a_reading_grows_and_after_15_minutes_the_number_goes_away(opened: Opened, server: StandIn) -> None:
    with opened(clock=True) as page:
        expect(page.locator("#hero .age")).to_have_text("1\u00a0min ago")
        server.die()
        page.clock.run_for(4 * 60_000)
        expect(page.locator("#hero .age")).to_have_text("5\u00a0min ago")
        page.clock.fast_forward(11 * 60_000)
        expect(page.locator("#hero .value")).to_have_text("– –")
        expect(page.locator("#hero .stale-last")).to_contain_text("5.8 at 11:25")
        assert page.title().startswith("– –")


def test_in_a_demo_that_runs_faster_ages_grow_faster(opened: Opened, server: StandIn) -> None:
    with opened("demo", speed=300.0) as page:
        server.die()
        expect(page.locator("#hero .age")).to_have_text(re.compile(r"^([3-9]|1\d)\smin\sago"), timeout=4000)


def test_a_change_told_by_the_stream_brings_the_new_number(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        expect(page.locator("#hero .value")).to_have_text("5.8")
        server.add_reading(131)
        expect(page.locator("#hero .value")).to_have_text("7.3")
        expect(page.locator("#live")).to_contain_text("7.3")
        expect(page.locator("#chart")).to_have_attribute("aria-valuetext", re.compile("Latest: 7.3"))


def test_a_whole_day_is_fetched_page_by_page_and_a_hole_is_named(opened: Opened) -> None:
    with opened("gap", width=1280, height=900) as page:
        page.locator("#span label").nth(3).click()
        expect(page.locator("#chart-sum")).to_contain_text(re.compile(r"^28\d readings|^27\d readings"))
        expect(page.locator("#chart-sum")).to_contain_text("1 gap")
        expect(page.locator("#alerts")).to_contain_text("No data")


def test_the_unit_follows_the_profile_until_it_is_switched_here(opened: Opened) -> None:
    with opened("mgdl") as page:
        expect(page.locator("#hero .value")).to_have_text("104")
        page.locator("#unit label").first.click()
        expect(page.locator("#hero .value")).to_have_text("5.8")
        page.reload()
        loaded(page)
        expect(page.locator("#hero .value")).to_have_text("5.8")


def test_the_chart_can_be_read_with_the_keyboard(opened: Opened) -> None:
    with opened() as page:
        page.locator("#chart").focus()
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#readout")).to_contain_text("in range")
        page.keyboard.press("End")
        expect(page.locator("#chart")).to_have_attribute("aria-valuetext", re.compile("forecast .* to .*, 8 in 10"))


# ---- logging ----


def test_two_taps_log_a_usual_dose_exactly_once(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        log_first_chip(page)
        expect(page.locator("#toasts")).to_contain_text("Logged Humalog 6.5")
        expect(page.locator("#entries .row").first).to_contain_text("This phone")
        [(body, key)] = server.posted()
        assert (body["kind"], body["insulin"], body["units"]) == ("insulin", "Humalog", 6.5)
        assert key is not None
        assert len(key) == 36
        assert abs(server.now() / 1000 - datetime.fromisoformat(body["time"]).timestamp()) < 5
        assert outbox(page) == 0
        page.get_by_role("button", name="Undo", exact=True).click()
        expect(page.locator("#entries .row.gone").first).to_contain_text("Humalog")


def test_a_comma_is_a_decimal_point_and_an_amount_with_two_readings_is_refused(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        page.keyboard.press("l")
        amount = page.get_by_label("Amount")
        amount.fill("1.234,5")
        page.keyboard.press("Enter")
        expect(page.locator("#sheet .err")).to_contain_text("could be read two ways")
        assert server.posted() == []
        amount.fill("4,5")
        page.get_by_role("button", name="Log Humalog 4.5 U").click()
        expect(page.locator("#toasts")).to_contain_text("Logged Humalog 4.5")
        assert server.posted()[0][0]["units"] == 4.5


def test_a_double_tap_logs_once(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        page.get_by_role("button", name="Log dose or carbs").click()
        page.get_by_role("button", name="6.5 U Humalog, log now").evaluate("(b) => { b.click(); b.click(); }")
        expect(page.locator("#toasts")).to_contain_text("Logged")
        assert len(server.posted()) == 1


def test_an_insulin_without_settings_is_written_by_its_name(opened: Opened, server: StandIn) -> None:
    with opened("no-insulins") as page:
        page.keyboard.press("l")
        page.get_by_label("Amount").fill("3")
        page.get_by_role("button", name="Log insulin 3 U").click()
        expect(page.locator("#sheet .err")).to_contain_text("Write the name")
        page.get_by_label("Insulin name").fill("Fiasp")
        page.get_by_role("button", name="Log Fiasp 3 U").click()
        expect(page.locator("#toasts")).to_contain_text("Logged Fiasp 3")
        assert server.posted()[0][0]["insulin"] == "Fiasp"


def test_a_dose_logged_while_the_server_is_dead_is_kept_and_sent_once_it_is_back(
    opened: Opened, server: StandIn
) -> None:
    with opened() as page:
        server.die()
        page.wait_for_selector("html[data-live=lost]")
        log_first_chip(page)
        expect(page.locator("#unsent")).to_contain_text("1 not saved yet")
        expect(page.locator("#entries .row.pending")).to_contain_text("not saved yet")
        assert outbox(page) == 1
        server.revive()
        page.reload()
        loaded(page)
        expect(page.locator("#unsent")).to_be_hidden()
        expect(page.locator("#entries .row").first).to_contain_text("This phone")
        keys = {key for _, key in server.posted()}
        assert len(keys) == 1
        assert outbox(page) == 0


def test_a_server_that_fails_sees_the_same_key_and_the_same_body_again(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        server.fail_posts = True
        log_first_chip(page)
        expect(page.locator("#unsent")).to_contain_text("1 not saved yet")
        server.fail_posts = False
        page.locator("#unsent").click()
        expect(page.locator("#unsent")).to_be_hidden()
        first, second = server.posted()[0], server.posted()[-1]
        assert first == second


def test_signing_in_again_sends_what_was_kept(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        server.signed_in = False
        log_first_chip(page)
        expect(page.locator("#unsent")).to_contain_text("1 not saved yet")
        page.get_by_label("Access token").fill("bad")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("iv3 does not know this token.")).to_be_visible()
        page.get_by_label("Access token").fill("good")
        page.get_by_role("button", name="Sign in").click()
        loaded(page)
        expect(page.locator("#unsent")).to_be_hidden()
        assert len(server.keys) == 1


def test_an_entry_unsent_for_12_hours_is_asked_about_and_never_dropped_by_itself(
    opened: Opened, server: StandIn
) -> None:
    with opened(clock=True) as page:
        server.die()
        page.wait_for_selector("html[data-live=lost]")
        log_first_chip(page)
        page.clock.run_for(7_000)
        expect(page.locator("#unsent")).to_contain_text("1 not saved yet")
        page.clock.fast_forward("13:00:00")
        server.revive()
        page.clock.run_for(40_000)
        expect(page.locator("#unsent")).to_contain_text("Keep or discard?")
        assert server.posted() == []
        assert outbox(page) == 1
        page.locator("#unsent").click()
        expect(page.get_by_role("dialog")).to_contain_text("Humalog 6.5")
        assert violations(page) == []
        page.get_by_role("button", name="Keep and send").click()
        expect(page.locator("#unsent")).to_be_hidden()
        assert len(server.posted()) == 1


def test_a_kept_entry_that_the_server_refuses_later_stays_until_a_person_answers(
    opened: Opened, server: StandIn
) -> None:
    with opened() as page:
        server.fail_posts = True
        log_first_chip(page)
        expect(page.locator("#unsent")).to_contain_text("1 not saved yet")
        server.fail_posts = False
        server.refuse = (422, {"detail": "units: 6.5 is above 5"})
        page.locator("#unsent").click()
        expect(page.get_by_role("dialog")).to_contain_text("6.5 is above 5")
        page.keyboard.press("Escape")
        expect(page.locator("#unsent")).to_contain_text("Keep or discard?")
        assert outbox(page) == 1
        page.locator("#unsent").click()
        page.get_by_role("button", name="Discard", exact=True).click()
        expect(page.locator("#unsent")).to_be_hidden()
        assert outbox(page) == 0


def test_a_dose_that_looks_like_a_mistake_is_asked_about_with_the_safe_answer_first(
    opened: Opened, server: StandIn
) -> None:
    facts = {
        "reason": "double_long",
        "title": "Already logged",
        "line": "Tresiba is already logged, 57 min ago.",
        "insulin": "Tresiba",
        "units": 18,
        "time_ms": 0,
        "by": "Dad",
        "minutes_ago": 57,
    }
    with opened() as page:
        server.refuse = (
            409,
            {
                "code": "needs_confirm",
                "detail": "already logged",
                "facts": {**facts, "time_ms": round(server.now()) - 57 * 60_000},
            },
        )
        page.get_by_role("button", name="Log dose or carbs").click()
        page.get_by_role("button", name="18 U Tresiba, log now").click()
        expect(page.get_by_text("Tresiba is already logged, 57 min ago.")).to_be_visible()
        expect(page.get_by_role("button", name="Do not log")).to_be_focused()
        check_everywhere(page)
        page.get_by_role("button", name="Log a second dose, 18 U").click()
        expect(page.locator("#toasts")).to_contain_text("Logged Tresiba 18")
        (asked, key), (sure, again) = server.posted()
        assert key == again
        assert sure == {**asked, "confirm": True}


def test_saying_no_to_the_question_logs_nothing(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        server.refuse = (
            409,
            {
                "code": "needs_confirm",
                "facts": {
                    "reason": "large_rapid",
                    "title": "Larger than usual",
                    "line": "6.5 U is above your 5 U limit.",
                    "insulin": "Humalog",
                    "units": 6.5,
                },
            },
        )
        log_first_chip(page)
        page.get_by_role("button", name="Change the amount").click()
        expect(page.get_by_label("Amount")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        assert server.keys == {}
        assert outbox(page) == 0


def test_a_refusal_is_shown_and_the_sheet_keeps_its_content(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        error = {"field": "units", "message": "may be at most 200 here"}
        server.refuse = (422, {"detail": "The request does not fit: units: may be at most 200 here", "errors": [error]})
        page.keyboard.press("l")
        page.get_by_label("Amount").fill("250")
        page.keyboard.press("Enter")
        expect(page.locator("#sheet .err")).to_have_text("The request does not fit: units: may be at most 200 here")
        expect(page.get_by_label("Amount")).to_have_value("250")
        assert outbox(page) == 0


def test_an_entry_can_be_changed_removed_and_brought_back(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        page.get_by_role("button", name=re.compile("Edit Carbs 50")).click()
        page.get_by_label("Amount").fill("55")
        page.get_by_role("button", name=re.compile("Save 55 g carbs")).click()
        expect(page.get_by_role("button", name=re.compile("Edit Carbs 55"))).to_be_visible()
        page.locator("#toasts").get_by_role("button", name="Undo").click()
        expect(page.get_by_role("button", name=re.compile("Edit Carbs 50"))).to_be_visible()
        page.get_by_role("button", name=re.compile("Edit Carbs 50")).click()
        page.get_by_role("button", name="Remove this entry").click()
        expect(page.locator(".row.gone")).to_have_count(2)
        page.get_by_role("button", name=re.compile("Undo removing Carbs 50")).click()
        expect(page.locator(".row.gone")).to_have_count(1)
        assert next((m, b) for m, _, b, _ in server.posts) == ("PATCH", {"grams": 55})


def test_a_change_that_somebody_else_made_first_is_told_and_not_overwritten(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        page.get_by_role("button", name=re.compile("Edit Carbs 50")).click()
        entry = next(e for e in server.entries if e.get("grams") == 50)
        entry.update(grams=60, revision=2, by="Dad")
        page.get_by_label("Amount").fill("55")
        page.keyboard.press("Enter")
        expect(page.locator("#sheet .err")).to_contain_text(
            re.compile("changed by somebody else meanwhile. It is now Carbs 60")
        )
        assert entry["grams"] == 60


# ---- alerts ----


def test_an_alert_is_acknowledged_with_one_tap_and_the_number_stays_as_urgent_as_it_is(
    opened: Opened, server: StandIn
) -> None:
    with opened("urgent-low") as page:
        page.get_by_role("button", name="Acknowledge").click()
        expect(page.locator("#open-alerts")).to_contain_text("Acknowledged by This phone")
        expect(page.locator("#hero")).to_have_attribute("data-state", "urgent")
        assert server.posted("/v1/alerts/ep-urgent_low/ack") == [({"treated": False}, None)]


def test_snoozing_offers_only_what_the_server_offers(opened: Opened, server: StandIn) -> None:
    with opened("low") as page:
        buttons = page.get_by_role("group", name="Snooze").get_by_role("button")
        assert buttons.all_inner_texts() == ["15 min", "30 min"]
        buttons.last.click()
        expect(page.locator("#open-alerts")).to_contain_text("Snoozed until 21:37")
        assert server.posted("/v1/snoozes") == [({"kind": "low", "minutes": 30}, None)]


# ---- the files ----


def test_the_modules_stay_small_and_build_no_markup_from_text() -> None:
    folder = Path(__file__).resolve().parents[3] / "api" / "dashboard"
    for path in folder.glob("*.js"):
        text = path.read_text()
        lines = text.splitlines()
        assert lines[0].startswith("/* "), path.name
        assert len(lines) < 400, path.name
        assert max(map(len, lines)) <= 160, path.name
        assert not re.search(
            r"innerHTML|insertAdjacentHTML|document\.write|https?://(?!www\.w3\.org/2000/svg)", text
        ), path.name
    for page in folder.glob("*.html"):
        assert not re.search(r"\sstyle=|\son\w+=|https?://", page.read_text()), page.name


def test_every_vendored_file_is_the_one_that_was_reviewed() -> None:
    folder = Path(__file__).resolve().parents[3] / "api" / "dashboard" / "vendor"
    listed = {
        name: f["sha256"]
        for package in json.loads((folder / "vendor.json").read_text())
        for name, f in package["files"].items()
    }
    assert listed == {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.name != "vendor.json"
    }
