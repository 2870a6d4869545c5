"""One Faust App as iv3 wants it: no web server, no tables, nothing of the defaults that lose events (see
docs/decisions).
"""

from collections.abc import Callable
from typing import Any

import faust
import mode
from faust.tables.manager import TableManager

from streams.ports.driver import DriverLink
from streams.ports.log import Log
from streams.topics import PARTITIONS

# Makes the driver of one App. Faust would find it by an address; ours is made around an open log.
Connect = Callable[[Any], Any]

COMMIT_INTERVAL_S = 1.0  # 0.2 s costs four times the idle CPU and only saves redelivery after a crash


class NoTables(TableManager):
    """iv3 keeps no Faust tables; upstream's manager sleeps a whole second before it finds that out."""

    async def on_start(self) -> None:
        """Start without the pause."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


def make_app(group: str, connect: Connect, *, data_folder: str, **overrides: Any) -> Any:  # noqa: ANN401 - Faust is untyped
    """A fresh App for one start of one role. `group` is its consumer group; an App is never reused after it stopped."""
    settings: dict[str, Any] = {
        "broker": "iv3://",  # asked of nobody: the driver has the log itself
        "store": "memory://",
        "datadir": data_folder,
        "autodiscover": False,
        "web_enabled": False,
        "worker_redirect_stdouts": False,
        "stream_wait_empty": False,
        "stream_buffer_maxsize": 256,
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "topic_partitions": PARTITIONS,
        "broker_max_poll_interval": 1e6,
        "broker_commit_interval": COMMIT_INTERVAL_S,
        "key_serializer": "raw",
        "value_serializer": "raw",
        "agent_supervisor": mode.CrashingSupervisor,
        "TableManager": NoTables,
    }
    app = faust.App(group, **{**settings, **overrides})
    app.transport, app.producer_transport = connect(app), connect(app)
    app.link = DriverLink()
    return app


def group_of(log: Log, role: str) -> str:
    """The consumer group of a role: a log that was made anew starts with fresh groups, so that an old offset is never
    taken for a new one.
    """
    return f"iv3-{log.log_id[:16]}-{role}"


def kafka_settings(worker: str, session_s: float) -> dict[str, Any]:
    """What `make_app` needs besides on Kafka. `worker` is the member's static name, never used by two workers
    at once.
    """
    return {
        "consumer_group_instance_id": worker,
        "broker_session_timeout": session_s,
        # A member learns by its next heartbeat that partitions move: nobody waits longer than this for it.
        "broker_heartbeat_interval": min(0.5, session_s / 6),
        "broker_request_timeout": max(30.0, session_s + 1),
    }
