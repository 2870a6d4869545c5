"""The configuration after loading: what a number of mg/dL is, and what is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.settings import (
    FallbackSettings,
    InfluxSettings,
    LegacyInfluxSettings,
    NtfySettings,
    OwnNtfySettings,
    PersonSettings,
    S3Settings,
    Settings,
    SmtpSettings,
    WatchedSettings,
    legacy_config,
)


@pytest.mark.parametrize(
    ("said", "mgdl"),
    [(72, 72), ("72", 72), ("72 mg/dL", 72), ("4.0 mmol/L", 72), ("4,0 MMOL/l", 72), (0, 0), (40, 40), (150, 150)],
)
def test_a_threshold_is_mgdl_and_a_text_may_name_its_unit(said: Any, mgdl: float) -> None:
    assert LegacyInfluxSettings(low_threshold=said).low_threshold == mgdl
    assert WatchedSettings(id="me", low_threshold=said).low_threshold == mgdl


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("low_threshold", 4, "for 4.0 mmol/L write 72 or '4.0 mmol/L'"),
        ("low_threshold", 39.9, "between 40 and 150"),
        ("low_threshold", 151, "between 40 and 150"),
        ("low_threshold", "low", "write a number"),
        ("high_threshold", 25, "for 25.0 mmol/L"),
        ("high_threshold", 99, "between 100 and 400"),
        ("high_threshold", 401, "between 100 and 400"),
        ("low_threshold", -1, "between"),
    ],
)
def test_a_threshold_that_can_be_none_says_what_to_write(field: str, value: Any, why: str) -> None:
    for refusing in (LegacyInfluxSettings, WatchedSettings):
        with pytest.raises(ValidationError, match=why):
            refusing.model_validate({"id": "me", field: value} if refusing is WatchedSettings else {field: value})


def test_an_address_is_one_and_ends_without_a_slash() -> None:
    assert NtfySettings(server="https://ntfy.sh/").server == "https://ntfy.sh"
    assert OwnNtfySettings(server="http://localhost/").server == "http://localhost"
    assert InfluxSettings(url="http://localhost:8086/").url == "http://localhost:8086"
    assert (S3Settings(endpoint="s3.example/").endpoint, S3Settings().endpoint) == ("https://s3.example", "")
    for wrong in (
        lambda: NtfySettings(server="ntfy.sh"),
        lambda: InfluxSettings(url="ftp://x"),
        lambda: S3Settings(endpoint="ftp://x"),
    ):
        with pytest.raises(ValidationError, match="must begin with http"):
            wrong()


def test_alerts_are_on_or_in_shadow_and_never_off() -> None:
    assert Settings.model_validate({"alerts": True}).alerts == "on"
    assert Settings(alerts="shadow").alerts == "shadow"
    with pytest.raises(ValidationError, match="write on or shadow"):
        Settings.model_validate({"alerts": False})


def test_a_zone_is_one_of_iana() -> None:
    assert PersonSettings(zone="Europe/Berlin").zone == "Europe/Berlin"
    with pytest.raises(ValidationError, match="no IANA time zone"):
        PersonSettings(zone="CEST")


def test_a_key_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(ValidationError, match="extra"):
        Settings.model_validate({"ntfi": {}})


def test_the_topic_of_ntfy_wins_over_the_seeds_endpoint() -> None:
    assert Settings(iv3=LegacyInfluxSettings(endpoint="old")).topic == "old"
    assert Settings(iv3=LegacyInfluxSettings(endpoint="old"), ntfy=NtfySettings(topic="new")).topic == "new"
    assert Settings().topic == ""


def test_the_second_ways_out_are_those_that_are_set() -> None:
    assert FallbackSettings().ways == []
    assert FallbackSettings(topic="t", smtp=SmtpSettings(host="mail")).ways == ["topic", "smtp"]


def test_the_seeds_configuration_is_shown_with_its_names_and_without_a_secret() -> None:
    settings = Settings.model_validate(
        {
            "dexcom": {"account": "a", "password": "p"},
            "insulin": [{"name": "Humalog", "duration": 300, "peak": 75.5, "period_type": "short"}],
            "iv3": {"endpoint": "secret-topic", "low_threshold": 72},
        }
    )
    shown = legacy_config(settings)
    assert shown["Insulin"] == [{"Name": "Humalog", "Duration": 300, "Peak": 75.5, "PeriodType": "short"}]
    assert shown["Dexcom"] == {"Account": "", "Password": ""}
    assert shown["Iv3"] == {
        "Unit": "mmol/L",
        "Endpoint": "",
        "MissingLongThreshold": 0,
        "HighThreshold": 0,
        "LowThreshold": 72,
    }
