"""The configuration as people get it wrong: one sentence that names the key, exit 2, and never a secret."""

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from iv3.assembly.channels import channels_of
from iv3.assembly.people import source_of
from iv3.config import load
from schemas.household import Credentials
from schemas.settings import DexcomSettings, FallbackSettings, Settings
from streams.clock import SystemClock
from tests.support.command_line import iv3
from tests.support.outside import Outside

GOOD = "dexcom: {account: me@example.org, password: s3cr3t-canary}\niv3: {endpoint: some-topic}\n"
T0 = 1_795_500_000_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dexcom: {acount: x}", "there is no setting dexcom.acount. Did you mean account?"),
        ("dexcmo: {}", "Did you mean dexcom?"),
        ("insulin: [{name: H, duration: 300, period: short}]", "insulin.0.period"),
        ("api: {port: many}", "api.port"),
        ("iv3: {low_threshold: 4}", "iv3.low_threshold is 4; for 4.0 mmol/L write 72 or '4.0 mmol/L'"),
        ("iv3: {high_threshold: 13}", "iv3.high_threshold is 13; for 13.0 mmol/L write 234"),
        ("iv3: {low_threshold: 500}", "between 40 and 150"),
        ("iv3: {unit: mg}", "iv3.unit"),
        ("person: {zone: Mars/Base}", "no IANA time zone"),
        ("dexcom: {account: a}", "dexcom.password is missing"),
        ("dexcom: [a", "no valid YAML (line"),
        ("just text", "must hold keys and values"),
        ("api: {username: u}", "belong together"),
        ("archive: tape", "archive: must be none, s3, or folder:PATH"),
        ("archive: s3", "s3.bucket and s3.key and s3.secret are missing"),
        ("archive: s3\ns3: {bucket: b, key: k}", "s3.secret is missing"),
        ("s3: {endpoint: 'ftp://x'}", "s3.endpoint: must begin with https://"),
        ("s3: {prefix: ../x}", "s3.prefix"),
        ("archive_keep_days: 0", "archive_keep_days"),
        ("ntfy: {server: ntfy.example}", "must begin with https://"),
        ("log: mysql", "log: must be sqlite, or kafka://HOST:PORT"),
        ("log: 'kafka://host:port'", "names no brokers"),
        ("log: kafka://h\nkafka: {username: u}", "kafka.username and kafka.password belong together"),
        ("log: kafka://h\nkafka: {session_s: 1}", "kafka.session_s"),
        ("api: {host: 0.0.0.0}", "Listening on 0.0.0.0 needs TLS"),
        ("log: kafka://me:canary@h:9092", "kafka.username and kafka.password"),
        ("ntfy: {topic: a, topic: b}", "topic stands twice, in lines 1 and 1"),
        ("ntfy: {topic: a}\niv3: {unit: mmol/L}\nntfy: {server: https://h}", "ntfy stands twice, in lines 1 and 3"),
        ("series: influxdb", "influxdb.token is missing"),
        ("ntfy: {fallback: {topic: t, webhook: 'https://h'}}", "choose one of topic, webhook and smtp"),
        ("ntfy: {topic: t, fallback: {topic: t}}", "a second way out must be another one"),
        ("ntfy: {fallback: {webhook: nowhere}}", "ntfy.fallback.webhook must begin with https://"),
        (
            "ntfy: {fallback: {smtp: {host: mail.example, sender: a@b.c, to: [d@e.f], encryption: none}}}",
            "use starttls or tls",
        ),
        ("healthcheck_url: nowhere", "healthcheck_url must begin with https://"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    done = iv3(tmp_path, "config", "check")
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_or_cannot_be_read_is_named(tmp_path: Path) -> None:
    done = iv3(tmp_path, "config", "check", "--config", "nowhere.yaml")
    assert (done.returncode, "There is no file nowhere.yaml" in done.stderr) == (2, True)
    (tmp_path / "folder.yaml").mkdir()
    done = iv3(tmp_path, "config", "check", "--config", "folder.yaml")
    assert (done.returncode, "cannot be read" in done.stderr) == (2, True)


def test_a_good_one_says_what_it_means_and_prints_no_secret(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD + "person: {zone: Europe/Berlin}\n")
    done = iv3(tmp_path, "config", "check")
    assert done.returncode == 0, done.stderr
    assert "times in Europe/Berlin" in done.stdout
    assert "canary" not in done.stdout + done.stderr


def test_the_seeds_own_file_loads_unchanged_and_100_is_explained(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        GOOD.replace(
            "iv3: {endpoint: some-topic}",
            "iv3: {unit: mmol/L, endpoint: t, missing_long_threshold: 26, high_threshold: 180, low_threshold: 100}",
        )
        + "insulin: [{name: Humalog, duration: 240, peak: 75, period_type: short}, {name: Tresiba, "
        "duration: 2520, peak: 0, period_type: long}]\n"
        "api: {username: u, password: p}\ns3: {endpoint: e, bucket: b, key: k, secret: s}\n"
    )
    (tmp_path / ".env").write_text("INFLUXDB_TOKEN=x\nIV3_ENV=dev\nDD_API_KEY=y\n")
    done = iv3(tmp_path, "config", "check")
    assert done.returncode == 0, done.stderr
    assert "foreseen below 100 (5.6)" in done.stdout
    assert "many alarms a day" in done.stdout


def test_a_setting_that_is_called_file_may_stand_in_the_environment(tmp_path: Path) -> None:
    said = load(None, folder=tmp_path, environment={"IV3_CREDENTIALS__FILE": "/srv/people.enc"})
    assert said.credentials.file == "/srv/people.enc"
    (tmp_path / "key").write_text("a key of at least 32 characters..\n")
    said = load(None, folder=tmp_path, environment={"IV3_CREDENTIALS__KEY_FILE": str(tmp_path / "key")})
    assert said.credentials.key is not None
    assert said.credentials.key.get_secret_value() == "a key of at least 32 characters.."


WAYS = {
    "topic": {"topic": "another"},
    "webhook": {"webhook": "https://hook.example/x"},
    "smtp": {"smtp": {"host": "mail.example", "sender": "a@b.c", "to": ["d@e.f"]}},
}


def test_every_second_way_out_that_may_be_configured_is_built() -> None:
    assert set(WAYS) == set(FallbackSettings.WAYS)
    built = [
        channels_of(Settings.model_validate({"ntfy": {"fallback": said}}), SystemClock()).fallback
        for said in WAYS.values()
    ]
    assert len({type(way) for way in built} - {type(None)}) == len(WAYS)
    assert channels_of(Settings(), SystemClock()).fallback is None


def test_every_source_that_may_be_configured_is_built(tmp_path: Path) -> None:
    accounts = {"dexcom": DexcomSettings(account="me@example.org", password=SecretStr("x"))}
    assert set(accounts) == set(Credentials.model_fields) - {"ntfy"}
    for name, account in accounts.items():
        made = source_of(Settings(), tmp_path, SystemClock(), "me", Credentials(**{name: account}))
        assert made is not None
        assert name in made.name
    assert source_of(Settings(), tmp_path, SystemClock(), "me", Credentials()) is None


@pytest.mark.long
def test_the_environment_goes_over_files_over_dotenv_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("person: {zone: Europe/Berlin}\n")
    (tmp_path / ".env").write_text("IV3_PERSON__ZONE=Asia/Tokyo\n")
    assert "Asia/Tokyo" in iv3(tmp_path, "config", "check").stdout
    (tmp_path / "zone").write_text("Asia/Kathmandu\n")
    secret = {"IV3_PERSON__ZONE_FILE": str(tmp_path / "zone")}
    assert "Asia/Kathmandu" in iv3(tmp_path, "config", "check", **secret).stdout
    assert "Africa/Nairobi" in iv3(tmp_path, "config", "check", **secret, IV3_PERSON__ZONE="Africa/Nairobi").stdout
    assert "72" in iv3(tmp_path, "config", "check", IV3_IV3__LOW_THRESHOLD="4.0 mmol/L").stdout


def test_a_misspelt_variable_of_ours_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    done = iv3(tmp_path, "config", "check", IV3_NTFY__SERVR="https://x")
    assert done.returncode == 2
    assert "Did you mean server?" in done.stderr


# -- doctor, init, test-alarm ----------------------------------------------------------------------


@pytest.fixture
def outside() -> Iterator[Outside]:
    made = Outside()
    yield made
    made.close()


def configured(folder: Path, outside: Outside, **more: str) -> None:
    password = more.get("password", "demo")
    (folder / "config.yaml").write_text(
        f"dexcom: {{account: demo, password: {password}, url: '{outside.share.url}'}}\n"
        f"ntfy: {{server: '{outside.phone.url}', topic: {more.get('topic', 'alarms')}}}\nperson: {{zone: "
        f"Europe/Berlin}}\napi: {{port: 0}}\n"
    )
    (folder / "config.yaml").chmod(int(more.get("mode", "600"), 8))


def findings(folder: Path, code: int) -> dict[str, bool]:
    done = iv3(folder, "doctor", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    assert "canary" not in done.stdout + done.stderr
    return {finding["name"]: finding["ok"] for finding in json.loads(done.stdout)}


@pytest.mark.long
def test_the_doctor_finds_nothing_wrong_where_nothing_is(tmp_path: Path, outside: Outside) -> None:
    configured(tmp_path, outside)
    found = findings(tmp_path, 0)
    assert {name for name, ok in found.items() if not ok} == {"no-archive"}
    assert found["dexcom-empty"]
    assert found["alarms-off"]


@pytest.mark.long
def test_the_doctor_names_what_is_wrong(tmp_path: Path, outside: Outside) -> None:
    configured(tmp_path, outside, password="wrong-canary", mode="644")
    found = findings(tmp_path, 1)
    assert (found["dexcom-refused"], found["config-readable"]) == (False, False)
    configured(tmp_path, outside)
    outside.share.set_faults(["empty-list"])
    outside.phone.fail(403, 5, code=40301)
    found = findings(tmp_path, 1)
    assert (found["dexcom-empty"], found["ntfy-refused"]) == (False, False)
    outside.share.set_faults(["html-403", "expired-session"])
    (tmp_path / "config.yaml").write_text(
        (tmp_path / "config.yaml").read_text()
        + "iv3: {missing_long_threshold: 26}\ninsulin: [{name: X, duration: 300}]\n"
    )
    found = findings(tmp_path, 1)
    assert (found["dexcom-unreachable"], found["no-long-acting"], found["insulin-type"]) == (False, False, False)
    (tmp_path / "config.yaml").write_text("dexcom: {acount: x}")
    assert findings(tmp_path, 2) == {"configuration": False}
    (tmp_path / "config.yaml").write_text("api: {port: 0}")
    found = findings(tmp_path, 1)
    assert (found["alarms-off"], found["no-dexcom"], found["no-zone"]) == (False, False, False)


def test_a_wrong_clock_is_found_by_dexcoms_own(tmp_path: Path, outside: Outside) -> None:
    configured(tmp_path, outside)
    outside.share.set_faults(["clock-skew"])
    assert findings(tmp_path, 1)["clock-wrong"] is False


ANSWERS = "Maya\n2014\nEurope/Berlin\ndemo\ndemo\nous\nmmol/L\nHumalog\nTresiba\n24\ny\ny\n"


def test_init_asks_tries_and_writes_a_file_that_only_its_owner_can_read(tmp_path: Path, outside: Outside) -> None:
    outer = {"IV3_DEXCOM__URL": outside.share.url, "IV3_NTFY__SERVER": outside.phone.url}
    done = iv3(tmp_path, "init", given=ANSWERS, **outer)
    assert done.returncode == 0, done.stdout + done.stderr
    path = tmp_path / "config.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "Dexcom accepts the log-in" in done.stdout
    assert len(outside.phone.received) == 1
    assert iv3(tmp_path, "config", "check").returncode == 0
    before = path.read_text()
    again = iv3(tmp_path, "init", given=ANSWERS, **outer)
    assert again.returncode == 2
    assert "never overwritten" in again.stderr
    assert path.read_text() == before


def test_init_writes_nothing_for_a_zone_that_does_not_exist(tmp_path: Path) -> None:
    done = iv3(tmp_path, "init", given="Maya\n\nMars/Base\n")
    assert done.returncode == 2
    assert not (tmp_path / "config.yaml").exists()


def test_a_test_alarm_says_whether_it_was_accepted(tmp_path: Path, outside: Outside) -> None:
    configured(tmp_path, outside)
    assert iv3(tmp_path, "test-alarm").returncode == 0
    outside.phone.fail(403, 5, code=40301)
    assert iv3(tmp_path, "test-alarm").returncode == 1
    (tmp_path / "config.yaml").write_text("")
    done = iv3(tmp_path, "test-alarm")
    assert (done.returncode, "ALARMS ARE OFF" in done.stderr) == (2, True)


@pytest.mark.long
def test_a_fake_dexcom_can_be_had_on_its_own_and_lists_its_faults(tmp_path: Path) -> None:
    listed = iv3(tmp_path, "simulate", "--fault", "help")
    assert (listed.returncode, "expired-session" in listed.stdout) == (0, True)
    wrong = iv3(tmp_path, "simulate", "--fault", "expired-sesion")
    assert (wrong.returncode, "did you mean expired-session?" in wrong.stderr) == (2, True)
    command = [sys.executable, "-P", "-m", "iv3", "simulate", "--port", "0", "--fault", "1-minute"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(2)]
        url = said[1].rsplit("url: ", 1)[1].strip().rstrip("}")
        (tmp_path / "config.yaml").write_text(
            f"dexcom: {{account: demo, password: demo, url: '{url}'}}\napi: {{port: 0}}\n"
        )
        assert findings(tmp_path, 1)["dexcom-empty"] is True
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.parametrize("name", ["", " ", "x" * 81, "two\nlines"])
def test_a_token_needs_a_name_that_people_can_read(tmp_path: Path, name: str) -> None:
    from streams.adapters.logs.sqlite.log import SqliteLog

    SqliteLog(tmp_path / "data" / "log.db").close_now()
    done = iv3(tmp_path, "token", "new", "--role", "reader", "--name", name)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "--name" in done.stderr


@pytest.mark.long
def test_init_asks_a_password_the_zone_and_the_test_alarm_and_a_slip_names_the_question(
    tmp_path: Path, outside: Outside
) -> None:
    outer = {"IV3_DEXCOM__URL": outside.share.url, "IV3_NTFY__SERVER": outside.phone.url}
    for slip in (("mmol/L", "stones"), ("ous", "eu"), ("2014", "1500"), ("\n24\n", "\nmany\n")):
        done = iv3(tmp_path, "init", given=ANSWERS.replace(*slip), **outer)
        assert (done.returncode, "Nothing was written" in done.stderr) == (2, True), slip
        assert not (tmp_path / "config.yaml").exists()
    not_heard = ANSWERS.removesuffix("y\ny\n") + "y\nn\ny\nn\nn\n"
    done = iv3(tmp_path, "init", given=not_heard, **outer)
    assert done.returncode == 0, done.stderr
    assert "ALARMS ARE NOT TRIED OUT" in done.stdout
    assert len(outside.phone.received) == 2, "sent again, as long as nobody heard it"


@pytest.mark.long
def test_a_password_that_dexcom_refuses_may_be_typed_again_before_anything_is_written(
    tmp_path: Path, outside: Outside
) -> None:
    outer = {"IV3_DEXCOM__URL": outside.share.url, "IV3_NTFY__SERVER": outside.phone.url}
    answers = ANSWERS.replace("demo\ndemo\n", "demo\nwr0ng-canary\n").removesuffix("y\ny\n") + "demo\ny\ny\n"
    done = iv3(tmp_path, "init", given=answers, **outer)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Dexcom accepts the log-in" in done.stdout
    assert "canary" not in (tmp_path / "config.yaml").read_text() + done.stdout
    assert outside.share.log_ins == 3


def test_the_version_can_be_asked(tmp_path: Path) -> None:
    done = iv3(tmp_path, "--version")
    assert (done.returncode, done.stdout.startswith("iv3 ")) == (0, True)
