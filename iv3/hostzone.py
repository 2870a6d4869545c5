"""The zone of the machine this runs on, if it says one."""

from pathlib import Path
from zoneinfo import available_timezones


def host_zone() -> str | None:
    """An IANA name, or None; None for UTC too, which most servers run in wherever they and their people stand."""
    link = Path("/etc/localtime")
    name = str(link.resolve()).rpartition("zoneinfo/")[2] if link.exists() else ""
    return name if name in available_timezones() and not name.upper().endswith(("UTC", "UCT", "GMT")) else None
