"""What people met on the page that was wrong once, each as the sentence that has to be true now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")
pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")

from playwright.sync_api import Page, expect

from tests.e2e.dashboard.kit import (
    NEEDS_BROWSER,
    Opened,
    check_everywhere,
    loaded,
    log_first_chip,
    no_sideways_scroll,
    violations,
)
from tests.e2e.dashboard.stand_in import StandIn

pytestmark = NEEDS_BROWSER
MIN = 60_000
BERLIN = ZoneInfo("Europe/Berlin")


def box(page: Page, selector: str) -> dict[str, float]:
    found = page.locator(selector).bounding_box()
    assert found is not None, selector
    return dict(found)


# ---- getting in ----


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_sign_in_form_lies_inside_its_card_at_every_width(width: int, opened: Opened) -> None:
    with opened(path="/login", live=False, width=width, height=900) as page:
        card, form = box(page, "#login"), box(page, "#login form")
        assert form["width"] > 250
        assert card["x"] < form["x"]
        assert form["x"] + form["width"] < card["x"] + card["width"]
        assert form["y"] + form["height"] < card["y"] + card["height"]
        assert abs(card["x"] + card["width"] / 2 - width / 2) < 2
        expect(page.locator(".used")).to_have_count(0)
        expect(page.locator(".bar.demo")).to_have_count(0)


def test_a_used_link_says_what_to_do_and_the_demo_marks_its_sign_in_page(opened: Opened) -> None:
    with opened("demo", path="/login?used=1", live=False) as page:
        expect(page.locator(".used")).to_contain_text("used already, or belongs to an earlier start")
        expect(page.locator(".used code")).to_contain_text("iv3 token new")
        expect(page.locator(".bar.demo")).to_have_text("DEMO: simulated person")
        expect(page).to_have_title("[DEMO] Sign in · iv3")
        check_everywhere(page)


def test_a_demo_is_marked_before_anybody_has_signed_in(opened: Opened) -> None:
    with opened("demo", live=False, signed_in=False) as page:
        expect(page.get_by_role("heading", name="Signed out: paste an access token")).to_be_visible()
        expect(page.locator(".bar.demo")).to_have_text("DEMO: simulated person")
        assert page.title().startswith("[DEMO]")


def test_signing_out_leaves_nothing_of_the_person_on_the_screen(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        expect(page.locator("#session")).to_contain_text("Signed in as this browser (owner)")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/login")
        assert ("POST", "/logout", {}, None) in server.posts
        page.goto(server.url)
        expect(page.locator("#hero")).to_contain_text("Signed out")
        assert "5.8" not in page.locator("body").inner_text()


# ---- times ----


def test_a_clock_time_later_than_now_is_yesterdays_and_says_so_everywhere(opened: Opened, server: StandIn) -> None:
    with opened("after-midnight") as page:
        page.keyboard.press("l")
        page.get_by_label("Time", exact=True).fill("23:50")
        page.get_by_label("Amount").fill("4")
        expect(page.get_by_text("Tap to log yesterday 23:50")).to_be_visible()
        page.get_by_role("button", name="Log Humalog 4 U yesterday 23:50").click()
        expect(page.locator("#toasts")).to_contain_text("4 U yesterday 23:50")
        said = datetime.fromisoformat(server.posted()[0][0]["time"]).astimezone(BERLIN)
        today = datetime.fromtimestamp(server.now() / 1000, BERLIN).date()
        assert (said.date(), f"{said:%H:%M}") == (today - timedelta(days=1), "23:50")
        row = page.locator("#entries .row").filter(has_text="23:50")
        expect(row).to_contain_text("Humalog")
        expect(row).to_contain_text("yesterday")


def test_what_was_just_logged_is_in_the_list_however_much_came_after_it(opened: Opened) -> None:
    with opened("busy") as page:
        page.keyboard.press("l")
        page.get_by_label("Time", exact=True).fill("23:50")
        page.get_by_label("Amount").fill("9")
        page.get_by_role("button", name="Log Humalog 9 U yesterday 23:50").click()
        expect(page.locator("#entries .row").filter(has_text="23:50")).to_contain_text("9 U")


def test_an_entry_of_yesterday_stays_there_when_its_time_is_changed(opened: Opened, server: StandIn) -> None:
    with opened("after-midnight") as page:
        entry = next(e for e in server.entries if e["kind"] == "fingerstick")  # 1.9 h before 00:20
        page.get_by_role("button", name=re.compile("Edit Finger-stick")).click()
        page.get_by_label("Time", exact=True).fill("21:30")
        page.get_by_role("button", name="Save finger-stick 7.8 mmol/L yesterday 21:30").click()
        expect(page.locator("#toasts")).to_contain_text("yesterday 21:30")
        moved = datetime.fromisoformat(entry["time"]).astimezone(BERLIN)
        assert f"{moved:%H:%M}" == "21:30"
        assert abs(moved.timestamp() * 1000 - entry["time_ms"]) < 2 * 3_600_000


def test_without_a_zone_every_time_is_utc_and_the_page_asks_for_the_zone(opened: Opened, server: StandIn) -> None:
    with opened("uploads-stale") as page:
        newest = datetime.fromtimestamp(server.readings[-1]["time_ms"] / 1000, UTC)
        expect(page.locator("#notes")).to_contain_text("Times are UTC")
        expect(page.locator("#notes")).to_contain_text("Set person.zone, here Europe/Berlin.")
        expect(page.locator("#hero .stale-last")).to_contain_text(f"at {newest:%H:%M}")
        expect(page.locator("#hero")).to_contain_text(f"No upload from xDrip since {newest:%H:%M}.")
        expect(page.locator("#chart")).to_have_attribute("aria-valuetext", re.compile(f"at {newest:%H:%M}"))
        page.keyboard.press("l")
        expect(page.get_by_role("dialog")).to_contain_text("Times are UTC")
        now = datetime.fromtimestamp(server.now() / 1000, UTC)
        expect(page.get_by_label("Time", exact=True)).to_have_value(f"{now:%H:%M}")


def test_times_are_the_persons_own_wherever_the_browser_is(opened: Opened) -> None:
    with opened(zone="Asia/Tokyo") as page:
        expect(page.locator("#notes")).to_be_hidden()
        expect(page.locator("#fine")).to_contain_text("Times are those of Europe/Berlin.")
        page.keyboard.press("l")
        expect(page.get_by_label("Time", exact=True)).to_have_value(re.compile(r"11:2\d"))


def test_a_hole_that_opens_while_the_page_is_open_appears_by_itself(opened: Opened, server: StandIn) -> None:
    with opened(clock=True) as page:
        expect(page.locator("#readout")).not_to_contain_text("no data")
        streams: list[str] = []
        page.on("request", lambda r: streams.append(r.url) if r.url.endswith("/v1/stream") else None)
        for _ in range(
            40
        ):  # the clocks of both run on; the stream says that it lives, often enough that one may be late
            server.began_ms += MIN // 2
            server.tell("ping")
            page.wait_for_timeout(120)  # a busy machine takes its time to bring the ping
            page.clock.run_for(8_000)
        assert streams == []  # never opened again, which would fetch everything
        expect(page.locator("#readout")).to_contain_text("no data")
        expect(page.locator("#chart-sum")).to_contain_text("1 gap")
        expect(page.locator("#alerts")).to_contain_text("No data")


# ---- numbers ----


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "Enter the amount first."),
        ("-3", "is below 0"),
        ("−3", "is below 0"),
        ("0", "must be above 0"),
        ("0,0", "must be above 0"),
        ("abc", "is not a number"),
        ("1e3", "is not a number"),
        ("1.2.3", "is not a number"),
        ("4,", "is not complete"),
        (",5", "is not complete"),
        ("4.1255", "more than two digits after the point"),
        ("0,125", "more than two digits after the point"),
        ("1.234,5", "could be read two ways"),
        ("1,234", "could be read two ways"),
        ("400", "400 U is more than 300 U"),
    ],
)
def test_every_mistake_with_a_number_has_its_own_sentence(
    typed: str, says: str, opened: Opened, server: StandIn
) -> None:
    with opened() as page:
        page.keyboard.press("l")
        page.get_by_label("Amount").fill(typed)
        page.keyboard.press("Enter")
        expect(page.locator("#sheet .err")).to_contain_text(says)
        expect(page.get_by_label("Amount")).to_be_focused()
        assert server.posted() == []


def test_carbs_and_finger_sticks_have_limits_of_their_own(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        page.keyboard.press("l")
        page.locator("#sheet input[value='carbs']").check()
        page.get_by_label("Amount").fill("600")
        page.keyboard.press("Enter")
        expect(page.locator("#sheet .err")).to_contain_text("600 g is more than 500 g")
        page.locator("#sheet input[value='fingerstick']").check()
        page.get_by_label("Amount").fill("104")
        page.keyboard.press("Enter")
        expect(page.locator("#sheet .err")).to_contain_text("104 mmol/L is outside 0.6 to 50. If it is in mg/dL")
        assert server.posted() == []


def test_the_words_of_the_server_are_shown_once(opened: Opened) -> None:
    with opened() as page:
        text = page.evaluate(
            "async () => new (await import('/static/core/api.js')).Problem(422, {detail: 'It does not "
            "fit: units: too many',"
            " errors: [{field: 'units', message: 'too many'}, {field: 'insulin', message: 'is missing'}]}).message",
        )
        assert text == "It does not fit: units: too many is missing"


# ---- the sheet ----


@pytest.mark.parametrize(
    ("scene", "typed", "field"), [("in-range", "6,1", "glucose_mmol"), ("mgdl", "110", "glucose_mgdl")]
)
def test_a_finger_stick_is_logged_in_the_unit_of_the_page(
    scene: str, typed: str, field: str, opened: Opened, server: StandIn
) -> None:
    number = typed.replace(",", ".")
    unit = "mmol/L" if field == "glucose_mmol" else "mg/dL"
    with opened(scene) as page:
        page.keyboard.press("l")
        page.locator("#sheet input[value='fingerstick']").check()
        page.get_by_label("Amount").fill(typed)
        page.get_by_role("button", name="Add a note").click()
        page.get_by_label("Note", exact=True).nth(1).fill("cold hands")
        page.get_by_role("button", name=f"Log finger-stick {number} {unit}").click()
        expect(page.locator("#toasts")).to_contain_text(f"Logged Finger-stick {number}")
        ((body, _),) = server.posted()
        assert body == {"kind": "fingerstick", field: float(number), "note": "cold hands", "time": body["time"]}
        expect(page.locator("#entries .row").first).to_contain_text("cold hands")


def test_a_note_typed_for_something_else_does_not_travel_with_a_dose(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        page.keyboard.press("l")
        page.locator("#sheet input[value='note']").check()
        page.locator("#sheet textarea").fill("half a thought")
        page.locator("#sheet input[value='i Humalog']").check()
        page.get_by_label("Amount").fill("4")
        page.get_by_role("button", name="Log Humalog 4 U").click()
        expect(page.locator("#toasts")).to_contain_text("Logged")
        assert "note" not in server.posted()[0][0]


def test_a_finger_stick_can_be_edited_and_shows_its_number(opened: Opened, server: StandIn) -> None:
    with opened() as page:
        page.get_by_role("button", name=re.compile("Edit Finger-stick")).click()
        expect(page.get_by_label("Amount")).to_have_value("7.8")
        page.get_by_label("Amount").fill("7,5")
        page.get_by_role("button", name="Save finger-stick 7.5 mmol/L at 09:33").click()
        expect(page.locator("#toasts")).to_contain_text("Saved")
        assert next(b for m, _, b, _ in server.posts if m == "PATCH") == {"glucose_mmol": 7.5}


def test_the_quick_chips_always_hold_the_last_long_acting_dose(opened: Opened) -> None:
    with opened("busy") as page:
        page.keyboard.press("l")
        expect(page.locator("#sheet .chip")).to_have_count(6)
        expect(page.locator("#sheet .chip.c-long")).to_have_count(1)


def test_an_unknown_insulin_is_asked_about_and_the_safe_answer_ends_it(opened: Opened, server: StandIn) -> None:
    facts = {
        "reason": "unknown_insulin",
        "title": "Unknown insulin",
        "line": "Humalog is not among your insulins, so it would count for nothing. Did you mean Humulin?",
        "insulin": "Humalog",
        "units": 6.5,
    }
    with opened() as page:
        server.refuse = (409, {"code": "needs_confirm", "detail": facts["line"], "facts": facts})
        log_first_chip(page)
        expect(page.get_by_role("heading", name="Unknown insulin")).to_be_visible()
        expect(page.get_by_role("button", name="Do not log")).to_be_focused()
        check_everywhere(page)
        page.get_by_role("button", name="Log Humalog 6.5 U").click()
        expect(page.locator("#toasts")).to_contain_text("Logged Humalog 6.5")
        assert server.posted()[-1][0]["confirm"] is True


# ---- where readings come from ----


def test_readings_of_an_uploader_are_named_after_it(opened: Opened) -> None:
    with opened("uploads") as page:
        expect(page.locator("#hero .source")).to_have_text("xDrip, live")
        expect(page.locator("#hero")).not_to_contain_text("not set up")
    with opened("uploads-stale") as page:
        expect(page.locator("#hero .source")).to_have_text("xDrip, no data")


def test_a_refused_log_in_is_told_at_once_in_red(opened: Opened) -> None:
    with opened("refused") as page:
        expect(page.locator("#hero .value")).to_have_text("5.8")
        expect(page.locator("#hero .hero-bad")).to_contain_text(
            "Dexcom refuses the log-in: the account or the password is wrong"
        )
        expect(page.locator("#shout")).to_contain_text("refuses the log-in")


def test_nothing_is_called_well_that_is_not_confirmed_or_was_never_set_up(opened: Opened, server: StandIn) -> None:
    with opened("uploads") as page:
        expect(page.locator("#he-sum")).to_have_text("2 not set up")
        expect(page.locator("#health .h-item.missing")).to_have_count(2)
        ticks = page.locator('#health use[href="#i-check"]')
        expect(ticks).to_have_count(4)
        server.die()
        page.wait_for_selector("html[data-live=lost]")
        expect(page.locator("#he-sum")).to_have_text(re.compile(r"^as of \d\d:\d\d$"))
        expect(ticks).to_have_count(0)


# ---- who looks ----


@pytest.mark.parametrize("role", ["reader", "uploader"])
def test_a_reader_is_offered_nothing_that_would_be_refused(role: str, opened: Opened, server: StandIn) -> None:
    with opened("low", role=role) as page:
        expect(page.locator("#notes")).to_contain_text("You may read only." if role == "reader" else "only upload")
        for name in ("Log", "Edit", "Undo", "Acknowledge", "Treated", "15 min"):
            expect(page.get_by_role("button", name=re.compile(name))).to_have_count(0)
        expect(page.locator("#open-alerts")).to_contain_text("Low 3.3")
        page.keyboard.press("l")
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        check_everywhere(page)


# ---- alerts ----


def test_alerts_speak_in_the_unit_that_the_page_shows(opened: Opened) -> None:
    with opened("low") as page:
        expect(page.locator("#open-alerts")).to_contain_text("Low 3.3")
        page.locator("#unit label").last.click()
        expect(page.locator("#open-alerts")).to_contain_text("Below 70 at 20:55, lowest 59")
        expect(page.locator("#alerts")).to_contain_text("Low 59")
        page.reload()
        loaded(page)
        expect(page.locator("#open-alerts")).to_contain_text("lowest 59")
        expect(page.locator("#open-alerts")).not_to_contain_text("3.3")


def test_an_answered_alert_says_when_it_rings_again(opened: Opened) -> None:
    with opened("acked") as page:
        card = page.locator("#open-alerts")
        expect(card).to_contain_text("Acknowledged by Dad at 21:06. Rings again at 21:21 if still so.")
        expect(card.get_by_role("button", name="Treated")).to_have_count(0)
    with opened("low") as page:
        expect(page.locator("#open-alerts")).to_contain_text("Rings again at 21:11 unless somebody answers.")


def test_a_snooze_can_be_lifted(opened: Opened, server: StandIn) -> None:
    with opened("low") as page:
        page.get_by_role("group", name="Snooze").get_by_role("button", name="30 min").click()
        expect(page.locator("#open-alerts")).to_contain_text("Snoozed until 21:37.")
        check_everywhere(page)
        page.get_by_role("button", name="Let it ring again").click()
        expect(page.locator("#open-alerts")).not_to_contain_text("Snoozed")
        assert ("DELETE", "/v1/snoozes/low", {}, None) in server.posts


def test_treated_is_offered_only_where_the_server_offers_it(opened: Opened) -> None:
    with opened("stale-low") as page:
        expect(page.get_by_role("button", name="Acknowledge")).to_be_visible()
        expect(page.get_by_role("button", name="Treated")).to_have_count(0)
    with opened("low") as page:
        expect(page.get_by_role("button", name="Treated")).to_be_visible()


@pytest.mark.parametrize("scene", ["low", "urgent-low", "predicted"])
def test_the_title_of_an_alert_keeps_to_one_line_on_a_small_phone(scene: str, opened: Opened) -> None:
    with opened(scene, width=360, height=740) as page:
        assert box(page, "#open-alerts h2")["height"] < 32


# ---- what is drawn and counted ----


def test_doses_of_an_unknown_insulin_are_said_not_to_be_counted(opened: Opened) -> None:
    with opened("busy") as page:
        expect(page.locator("#context")).to_contain_text("1 dose of an unknown insulin not counted")
    with opened() as page:
        iob = page.locator("#context .ctx").first
        expect(iob).to_contain_text(re.compile(r"IOB, rapid\s*0.4\sU\s*from logged doses; last logged 4\sh\sago"))


def test_two_doses_in_one_minute_never_look_like_one(opened: Opened) -> None:
    with opened("busy") as page:
        marks = page.evaluate(
            """async () => {
              const { grouped } = await import('/static/page/lanes.js');
              const dose = (time_ms, insulin, units) => ({ kind: 'insulin', time_ms, insulin, units });
              const px = (ms) => ms / 60000;
              return grouped(
                [dose(0, 'Tresiba', 20), dose(1000, 'Tresiba', 18), dose(0, 'Humalog', 4), dose(7200000, 'Tresiba', 2)],
                px,
                (role) => (role === 'long' ? 30 : 5),
              ).map((m) => `${m.role} ${m.text}`);
            }"""
        )
        assert marks == ["long 20 + 18", "rapid 4", "long 2"]


def test_the_focus_is_never_hidden_under_the_log_button(opened: Opened) -> None:
    with opened("low", width=360, height=740) as page:
        seen = 0
        for _ in range(60):
            page.keyboard.press("Tab")
            where = page.evaluate(
                """() => {
                  const e = document.activeElement;
                  if (!e || e === document.body) return null;
                  const r = e.getBoundingClientRect(), dock = document.querySelector('#dock');
                  const top = document.querySelector('#bars').getBoundingClientRect().bottom;
                  return [e.closest('#dock') !== null, r.top >= top - 1 || r.height > 300, r.bottom,
                    dock.getBoundingClientRect().top,
                    e.textContent.trim() || e.getAttribute('aria-label') || e.id];
                }"""
            )
            if where is None:
                break
            in_dock, below_bars, bottom, dock, name = where
            assert below_bars, name
            assert in_dock or bottom <= dock + 9, name  # 8 px of the dock are a fading edge
            seen += 1
        assert seen > 20


# ---- the API in words ----


def test_the_api_page_describes_every_operation_of_the_document(opened: Opened) -> None:
    with opened(path="/docs", live=False) as page:
        expect(page.locator("#post_entry")).to_be_attached()
        document = page.evaluate("async () => await (await fetch('/openapi.json')).json()")
        names = {op["operationId"] for by in document["paths"].values() for op in by.values()}
        assert {e.get_attribute("id") for e in page.locator(".op").all()} == names
        entry = page.locator("#post_entry")
        for text in (
            "Idempotency-Key needed",
            "a header; string",
            "number, above 0, at most 300",
            "one of fast, medium, slow, default medium",
            "202 Accepted",
            "409 Conflict",
            "For writer or owner.",
            "-H 'Authorization: Bearer YOUR_TOKEN'",
            '"kind":"insulin"',
        ):
            expect(entry).to_contain_text(text)
        expect(page.locator("#post_readings")).to_contain_text("items[].glucose_mmol")
        expect(page.locator("#groups")).not_to_contain_text("undefined")
        page.locator("#contents summary").click()
        page.locator("#contents").get_by_text("/v1/entries/{id}/undo").click()
        expect(page.locator("#undo_entry h3")).to_be_in_viewport()
        check_everywhere(page)


def test_the_api_page_of_a_demo_says_so_and_one_without_an_answer_too(opened: Opened) -> None:
    with opened("demo", path="/docs", live=False, width=360, height=740) as page:
        expect(page.locator(".bar.demo")).to_be_visible()
        no_sideways_scroll(page)
        assert violations(page) == []
        page.route("**/openapi.json", lambda route: route.fulfill(status=503))
        page.reload()
        expect(page.locator("#docs-says")).to_contain_text("could not be fetched")
