"""Alerts in the catalog: episodes with what was decided and delivered of them, snoozes and answers."""

import json
from collections.abc import Sequence
from typing import Any

from processors.alerting.episodes import is_repeat
from processors.alerting.snoozes import quiet_until_ms
from schemas.alerts import AlertEvent, AlertsDecided, Delivered, Undeliverable
from schemas.envelope import Event, decode
from schemas.facts import AlertAcknowledged, AlertsSnoozed
from schemas.model import ms
from streams.ports.catalog import Delivery, EpisodeRecord, SnoozeRecord
from streams.views.catalog_people import CatalogPeople

_EPISODE = "id, person, kind, opened_ms, closed_ms, body"


class CatalogAlerts(CatalogPeople):
    """The questions about alerts of `Catalog`, and their fold."""

    def evolve_alerts(self, event: Event) -> str:
        """Take an event in; the word for what it changed, or an empty one."""
        match event.data:
            # The last word in the log counts, as it does for the alerter: else the page would call quiet what rings.
            case AlertsSnoozed(kind=kind):
                self.keep(event, f"snooze/{kind}", event.subject)
            case AlertAcknowledged(episode=episode):
                self.keep(event, "ack", episode)
            case Delivered() | Undeliverable() as outcome:
                self._outcome(event, outcome)
            case AlertsDecided() as decided:
                for change in () if self._is_repeat(event, decided) else decided.events:
                    self._change(event.subject, change)
            case _:
                return ""
        return "alerts"

    def _outcome(self, event: Event, data: Delivered | Undeliverable) -> None:
        known = self._episode_body(data.episode)
        if known is None:
            return
        reason = data.reason if isinstance(data, Undeliverable) else ""
        word = "undeliverable" if isinstance(data, Undeliverable) else "delivered"
        known["deliveries"].append(Delivery(data.step, data.target, word, event.time_ms, reason)._asdict())
        self._db.execute("UPDATE episodes SET body=? WHERE id=?", (json.dumps(known), data.episode))

    def _change(self, person: str, change: AlertEvent) -> None:
        at_ms = ms(change.at)
        body = self._episode_body(change.episode) or {"changes": [], "deliveries": []}
        if any(old["change"] == change.change and old["step"] == change.step for old in body["changes"]):
            return
        body["changes"].append(change.model_dump(mode="json", exclude_none=True) | {"at_ms": at_ms})
        closed_ms = at_ms if change.change in ("resolved", "expired") else None
        self._db.execute(
            "INSERT INTO episodes VALUES (?1,?2,?3,?4,?5,?6) "
            "ON CONFLICT(id) DO UPDATE SET closed_ms=coalesce(?5, closed_ms), body=?6",
            (change.episode, person, change.kind, at_ms, closed_ms, json.dumps(body, ensure_ascii=False)),
        )

    def _is_repeat(self, event: Event, decided: AlertsDecided) -> bool:
        known = self.newest_fact(event.subject, "decided", AlertsDecided)
        if is_repeat(decided.pos, known.pos if known is not None else None):
            return True
        self.keep(event, "decided", event.subject)
        return False

    def _episode_body(self, episode: str) -> dict[str, Any] | None:
        row = self._db.execute("SELECT body FROM episodes WHERE id=?", (episode,)).fetchone()
        return json.loads(row[0]) if row else None

    # -- questions ---------------------------------------------------------------------------------

    def snoozes(self, person: str, now_ms: int) -> dict[str, int]:
        """See `Catalog`."""
        sql = "SELECT body FROM newest WHERE person=? AND what LIKE 'snooze/%'"
        found = [decode(row[0]) for row in self._db.execute(sql, (person,))]
        quiet = {e.data.kind: quiet_until_ms(e.data, e.recorded_ms) for e in found if isinstance(e.data, AlertsSnoozed)}
        return {kind: until_ms for kind, until_ms in quiet.items() if until_ms > now_ms}

    def snooze(self, person: str, kind: str) -> SnoozeRecord | None:
        """See `Catalog`."""
        event = self.newest(person, f"snooze/{kind}")
        if event is None or not isinstance(event.data, AlertsSnoozed):
            return None
        return SnoozeRecord(event.time_ms, quiet_until_ms(event.data, event.recorded_ms), event.actor)

    def acknowledgement(self, episode_id: str) -> AlertAcknowledged | None:
        """See `Catalog`."""
        return self.newest_fact(episode_id, "ack", AlertAcknowledged)

    def episodes(
        self, person: str, from_ms: int, to_ms: int, limit: int, after: tuple[int, str] | None = None
    ) -> list[EpisodeRecord]:
        """See `Catalog`."""
        which = (
            "person=?1 AND opened_ms>=?2 AND opened_ms<?3 AND (opened_ms<?4 OR opened_ms=?4 AND id>?5) "
            "ORDER BY opened_ms DESC, id LIMIT ?6"
        )
        return self._episodes(which, person, from_ms, to_ms, *(after or (to_ms, "")), limit)

    def open_episodes(self, person: str) -> list[EpisodeRecord]:
        """See `Catalog`."""
        return self._episodes("person=? AND closed_ms IS NULL ORDER BY opened_ms", person)

    def count_open_episodes(self, person: str) -> int:
        """See `Catalog`."""
        sql = "SELECT count(*) FROM episodes WHERE person=? AND closed_ms IS NULL"
        return int(self._db.execute(sql, (person,)).fetchone()[0])

    def episode(self, episode_id: str) -> EpisodeRecord | None:
        """See `Catalog`."""
        return next(iter(self._episodes("id=?", episode_id)), None)

    def _episodes(self, which: str, *asked: str | int) -> list[EpisodeRecord]:
        rows = self._db.execute(f"SELECT {_EPISODE} FROM episodes WHERE {which}", asked)
        return [_record(row) for row in rows]


def _record(row: Sequence[Any]) -> EpisodeRecord:
    episode_id, person, kind, opened_ms, closed_ms, text = row
    body = json.loads(text)
    changes = tuple(AlertEvent.model_validate(change, strict=False, extra="ignore") for change in body["changes"])
    deliveries = tuple(Delivery(**delivery) for delivery in body["deliveries"])
    return EpisodeRecord(episode_id, person, kind, opened_ms, closed_ms, changes, deliveries)
