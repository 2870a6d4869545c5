"""What ships: the compose file, the image, the guard of InfluxDB's data, the systemd unit. What needs Docker cannot run
here and is read instead.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from iv3.options import ServiceOptions
from iv3.verbs.service import unit
from streams.errors import Misconfigured

ROOT = Path(__file__).resolve().parents[2]
GUARD = ROOT / "deploy" / "influxdb-guard.sh"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    return found


def test_every_image_is_pinned_and_every_server_has_a_health_check(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        image = service["image"]
        assert re.fullmatch(r"[a-z0-9/._-]+:v?\d+\.\d+(\.\d+)?", image), f"{name}: {image}"
        if name not in (
            "iv3",
            "influxdb-guard",
            "s3",
        ):  # the image of iv3 has its own, the guard ends, the gateway's holds no shell
            assert service["healthcheck"]["test"], name


def test_without_a_profile_only_iv3_and_influxdb_run(compose: dict[str, Any]) -> None:
    plain = {name for name, service in compose["services"].items() if not service.get("profiles")}
    assert plain == {"iv3", "influxdb", "influxdb-guard"}
    profiles = {profile for service in compose["services"].values() for profile in service.get("profiles", [])}
    assert profiles == {"kafka", "ntfy", "s3"}


def test_what_the_go_iv3_mounted_and_published_stays_where_it_was(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert "./_iv3_data/influxdb2:/var/lib/influxdb2" in services["influxdb"]["volumes"]
    assert "./_iv3_config/influxdb2:/etc/influxdb2" in services["influxdb"]["volumes"]
    assert "./_iv3_ssl:/iv3/_iv3_ssl:ro" in services["iv3"]["volumes"]
    assert services["iv3"]["ports"] == ["8080:8443"]


def test_no_secret_stands_in_the_file_and_every_one_that_is_used_is_a_file(compose: dict[str, Any]) -> None:
    used = {secret for service in compose["services"].values() for secret in service.get("secrets", [])}
    assert used == set(compose["secrets"])
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    for service in compose["services"].values():
        for key, value in service.get("environment", {}).items():
            if re.search(r"TOKEN|PASSWORD|SECRET|KEY", key):
                assert key.endswith("_FILE"), key
                assert str(value).startswith("/run/secrets/")


def test_nothing_but_loopback_and_iv3_itself_is_published(compose: dict[str, Any]) -> None:
    published = {
        port for name, service in compose["services"].items() if name != "iv3" for port in service.get("ports", [])
    }
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_settings_in_the_compose_file_exist(tmp_path: Path, compose: dict[str, Any]) -> None:
    from iv3.config import load

    token = tmp_path / "token"
    token.write_text("t")
    environment = dict(compose["services"]["iv3"]["environment"])
    environment |= {"IV3_LOG": "kafka://kafka:9092", "IV3_SERIES": "influxdb", "IV3_INFLUXDB__TOKEN_FILE": str(token)}
    settings = load(None, folder=tmp_path, environment=environment)
    assert settings.influxdb.url == "http://influxdb:8086"
    assert settings.influxdb.token.get_secret_value() == "t"


def test_the_image_runs_as_nobody_and_holds_no_build_tools() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    last = text[text.rindex("FROM ") :]
    assert "USER iv3" in last
    assert "pip install" not in last
    assert "HEALTHCHECK" in last
    copied = set(re.findall(r"^COPY (\w+) \w+$", text, re.MULTILINE))
    assert copied == {"schemas", "processors", "streams", "api", "iv3"}


def guard(tmp_path: Path, version: str = "2.8") -> subprocess.CompletedProcess[str]:
    command = ["sh", str(GUARD), version, str(tmp_path / "data"), str(tmp_path / "backups")]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_a_newer_influxdb_never_opens_old_data_that_was_not_backed_up(tmp_path: Path) -> None:
    assert guard(tmp_path).returncode == 0, "nothing is there yet"
    (tmp_path / "data" / "influxd.bolt").write_text("written")
    assert guard(tmp_path).returncode == 0, "the same version"
    refused = guard(tmp_path, "2.9")
    assert refused.returncode == 1
    assert "task idb-backup" in refused.stderr
    assert (tmp_path / "data" / "iv3-influxdb-version").read_text() == "2.8"
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "full.tar").write_text("a backup")
    os.utime(tmp_path / "backups" / "full.tar", (2_000_000_000, 2_000_000_000))
    assert guard(tmp_path, "2.9").returncode == 0
    assert (tmp_path / "data" / "iv3-influxdb-version").read_text() == "2.9"


def test_data_of_the_go_iv3_needs_a_backup_first(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "influxd.bolt").write_text("the seed's")
    refused = guard(tmp_path)
    assert refused.returncode == 1
    assert "an unknown version" in refused.stderr


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not beside the checkout")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "iv3", "service", "show", "--user", "root", "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    file = tmp_path / "iv3.service"
    file.write_text(done.stdout)
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in verified.stderr.splitlines() if "iv3.service" in line]
    assert ours == [], ours
    assert "After=network-online.target time-sync.target" in done.stdout


def test_a_folder_that_would_break_out_of_the_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="quotes"):
        unit(ServiceOptions("iv3", tmp_path / 'a"\nExecStart=evil'), Path("/usr/bin/iv3"))


def test_without_a_configuration_no_service_is_installed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "iv3", "service", "install", "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
