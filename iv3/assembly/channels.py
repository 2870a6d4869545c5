"""Who is told, and how: the ways out that the configuration names."""

from typing import TYPE_CHECKING

from streams.adapters.notifiers.ntfy import Ntfy
from streams.adapters.notifiers.webhook import HealthCheck, Webhook
from streams.delivery.channels import Channels
from streams.errors import Misconfigured
from streams.ports.notifier import Notifier

if TYPE_CHECKING:
    from iv3.assembly.plan import StartPlan


def channels_of(plan: "StartPlan") -> Channels:
    """Build them, without any I/O; none where alarms are in shadow: nothing is sent, armed or pinged. Raises Misconfigured."""
    ways = _configured(plan)
    return Channels(closers=ways.closers) if plan.settings.alerts == "shadow" else ways


def _configured(plan: "StartPlan") -> Channels:
    settings = plan.settings
    health = HealthCheck(settings.healthcheck_url) if settings.healthcheck_url is not None else None
    first = (
        Ntfy(server=settings.ntfy.server, topic=settings.topic, clock=plan.clock, token=settings.ntfy.token)
        if settings.topic
        else None
    )
    fallback = _fallback_of(plan)
    return Channels(
        targets=(first,) if first is not None else (),
        fallback=fallback,
        dead_man=first if settings.ntfy.dead_man and not plan.demo else None,
        ping=health.ping if health is not None else None,
        closers=[way.close for way in (first, fallback, health) if way is not None],
    )


def _fallback_of(plan: "StartPlan") -> Notifier | None:
    """The second way out, if one is configured. Raises Misconfigured."""
    said = plan.settings.ntfy.fallback
    if len(said.ways) > 1:
        raise Misconfigured(f"ntfy.fallback has {' and '.join(said.ways)}: choose one of topic, webhook and smtp.")
    if said.topic:
        if (said.server.rstrip("/"), said.topic) == (plan.settings.ntfy.server, plan.settings.topic):
            raise Misconfigured(
                "ntfy.fallback is the same server and topic as ntfy: a second way out must be another one."
            )
        return Ntfy(server=said.server, topic=said.topic, clock=plan.clock, token=said.token)
    if said.webhook is not None:
        return Webhook(said.webhook, said.webhook_token)
    if said.smtp.host:
        from streams.adapters.notifiers.smtp import Smtp, SmtpServer

        smtp = said.smtp
        return Smtp(
            SmtpServer(smtp.host, smtp.port, smtp.sender, smtp.to, smtp.username, smtp.password, smtp.encryption)
        )
    return None
