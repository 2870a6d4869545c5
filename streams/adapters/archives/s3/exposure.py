"""What else can be said of a bucket: whether it keeps earlier versions, and whether strangers can look into it."""

from typing import Any

from schemas.settings import S3Settings
from streams.adapters.archives.s3.client import Client, Patience, make_client

_EVERYBODY = {
    "http://acs.amazonaws.com/groups/global/AllUsers": "everybody",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers": "everybody with an account there",
}
_QUICK = Patience(connect_s=3.0, read_s=5.0, attempts=1)


def _asked(work: Any) -> Any:  # noqa: ANN401 - whatever boto3 answers
    """The answer; None where the server refuses or does not know the question, which is no fault of the archive."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return work()
    except (BotoCoreError, ClientError):
        return None


def versioning_of(client: Client, bucket: str) -> bool | None:
    """Whether the bucket keeps earlier versions; None where the server does not say. Blocks."""
    said = _asked(lambda: client.get_bucket_versioning(Bucket=bucket))
    return None if said is None else said.get("Status") == "Enabled"


def open_to(client: Client, s3: S3Settings, probe: str) -> list[str]:
    """One sentence for each way into the bucket that needs no key; `probe` is an object that is there. Blocks."""
    bucket, stranger = s3.bucket, make_client(s3, _QUICK, anonymous=True)
    found = []
    if _asked(lambda: stranger.list_objects_v2(Bucket=bucket, MaxKeys=1)) is not None:
        found.append("anybody can list it without a key")
    if _asked(lambda: stranger.get_object(Bucket=bucket, Key=probe)) is not None:
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
