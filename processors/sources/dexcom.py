"""What an answer of Dexcom Share means: readings, or whose fault it is that there are none.

Pure: bytes in, values out. Nothing of the account (names, session ids, messages of the server) ever gets into a reason.
"""

import json
import re
from email.utils import parsedate_to_datetime
from typing import Final, Literal, NamedTuple

from processors.plausibility import EARLIEST_MS
from schemas.facts import TRENDS, Trend

Region = Literal["us", "ous", "jp"]

BASE_URLS: Final[dict[Region, str]] = {
    "us": "https://share2.dexcom.com/ShareWebServices/Services",
    "ous": "https://shareous1.dexcom.com/ShareWebServices/Services",
    "jp": "https://share.dexcom.jp/ShareWebServices/Services",
}
_APPLICATION_ID = "d89443d2-327c-4a6f-89e5-496bbb0317db"
APPLICATION_IDS: Final[dict[Region, str]] = {
    "us": _APPLICATION_ID,
    "ous": _APPLICATION_ID,
    "jp": "d8665ade-9673-4e27-9ff6-92db4ce13d13",
}
ZERO_UUID: Final = "00000000-0000-0000-0000-000000000000"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DATE = re.compile(r"/?Date\((\d{1,15})(?:[+-]\d{4})?\)/?")
_LATEST_MS = 4_102_444_800_000  # the year 2100: after it, as before the earliest, it is no time but damage
_LOWEST_MGDL, _HIGHEST_MGDL = 39, 600
_RETRY_AFTER_MAX_S = 3600.0  # a server that asks for more is mistaken, and the person would go unwatched

_SESSION_GONE = frozenset({"SessionIdNotFound", "SessionNotValid"})
_REJECTED = frozenset({"AccountPasswordInvalid", "SSO_AuthenticateAccountNotFound", "SSO_AuthenticatePasswordInvalid"})
_LOCKED_OUT = "SSO_AuthenticateMaxAttemptsExceeded"

VerdictKind = Literal["ok", "session_gone", "rejected", "locked_out", "misconfigured", "throttled", "outage"]


class ShareReading(NamedTuple):
    """One reading: epoch milliseconds of its WT, mg/dL (39 is LOW, 401 HIGH), and the trend if it is a known one."""

    time_ms: int
    glucose_mgdl: float
    trend: Trend | None


class ShareCode(NamedTuple):
    """A code, 1 to 38, that the sensor sent instead of glucose."""

    time_ms: int
    code: int


class Parsed(NamedTuple):
    """The parsed body of a readings answer, each part oldest first.

    `rejected` says in a sentence each what was left out.
    """

    readings: tuple[ShareReading, ...]
    sensor_codes: tuple[ShareCode, ...]
    rejected: tuple[str, ...]


class Verdict(NamedTuple):
    """The verdict on an answer of Share.

    `reason` is a sentence for people, empty for ok; `retry_after_s` is what the server asked for.
    """

    kind: VerdictKind
    reason: str = ""
    retry_after_s: float | None = None


def judge(status: int, body: bytes, retry_after_header: str | None, *, server_time_ms: int | None = None) -> Verdict:
    """Judge the answer of any of the three Share calls.

    "ok" is HTTP 200 with a JSON array or a uuid that is not all zeros. `server_time_ms` (the Date header) is only
    needed to understand a Retry-After that names a date.
    """
    wait_s = retry_after_s(retry_after_header, server_time_ms)
    content = _json(body)
    if isinstance(content, dict) and isinstance(content.get("Code"), str):
        return _judge_code(content["Code"], str(content.get("Message", "")), wait_s)
    if status != 200:
        return _judge_failure(status, wait_s)
    if content == ZERO_UUID:
        return Verdict("rejected", "Dexcom Share did not accept the log-in (it answered an empty id).")
    if isinstance(content, list) or _is_uuid(content):
        return Verdict("ok")
    what = "nothing" if not body.strip() else "something that is neither readings nor an id"
    return Verdict("outage", f"Dexcom Share answered {what}; it is asked again later.", wait_s)


def parse_uuid(body: bytes) -> str | None:
    """The account or session id of a log-in answer, None if it holds none (the zero uuid is none)."""
    content = _json(body)
    return str(content) if _is_uuid(content) and content != ZERO_UUID else None


def parse_readings(body: bytes) -> Parsed:
    """The readings of a body; what cannot be read is named in `rejected` and costs no other reading.

    Two readings of one second are one: the later WT counts, of equals the one listed first. Raises ValueError if the
    body is no JSON array.
    """
    content = _json(body)
    if not isinstance(content, list):
        raise ValueError("the body is no JSON array of readings")  # noqa: TRY004 - what is wrong is the text, not the argument's type
    readings: dict[int, ShareReading] = {}
    codes: dict[int, ShareCode] = {}
    rejected: list[str] = []
    for number, item in enumerate(content, 1):
        read = _parse_item(item)
        if isinstance(read, str):
            rejected.append(f"item {number}: {read}")
            continue
        second = read.time_ms // 1000
        if read.glucose_mgdl < _LOWEST_MGDL:
            codes.setdefault(second, ShareCode(read.time_ms, int(read.glucose_mgdl)))
        elif second not in readings or read.time_ms > readings[second].time_ms:
            readings[second] = read
    return Parsed(
        readings=tuple(readings[second] for second in sorted(readings)),
        sensor_codes=tuple(codes[second] for second in sorted(codes)),
        rejected=tuple(rejected),
    )


def http_time_ms(header: str | None) -> int | None:
    """Epoch milliseconds of an HTTP date (whole seconds), None where there is none that can be read."""
    try:
        return round(parsedate_to_datetime(header or "").timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        return None


def _judge_failure(status: int, wait_s: float | None) -> Verdict:
    """A status other than 200 without an error of Share's own: something before Share answered, or Share is down."""
    if status in {403, 429}:
        return Verdict("throttled", f"Dexcom Share asked to be left alone for a while (HTTP {status}).", wait_s)
    if status == 404:
        return Verdict("outage", "Dexcom Share does not know this address (HTTP 404): check dexcom.url.", wait_s)
    if 300 <= status < 400:
        return Verdict("outage", f"Dexcom Share wants to redirect (HTTP {status}), which is not followed.", wait_s)
    return Verdict("outage", f"Dexcom Share failed (HTTP {status}); it is asked again later.", wait_s)


def _judge_code(code: str, message: str, wait_s: float | None) -> Verdict:
    """The error table. `SubCode` is never looked at: it has been seen as XML and as JSON."""
    if code in _SESSION_GONE:
        return Verdict("session_gone", "The Dexcom Share session has ended; a new log-in is needed.")
    if code in _REJECTED or (code == "SSO_InternalError" and "Cannot Authenticate by Account" in message):
        said = "Dexcom Share rejected the log-in: check dexcom.account, dexcom.password and dexcom.region."
        return Verdict("rejected", said)
    if code == _LOCKED_OUT:
        return Verdict("locked_out", "Dexcom Share has locked the account for a while after too many failed log-ins.")
    if code == "InvalidArgument":
        named = next((word for word in ("accountName", "password", "UUID") if word in message), None)
        return Verdict("misconfigured", f"Dexcom Share cannot use {_SETTINGS[named]}.")
    known = code if re.fullmatch(r"\w{1,60}", code) else "an unreadable code"
    return Verdict("outage", f"Dexcom Share failed ({known}); it is asked again later.", wait_s)


_SETTINGS: Final[dict[str | None, str]] = {
    "accountName": "the account name: check dexcom.account",
    "password": "the password: check dexcom.password",
    "UUID": "the account or session id it was sent: check dexcom.account",
    None: "what it was sent: check dexcom.account, dexcom.password and dexcom.region",
}


def _parse_item(item: object) -> ShareReading | str:
    """A reading (codes 1 to 38 included), or why the item is none."""
    if not isinstance(item, dict):
        return "is no object"
    time_ms = _time_ms(item.get("WT"))
    if time_ms is None:
        return f"WT {_short(item.get('WT'))} is no time"
    value = item.get("Value")
    if not isinstance(value, int | float) or isinstance(value, bool):
        return f"Value {_short(value)} is no number"
    if not (_LOWEST_MGDL <= value <= _HIGHEST_MGDL or (1 <= value < _LOWEST_MGDL and value == int(value))):
        return f"Value {_short(value)} is neither glucose (39 to 600 mg/dL) nor a sensor code (1 to 38)"
    return ShareReading(time_ms, float(value), _trend(item.get("Trend")))


def _time_ms(text: object) -> int | None:
    match = _DATE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    time_ms = int(match[1])
    return time_ms if EARLIEST_MS <= time_ms < _LATEST_MS else None


def _trend(raw: object) -> Trend | None:
    """Unknown trends are no reason to lose a reading."""
    if isinstance(raw, str):
        return next((trend for trend in TRENDS if trend == raw), None)
    if isinstance(raw, int) and 1 <= raw <= len(TRENDS):
        return TRENDS[raw - 1] if not isinstance(raw, bool) else None
    return None


def _json(body: bytes) -> object:
    """The JSON in the body; None where there is none (`null` counts as none)."""
    try:
        content: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content


def _is_uuid(content: object) -> bool:
    return isinstance(content, str) and _UUID.fullmatch(content) is not None


def retry_after_s(header: str | None, server_time_ms: int | None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date (RFC 9110 10.2.3); None where it names no time."""
    text = (header or "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return min(float(text), _RETRY_AFTER_MAX_S)
    until_ms = http_time_ms(text)
    if until_ms is None or server_time_ms is None:
        return None
    return min(max((until_ms - server_time_ms) / 1000, 0.0), _RETRY_AFTER_MAX_S)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."  # enough to recognise it by
