"""People, tokens and the profile."""

from api.v1.answers.parts import Answer, At, Listed
from schemas.facts import Role, Trend


class PersonRow(Answer):
    """A person with the newest reading."""

    id: str
    name: str
    watched: bool
    default: bool
    time: str | None
    time_ms: int | None
    glucose_mgdl: float | None
    glucose_mmol: float | None
    trend: Trend | None
    stale: bool
    alerts: int


class PeopleListed(Listed):
    """People, by id."""

    items: list[PersonRow]


class PersonWatched(Answer):
    """Whether a person is watched from now on."""

    id: str
    watched: bool


class TokenRow(Answer):
    """A token, without itself."""

    id: str
    name: str
    role: Role
    people: list[str]
    revoked: bool
    created: str
    expires: str | None


class Tokens(Listed):
    """Tokens, oldest first."""

    items: list[TokenRow]


class TokenMade(Answer):
    """A new token, shown this once."""

    id: str
    token: str
    role: Role
    name: str
    people: list[str]


class TokenRevocation(Answer):
    """A token that opens nothing any more."""

    id: str
    revoked: bool


class ProfileWritten(Answer):
    """A profile that is in the log."""

    id: str
    position: At
