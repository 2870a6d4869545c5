"""The clock of a simulation, which no real service may ever see."""

from iv3.assembly.listening import is_here
from schemas.settings import Settings
from streams.clock import SharedClock
from streams.errors import Misconfigured
from streams.ports.clock import Clock


def simulated_clock(text: str, settings: Settings) -> Clock:
    """The clock of a simulation, `ORIGIN_MS/REAL_MS/SPEED`. Raises Misconfigured where anything real could be asked, or
    told, at a made-up time.
    """
    try:
        origin_ms, real_ms, speed = text.split("/")
        clock = SharedClock(int(origin_ms), int(real_ms), float(speed))
    except ValueError:
        raise Misconfigured(
            "--clock is ORIGIN_MS/REAL_MS/SPEED: at real time REAL_MS it is ORIGIN_MS, both epoch milliseconds."
        ) from None
    if not 0 < clock.speed <= 5000:
        raise Misconfigured("--clock: the speed must lie between 0 and 5000.")
    asked = settings.dexcom.url if settings.dexcom.account else "http://127.0.0.1"
    if not (is_here(asked or "") and is_here(settings.ntfy.server)):
        raise Misconfigured("--clock is for simulations: dexcom.url and ntfy.server must then be on this machine.")
    return clock
