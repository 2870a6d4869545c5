"""What Dexcom Share says, and what iv3 takes it for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.sources.dexcom import (
    APPLICATION_IDS,
    BASE_URLS,
    ZERO_UUID,
    Parsed,
    ShareReading,
    judge,
    parse_readings,
    parse_uuid,
)

T = 1_745_081_013_817
UUID = "1e2f3a4b-0000-4000-8000-123456789abc"


def item(time_ms: int = T, value: Any = 224, trend: Any = "Flat", wt: str | None = None, **more: Any) -> dict[str, Any]:
    when = f"Date({time_ms})" if wt is None else wt
    return {"WT": when, "ST": "Date(1)", "DT": "Date(1-0400)", "Value": value, "Trend": trend, **more}


def parsed(*items: Any) -> Parsed:
    return parse_readings(json.dumps(items).encode())


def error(code: str, message: str = "", sub_code: Any = "<OnlineException ErrorCode='7' />") -> bytes:
    return json.dumps({"Code": code, "Message": message, "SubCode": sub_code, "TypeName": "FaultException"}).encode()


def test_a_reading_is_its_wall_time_its_value_and_its_trend() -> None:
    assert parsed(item()).readings == (ShareReading(T, 224.0, "Flat"),)


@pytest.mark.parametrize(
    "wt", [f"Date({T})", f"/Date({T})/", f"Date({T}-0400)", f"Date({T}+0530)", f"/Date({T}-0400)/"]
)
def test_every_form_of_date_that_was_ever_sent_is_the_same_moment(wt: str) -> None:
    assert parsed(item(wt=wt)).readings[0].time_ms == T


@pytest.mark.parametrize(
    ("sent", "trend"),
    [
        ("DoubleUp", "DoubleUp"),
        ("RateOutOfRange", "RateOutOfRange"),
        ("None", None),
        ("Sideways", None),
        (0, None),
        (1, "DoubleUp"),
        (4, "Flat"),
        (7, "DoubleDown"),
        (9, "RateOutOfRange"),
        (10, None),
        (-1, None),
        (True, None),
        (None, None),
        ({"a": 1}, None),
    ],
)
def test_a_trend_is_a_word_or_a_number_and_an_unknown_one_costs_no_reading(sent: Any, trend: str | None) -> None:
    assert parsed(item(trend=sent)).readings == (ShareReading(T, 224.0, trend),)  # type: ignore[arg-type]  # what a server may send, right or wrong


def test_a_reading_without_a_trend_is_a_reading() -> None:
    without = item()
    del without["Trend"]
    assert parsed(without).readings == (ShareReading(T, 224.0, None),)


def test_low_is_39_and_high_is_401() -> None:
    read = parsed(item(value=39), item(T + 300_000, value=401)).readings
    assert [reading.glucose_mgdl for reading in read] == [39.0, 401.0]


@pytest.mark.parametrize("code", [1, 5, 10, 38])
def test_values_below_39_are_what_the_sensor_says_about_itself(code: int) -> None:
    result = parsed(item(value=code), item(T + 300_000))
    assert result.sensor_codes == ((T, code),)
    assert [reading.glucose_mgdl for reading in result.readings] == [224.0]
    assert not result.rejected


@pytest.mark.parametrize("value", [0, None, 601, -5, "224", True, 38.5, [], 1e300])
def test_what_is_no_glucose_is_named_and_costs_no_other_reading(value: Any) -> None:
    result = parsed(item(T, value), item(T + 300_000, 100))
    assert [reading.glucose_mgdl for reading in result.readings] == [100.0]
    assert not result.sensor_codes
    assert len(result.rejected) == 1
    assert result.rejected[0].startswith("item 1: Value")


def test_not_a_number_and_infinity_are_named_too() -> None:
    body = f'[{{"WT":"Date({T})","Value":NaN}},{{"WT":"Date({T})","Value":Infinity}},{{"WT":"Date({T})","Value":100}}]'
    result = parse_readings(body.encode())
    assert len(result.readings) == 1
    assert len(result.rejected) == 2


@pytest.mark.parametrize(
    "wt",
    ["", "2026-01-31", "Date()", "Date(abc)", "Date(0)", "Date(9999999999999999999)", "Date(1745081013817", 17, None],
)
def test_a_reading_without_a_time_is_named(wt: Any) -> None:
    broken = item() | {"WT": wt}
    result = parsed(broken, item())
    assert len(result.readings) == 1
    assert "WT" in result.rejected[0]


@pytest.mark.parametrize("thing", [None, 7, "x", [], [item()]])
def test_an_item_that_is_no_object_is_named(thing: Any) -> None:
    assert parsed(thing, item()).rejected == ("item 1: is no object",)


def test_a_long_broken_value_is_cut() -> None:
    assert len(parsed(item(value="x" * 10_000)).rejected[0]) < 150


def test_readings_come_out_oldest_first_however_they_were_sent() -> None:
    times = [T + step * 300_000 for step in (2, 0, 3, 1)]
    assert [reading.time_ms for reading in parsed(*map(item, times)).readings] == sorted(times)


def test_two_readings_of_one_second_are_one() -> None:
    second = T // 1000 * 1000
    assert parsed(item(second + 1, 100), item(second + 1, 101)).readings == (ShareReading(second + 1, 100.0, "Flat"),)
    for items in ([item(second, 100), item(second + 999, 101)], [item(second + 999, 101), item(second, 100)]):
        assert parsed(*items).readings == (ShareReading(second + 999, 101.0, "Flat"),)


@pytest.mark.parametrize("body", [b"", b"{}", b'"x"', b"null", b"<html>", b"[", b"\xff\xfe"])
def test_a_body_that_is_no_list_has_no_readings_and_says_so(body: bytes) -> None:
    with pytest.raises(ValueError, match="no JSON array"):
        parse_readings(body)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_nothing_in_a_list_can_raise(thing: Any) -> None:
    result = parsed(item(value=thing), item(wt="x") | {"WT": thing}, item(trend=thing), thing)
    assert all(39 <= reading.glucose_mgdl <= 600 for reading in result.readings)


@given(st.binary(max_size=60), st.integers(100, 599), st.none() | st.text(max_size=30))
def test_every_answer_has_a_verdict(body: bytes, status: int, retry_after: str | None) -> None:
    verdict = judge(status, body, retry_after, server_time_ms=T)
    assert verdict.kind == "ok" or verdict.reason.endswith(".")


@pytest.mark.parametrize("body", [b"[]", json.dumps([item()]).encode(), f'"{UUID}"'.encode()])
def test_a_list_and_an_id_are_good_answers(body: bytes) -> None:
    assert judge(200, body, None).kind == "ok"


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("SessionIdNotFound", "Session ID not found", "session_gone"),
        ("SessionNotValid", "Session not active or timed out", "session_gone"),
        ("AccountPasswordInvalid", "Publisher account password failed", "rejected"),
        ("SSO_InternalError", "Cannot Authenticate by AccountName", "rejected"),
        ("SSO_InternalError", "Cannot Authenticate by AccountId", "rejected"),
        ("SSO_InternalError", "the database is on fire", "outage"),
        ("SSO_AuthenticateAccountNotFound", "", "rejected"),
        ("SSO_AuthenticatePasswordInvalid", "", "rejected"),
        ("SSO_AuthenticateMaxAttemptsExceeded", "", "locked_out"),
        ("InvalidArgument", "accountName is null", "misconfigured"),
        ("InvalidArgument", "password is null", "misconfigured"),
        ("InvalidArgument", "not a UUID", "misconfigured"),
        ("InvalidArgument", "", "misconfigured"),
        ("SomethingNew", "", "outage"),
    ],
)
@pytest.mark.parametrize("sub_code", ["<OnlineException />", '{"json":1}', {"json": 1}, None])
@pytest.mark.parametrize("status", [500, 200, 400])
def test_an_error_is_judged_by_its_code_alone(code: str, message: str, kind: str, sub_code: Any, status: int) -> None:
    assert judge(status, error(code, message, sub_code), None).kind == kind


def test_the_zero_uuid_is_a_quiet_rejection_and_no_id() -> None:
    body = f'"{ZERO_UUID}"'.encode()
    assert judge(200, body, None).kind == "rejected"
    assert parse_uuid(body) is None
    assert parse_uuid(f'"{UUID}"'.encode()) == UUID
    assert parse_uuid(b"[]") is None
    assert parse_uuid(b'"not an id"') is None


@pytest.mark.parametrize("body", [b"", b"  ", b"<html>Cloudflare</html>", b"{}", b"7", b"null", b'"no id"', b"[1"])
def test_an_answer_that_makes_no_sense_is_an_outage(body: bytes) -> None:
    assert judge(200, body, None).kind == "outage"


@pytest.mark.parametrize(
    ("status", "kind"), [(403, "throttled"), (429, "throttled"), (302, "outage"), (404, "outage"), (503, "outage")]
)
def test_a_page_of_somebody_in_between_is_waited_out(status: int, kind: str) -> None:
    assert judge(status, b"<html></html>", None) == (kind, judge(status, b"", None).reason, None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("42", 42.0),
        (" 7 ", 7.0),
        ("99999999", 3600.0),
        ("-1", None),
        ("soon", None),
        (None, None),
        ("Sat, 19 Apr 2025 16:44:33 GMT", 60.0),
        ("Sat, 19 Apr 2025 16:40:33 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date_and_at_most_an_hour(header: str | None, seconds: float | None) -> None:
    now_ms = 1_745_081_013_000  # 16:43:33
    assert judge(429, b"", header, server_time_ms=now_ms).retry_after_s == seconds
    assert judge(503, b"", header, server_time_ms=now_ms).retry_after_s == seconds


def test_a_date_to_wait_for_means_nothing_without_the_servers_clock() -> None:
    assert judge(429, b"", "Sat, 19 Apr 2025 16:44:33 GMT").retry_after_s is None


def test_no_reason_repeats_what_the_server_said() -> None:
    secret = "mum@example.com"
    for code in ("AccountPasswordInvalid", "InvalidArgument", "SomethingNew", f"<b>{secret}</b>"):
        assert secret not in judge(500, error(code, f"password of {secret}", secret), None).reason


def test_each_region_has_its_server_and_japan_its_own_application() -> None:
    assert BASE_URLS.keys() == APPLICATION_IDS.keys() == {"us", "ous", "jp"}
    assert all(url.startswith("https://") and url.endswith("/ShareWebServices/Services") for url in BASE_URLS.values())
    assert APPLICATION_IDS["us"] == APPLICATION_IDS["ous"] != APPLICATION_IDS["jp"]
