"""What `iv3 doctor` says of the host: the certificate that phones will be shown."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from iv3.doctor.host import files
from schemas.settings import ApiSettings, Settings


def a_certificate(folder: Path, days_left: float) -> Settings:
    """Settings that name a self-signed certificate which ends in so many days."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "iv3")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days_left))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Settings(api=ApiSettings(certfile=str(folder / "cert.pem"), keyfile=str(folder / "key.pem")))


@pytest.mark.parametrize(
    ("days_left", "ok", "words"),
    [(90.5, True, "holds for 90 days"), (3.1, False, "expires in 3 days"), (-1.0, False, "expired: renew it")],
)
def test_a_certificate_is_told_before_phones_refuse_it(tmp_path: Path, days_left: float, ok: bool, words: str) -> None:
    settings = a_certificate(tmp_path, days_left)
    (found,) = [f for f in asyncio.run(files(settings, tmp_path)) if f.name == "certificate"]
    assert (found.ok, words in found.message) == (ok, True), found


def test_a_file_that_is_no_certificate_is_named_with_its_setting(tmp_path: Path) -> None:
    settings = a_certificate(tmp_path, 90)
    (tmp_path / "cert.pem").write_text("no certificate")
    (found,) = [f for f in asyncio.run(files(settings, tmp_path)) if f.name == "certificate"]
    assert (found.ok, "api.certfile" in found.message) == (False, True)
