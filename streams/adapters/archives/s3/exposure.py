"""What else can be said of a bucket: whether it keeps earlier versions, and whether strangers can look into it."""

from dataclasses import dataclass
from typing import Any

from streams.adapters.archives.s3.archive import PROBE, Client, Patience, S3Archive, make_client

_EVERYBODY = {
    "http://acs.amazonaws.com/groups/global/AllUsers": "everybody",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers": "everybody with an account there",
}
_QUICK = Patience(connect_s=3.0, read_s=5.0, attempts=1)


@dataclass(frozen=True, slots=True)
class Examination:
    """`versioning` None: the server does not say. `open_to` holds one sentence for each way in that needs no key."""

    conditional: bool
    versioning: bool | None
    open_to: tuple[str, ...]


async def examine(archive: S3Archive) -> Examination:
    """Ask the server, with the key and without. Raises ArchiveUnavailable."""
    conditional = await archive.is_conditional()  # its probe is what a stranger then tries to read
    versioning = await archive.call(
        "say whether it keeps versions", lambda client: _versioning(client, archive.settings.bucket)
    )
    open_to = await archive.call("say who may look in", lambda client: _open_to(client, archive))
    return Examination(conditional, versioning, tuple(open_to))


def _asked(work: Any) -> Any:  # noqa: ANN401 - whatever boto3 answers
    """The answer; None where the server refuses or does not know the question, which is no fault of the archive."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return work()
    except (BotoCoreError, ClientError):
        return None


def _versioning(client: Client, bucket: str) -> bool | None:
    said = _asked(lambda: client.get_bucket_versioning(Bucket=bucket))
    return None if said is None else said.get("Status") == "Enabled"


def _open_to(client: Client, archive: S3Archive) -> list[str]:
    bucket, stranger = archive.settings.bucket, make_client(archive.settings, _QUICK, anonymous=True)
    found = []
    if _asked(lambda: stranger.list_objects_v2(Bucket=bucket, MaxKeys=1)) is not None:
        found.append("anybody can list it without a key")
    if _asked(lambda: stranger.get_object(Bucket=bucket, Key=archive.prefix + PROBE)) is not None:
        found.append("anybody can read its objects without a key")
    acl = _asked(lambda: client.get_bucket_acl(Bucket=bucket)) or {}
    found += [
        f"its access list grants {grant.get('Permission')} to {_EVERYBODY[grant['Grantee']['URI']]}"
        for grant in acl.get("Grants", ())
        if grant.get("Grantee", {}).get("URI") in _EVERYBODY
    ]
    status = _asked(lambda: client.get_bucket_policy_status(Bucket=bucket)) or {}
    if status.get("PolicyStatus", {}).get("IsPublic"):
        found.append("its policy makes it public")
    return found
