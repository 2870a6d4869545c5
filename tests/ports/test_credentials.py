"""The file of people's accounts: what it keeps, what it shows to nobody, and what it says when it cannot be opened."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from schemas.household import Credentials
from schemas.settings import DexcomSettings, OwnNtfySettings
from streams.adapters.credentials import CredentialsFile
from streams.errors import FailedPrecondition, Misconfigured

KEPT = Credentials(
    dexcom=DexcomSettings(account="lena@example.org", password=SecretStr("a-password"), region="ous"),
    ntfy=OwnNtfySettings(topic="iv3-a-topic", token=SecretStr("tk_a-token")),
)


def vault(folder: Path, key: str | None = None) -> CredentialsFile:
    return CredentialsFile(folder / "credentials.enc", folder / "credentials.key", SecretStr(key) if key else None)


def test_what_is_put_comes_back_and_stands_nowhere_in_clear(tmp_path: Path) -> None:
    vault(tmp_path).put("lena", KEPT)
    assert vault(tmp_path).read() == {"lena": KEPT}
    for file in tmp_path.iterdir():
        text = file.read_bytes()
        assert not any(secret in text for secret in (b"lena", b"a-password", b"a-topic", b"a-token")), file
        assert file.stat().st_mode & 0o077 == 0, f"others may read {file}"


def test_people_are_put_and_removed_one_by_one_and_each_change_shows_in_the_stamp(tmp_path: Path) -> None:
    kept = vault(tmp_path)
    stamps = [kept.stamp()]
    for person in ("lena", "max"):
        kept.put(person, KEPT)
        stamps.append(kept.stamp())
    assert kept.remove("lena")
    assert not kept.remove("lena")
    stamps.append(kept.stamp())
    assert set(kept.read()) == {"max"}
    assert len(set(stamps)) == 4


def test_a_vault_without_a_file_is_empty_and_makes_none(tmp_path: Path) -> None:
    assert vault(tmp_path).read() == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "credentials.key").write_text("x" * 64), "cannot be opened with this key"),
        (lambda f: (f / "credentials.key").unlink(), "its key is not here"),
        (lambda f: (f / "credentials.key").chmod(0o644), "chmod 600"),
        (lambda f: (f / "credentials.enc").write_bytes((f / "credentials.enc").read_bytes()[:-20]), "damaged"),
        (lambda f: (f / "credentials.enc").write_bytes(b""), "damaged"),
    ],
    ids=["another key", "no key", "a key that others may read", "cut", "empty"],
)
def test_one_that_cannot_be_opened_says_why_and_is_not_overwritten(tmp_path: Path, spoil: object, words: str) -> None:
    vault(tmp_path).put("lena", KEPT)
    spoil(tmp_path)  # type: ignore[operator] # one of the functions above
    before = (tmp_path / "credentials.enc").read_bytes()
    for attempt in (lambda: vault(tmp_path).read(), lambda: vault(tmp_path).put("max", KEPT)):
        with pytest.raises(FailedPrecondition, match=words) as error:
            attempt()
        assert "a-password" not in str(error.value)
    assert (tmp_path / "credentials.enc").read_bytes() == before


def test_a_key_of_the_configuration_needs_no_file_and_must_be_long(tmp_path: Path) -> None:
    vault(tmp_path, "k" * 40).put("lena", KEPT)
    assert not (tmp_path / "credentials.key").exists()
    assert vault(tmp_path, "k" * 40).read() == {"lena": KEPT}
    with pytest.raises(FailedPrecondition, match="cannot be opened"):
        vault(tmp_path, "j" * 40).read()
    with pytest.raises(Misconfigured, match="at least 32"):
        vault(tmp_path, "short")
