"""A trial alarm: one message to the phone that would be told, and whether it rang."""

import asyncio
import time

import typer

from iv3.assembly.channels import house_phone
from iv3.closing import closing
from schemas.settings import Settings
from streams.clock import SystemClock
from streams.errors import NotifierRefused, NotifierUnreachable
from streams.ports.notifier import Message


def until_it_rang(settings: Settings) -> bool:
    """An alarm that nobody acknowledges was not set up: it is sent until somebody says that it rang (True), or that it
    shall be later.
    """
    while typer.confirm("Send a test alarm now?", default=True):
        trouble = asyncio.run(send_trial_alarm(settings))
        typer.echo(f"  !!  {trouble}" if trouble else "  ok  The server accepted it.")
        if typer.confirm("Did the phone ring?", default=None):
            typer.echo("  ok  Alarms reach the phone.")
            return True
        typer.echo("  Is the ntfy app subscribed to exactly this topic and server, and allowed to ring (in Focus too)?")
    typer.echo("  !!  ALARMS ARE NOT TRIED OUT. Do so with `iv3 test-alarm` before you rely on them.")
    return False


async def send_trial_alarm(settings: Settings) -> str:
    """The reason why a trial alarm was not accepted; an empty string where it was."""
    title = f"{settings.person.name or 'iv3'}: test alarm"
    text = "This is how an urgent alarm arrives. Nothing is wrong."
    message = Message(f"test-{int(time.time())}", title, text, 5, ("bell",))
    try:
        async with closing(house_phone(settings, SystemClock())) as target:
            await target.send(message)
    except (NotifierRefused, NotifierUnreachable) as error:
        return str(error)
    return ""
