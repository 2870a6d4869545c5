"""The client of a bucket, which knows nothing but our settings."""

import ipaddress
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from schemas.settings import S3Settings

Client = Any  # boto3 makes its classes at run time


AT_ONCE = 8  # calls to the bucket: enough to hide the way to it, few enough for any server


PROBE = "probe/condition"  # beside `v1/`, in nobody's way; it stays there


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call may take: a silent server costs attempts x read_s, and nothing takes longer than whole_s."""

    connect_s: float = 5.0
    read_s: float = 15.0
    attempts: int = 3
    whole_s: float = 60.0


def make_client(s3: S3Settings, patience: Patience, *, anonymous: bool = False) -> Client:
    """A client that knows nothing but our settings: no profile, no endpoint and no retries from this machine's files
    for other programs.
    """
    import boto3
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config

    # (name in a configuration file, variable of the environment, default, conversion), as botocore has them.
    own = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    session = boto3.session.Session(botocore_session=botocore.session.Session(session_vars=own))
    config = Config(
        signature_version=UNSIGNED if anonymous else "s3v4",
        connect_timeout=patience.connect_s,
        read_timeout=patience.read_s,
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
        max_pool_connections=AT_ONCE,
        # The newer default adds checksums that many servers other than Amazon's refuse. The body's SHA-256 is signed
        # instead.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,
        s3={"addressing_style": "path" if _by_path(s3) else "virtual", "payload_signing_enabled": True},
    )
    return session.client(
        "s3",
        endpoint_url=s3.endpoint or None,
        aws_access_key_id=s3.key,
        aws_secret_access_key=s3.secret.get_secret_value(),
        region_name=s3.region,
        config=config,
    )


def _by_path(s3: S3Settings) -> bool:
    """Whether the bucket is named behind the host. In front of an address, or of a name without a point, it leads
    nowhere.
    """
    host = urlsplit(s3.endpoint).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return s3.path_style or (bool(host) and "." not in host)
    return True
