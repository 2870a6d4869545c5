"""What a bucket's server answers, in sentences: which setting, what was answered, what to try. Never what was signed,
nor with what.
"""

from collections.abc import Callable
from typing import Any

from schemas.settings import S3Settings

_AGAIN = "it is tried again"


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an answer; None for an error that is none."""
    response: Any = getattr(error, "response", None)
    if not isinstance(response, dict):
        return None
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return int(status) if status is not None else None


def code_of(error: BaseException) -> str:
    """S3's own word for an error, such as NoSuchKey; empty for an error that is no answer."""
    response: Any = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def sentence(error: BaseException, doing: str, s3: S3Settings) -> str:
    """One sentence for a failure of a call that should have done `doing`."""
    if status_of(error) is not None:
        return _answered(error, doing, s3)
    return _not_answered(error, doing, s3)


# -- it answered -----------------------------------------------------------------------------------


def _where(s3: S3Settings) -> str:
    return s3.endpoint or f"Amazon S3 in {s3.region}"


_Say = Callable[[S3Settings, str], str]

_SAID: dict[str, _Say] = {
    "InvalidAccessKeyId": lambda s3, _: (
        f"{_where(s3)} does not know the key of s3.key: was it deleted, or made for another server? Make "
        "one there and set s3.key and s3.secret"
    ),
    "SignatureDoesNotMatch": lambda s3, _: (
        f"s3.secret does not belong to s3.key, says {_where(s3)}: copy both again, or make a new pair"
    ),
    "AccessDenied": lambda s3, doing: (
        f"{_where(s3)} does not allow the key of s3.key to {doing} in the bucket {s3.bucket}: give it the right to "
        "list, read, write and delete there (AccessDenied)"
    ),
    "AllAccessDisabled": lambda s3, _: (
        f"{_where(s3)} has locked the bucket {s3.bucket} (AllAccessDisabled): ask its owner"
    ),
    "NoSuchBucket": lambda s3, _: (
        f"there is no bucket {s3.bucket!r} at {_where(s3)}: make it there, or correct s3.bucket or s3.endpoint"
    ),
    "InvalidBucketName": lambda s3, _: f"{s3.bucket!r} is no name of a bucket: correct s3.bucket",
    "RequestTimeTooSkewed": lambda s3, _: (
        f"this machine's clock and that of {_where(s3)} differ by more than a quarter of an hour: set "
        "this one right (timedatectl set-ntp true)"
    ),
    "NoSuchUpload": lambda s3, _: f"{_where(s3)} mixed up two requests (NoSuchUpload); {_AGAIN}",
    "QuotaExceeded": lambda s3, _: f"the bucket {s3.bucket} is full (QuotaExceeded): give it more room at {_where(s3)}",
}
_SAID["InvalidSecurity"] = _SAID["InvalidAccessKeyId"]
_SAID["XAdminUserNotFound"] = _SAID["InvalidAccessKeyId"]
_SAID["403"] = _SAID["Forbidden"] = _SAID["AccessDenied"]  # an answer to HEAD has no body, only its status
_REGION = {
    "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException",
    "IllegalLocationConstraint", "301", "307", "InvalidRegion",
}  # fmt: skip


def _answered(error: BaseException, doing: str, s3: S3Settings) -> str:
    response: Any = error.response  # type: ignore[attr-defined] # it has a status, so it is an answer
    code, status = code_of(error), status_of(error) or 0
    if code in _REGION:
        headers = response["ResponseMetadata"].get("HTTPHeaders", {})
        told = response.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region")
        right = f"set s3.region to {told}" if told else "set s3.region to the bucket's own, and s3.endpoint to match"
        return f"the bucket {s3.bucket} does not lie in the region {s3.region} of s3.region, says {_where(s3)}: {right}"
    say = _SAID.get(code)
    if say is not None:
        return say(s3, doing)
    word = f"{status} ({code})" if code and code != str(status) else f"{status}"
    if status >= 500 and word == f"{status}":  # no word of S3's: something before the server may have answered
        return (
            f"{_where(s3)} answered {word} when asked to {doing}: it is out of order, or s3.endpoint "
            f"is not the address of an S3 server; {_AGAIN}"
        )
    if status >= 500 or status == 429:
        return f"{_where(s3)} answered {word} when asked to {doing}: it is busy or out of order; {_AGAIN}"
    return (
        f"{_where(s3)} answered {word} when asked to {doing}: is s3.endpoint the address of an S3 "
        "server, and s3.bucket right?"
    )


# -- it did not ------------------------------------------------------------------------------------


_BROKE_OFF = "{where} broke off when asked to {doing}; {again}"
_NOT_SAID = {  # by the name of the library's error
    "ConnectTimeoutError": (
        "{where} (s3.endpoint) cannot be reached: is there a way to it, or a firewall before it? It is tried again"
    ),
    "ReadTimeoutError": "{where} did not answer in time when asked to {doing}; {again}",
    "ConnectionClosedError": _BROKE_OFF,
    "IncompleteReadError": _BROKE_OFF,
    "ResponseStreamingError": _BROKE_OFF,
    "ProxyConnectionError": (
        "the proxy that this machine's environment names (HTTPS_PROXY) does not let s3.endpoint ({where}) through"
    ),
    "ParamValidationError": "{bucket!r} is no name of a bucket: correct s3.bucket",
    # The library follows one redirection after the other until Python stops it.
    "RecursionError": (
        "{where} sends every request elsewhere: set s3.region to the bucket's own, and s3.endpoint to match"
    ),
}


def _not_answered(error: BaseException, doing: str, s3: S3Settings) -> str:
    where, name = _where(s3), type(error).__name__
    cause = getattr(error, "kwargs", {}).get("error")
    if name in _NOT_SAID:
        return _NOT_SAID[name].format(where=where, doing=doing, again=_AGAIN, bucket=s3.bucket)
    if name == "EndpointConnectionError":
        if type(cause).__name__ == "NameResolutionError":
            return (
                f"no machine of the name in s3.endpoint ({where}) can be found: correct it, or look at "
                "this machine's DNS"
            )
        return (
            f"{where} (s3.endpoint) refuses connections: is the server running, and the port right? It is tried again"
        )
    if name == "SSLError":
        return _tls(f"{error} {cause}", where)
    if isinstance(error, ValueError) and "endpoint" in str(error).lower():
        return f"{s3.endpoint!r} is no address of a server: write s3.endpoint like https://fra1.digitaloceanspaces.com"
    if name == "OSError":
        return f"{error}"
    return (
        f"{where} gave no answer that can be used when asked to {doing} ({name}): is s3.endpoint the "
        "address of an S3 server?"
    )


def _tls(said: str, where: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return (
            f"the certificate of {where} (s3.endpoint) is not one that this machine trusts, or is another host's: "
            "correct the address, or name the file of its authority in the environment variable AWS_CA_BUNDLE"
        )
    if "WRONG_VERSION_NUMBER" in said or "record layer failure" in said:
        return (
            f"{where} does not speak TLS: on this machine s3.endpoint may begin with http://, or the port is another's"
        )
    return f"no TLS connection to {where} (s3.endpoint) can be made: is it the address of an S3 server?"
