"""Who is told, and how: the channels that the configuration names. Nothing here does any I/O; everything raises
Misconfigured.
"""

from schemas.settings import NtfySettings, OwnNtfySettings, Settings
from streams.adapters.notifiers.ntfy import Ntfy
from streams.adapters.notifiers.webhook import HealthCheck, Webhook
from streams.clock import SystemClock
from streams.delivery.channels import Channels
from streams.errors import Misconfigured
from streams.ports.clock import Clock
from streams.ports.notifier import Notifier, Scheduler


def channels_of(settings: Settings, clock: Clock, *, demo: bool = False) -> Channels:
    """The house's channels; none where alarms are in shadow: nothing is sent, armed or pinged. A demo arms no
    dead-man's switch.
    """
    channels = _configured(settings, clock, demo=demo)
    return Channels(closers=channels.closers) if settings.alerts == "shadow" else channels


def _configured(settings: Settings, clock: Clock, *, demo: bool) -> Channels:
    health = HealthCheck(settings.healthcheck_url) if settings.healthcheck_url is not None else None
    first = house_phone(settings, clock) if settings.topic else None
    fallback = _fallback_of(settings, clock)
    return Channels(
        targets=(first,) if first is not None else (),
        fallback=fallback,
        dead_man=first if settings.ntfy.dead_man and not demo else None,
        ping=health.ping if health is not None else None,
        closers=[channel.close for channel in (first, fallback, health) if channel is not None],
    )


def house_phone(settings: Settings, clock: Clock) -> Scheduler:
    """The phone that `ntfy.topic` names."""
    return Ntfy(server=settings.ntfy.server, topic=settings.topic, clock=clock, token=settings.ntfy.token)


def phone_of(settings: Settings, ntfy: OwnNtfySettings, clock: Clock) -> Notifier | None:
    """A person's own phone; None where there is none, or in shadow."""
    if not ntfy.topic or settings.alerts == "shadow":
        return None
    own = own_ntfy(settings, ntfy)
    return Ntfy(server=own.server, topic=own.topic, clock=clock, token=own.token)


def own_ntfy(settings: Settings, ntfy: OwnNtfySettings) -> NtfySettings:
    """The house's ntfy with a person's own phone in its place. The house's token opens the house's server, and is shown
    to no other.
    """
    server = ntfy.server or settings.ntfy.server
    token = ntfy.token or (settings.ntfy.token if server == settings.ntfy.server else None)
    return settings.ntfy.model_copy(update={"server": server, "topic": ntfy.topic, "token": token})


def refuse_no_server(address: str) -> None:
    """Raises Misconfigured where this cannot be the address of an ntfy server."""
    Ntfy(server=address, topic="x", clock=SystemClock())


def _fallback_of(settings: Settings, clock: Clock) -> Notifier | None:
    """The second way out, if one is configured."""
    said = settings.ntfy.fallback
    if len(said.ways) > 1:
        *some, last = said.WAYS
        raise Misconfigured(f"ntfy.fallback has {' and '.join(said.ways)}: choose one of {', '.join(some)} and {last}.")
    if said.topic:
        if (said.server.rstrip("/"), said.topic) == (settings.ntfy.server, settings.topic):
            raise Misconfigured(
                "ntfy.fallback is the same server and topic as ntfy: a second way out must be another one."
            )
        return Ntfy(server=said.server, topic=said.topic, clock=clock, token=said.token)
    if said.webhook is not None:
        return Webhook(said.webhook, said.webhook_token)
    if said.smtp.host:
        from streams.adapters.notifiers.smtp import Smtp

        return Smtp(said.smtp)
    return None
