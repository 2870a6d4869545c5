"""Status: what the running parts say of themselves, as bars and health lines for the page, readiness for the outer world, and metrics."""

from typing import TYPE_CHECKING

from api.hearing import Bar, Health, Readiness
from processors.alerting.words import age_words
from schemas.facts import SourceStateChanged
from streams.alerter import BEHIND_S, Alerter
from streams.archiver import Archiver
from streams.catalog import Catalog
from streams.logs.sqlite import SqliteLog
from streams.notifier import AlarmNotifier
from streams.projector import Projector
from streams.role import Role
from streams.topics import JOURNAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iv3.wiring import Plan


def troubles(log: SqliteLog, roles: "Sequence[Role]") -> list[str]:
    """What of this process does not work and must be told: a few words each, the same for as long as it lasts."""
    found = []
    if log.nearly_full():
        found.append("the disk is nearly full: only readings and alarms are still saved")
    for role in roles:
        if isinstance(role, AlarmNotifier) and role.trouble():
            found.append("alarms are not getting out")
        if isinstance(role, Archiver) and role.is_behind():
            found.append("the archive could not be brought up to date for an hour")
        if isinstance(role, Projector) and role.is_behind():
            found.append("what charts are drawn from could not be written for an hour")
        if role.progress.paused:
            found.append(f"the {role.name} waits for an upgrade of iv3")
        if role.progress.dead_letters:
            found.append(f"the {role.name} met a record it cannot handle (iv3 dead-letters list)")
    return found


class Status:
    """Looks at the parts when it is asked; keeps nothing."""

    def __init__(self, log: SqliteLog, roles: "Sequence[Role]", catalog: Catalog, plan: "Plan") -> None:
        self._log, self._roles, self._catalog, self._plan = log, roles, catalog, plan
        self._alerter = next(role for role in roles if isinstance(role, Alerter))
        self._notifier = next(role for role in roles if isinstance(role, AlarmNotifier))
        self._projector = next(role for role in roles if isinstance(role, Projector))

    def _late_ms(self) -> int:
        """How far alarms are behind, in ms of the clock; 0 while they are not."""
        evaluated = self._alerter.evaluated_ms
        late = self._plan.clock.now_ms() - evaluated if evaluated else 0
        return late if late > BEHIND_S * 1000 * max(1.0, self._plan.clock.speed) else 0

    def bars(self) -> list[Bar]:
        """The truths about the whole page, in their fixed order."""
        plan, found = self._plan, []
        if plan.demo:
            found.append(Bar("demo", f"DEMO: {plan.demo_of.removeprefix('a ') or 'simulated person'}"))
        if not plan.settings.topic and not plan.demo:
            found.append(Bar("alarms_off", "ALARMS ARE OFF. No phone is set up, so nobody will be told of a low."))
        trouble = self._notifier.trouble()
        if trouble:
            found.append(Bar("undeliverable", f"ALARMS ARE NOT GETTING OUT. {trouble}"))
        late = self._late_ms()
        if late:
            found.append(
                Bar(
                    "behind",
                    f"Alarms are running late: {late // 60_000} min behind. A low since then may not have rung yet.",
                )
            )
        if (plan.dexcom_url or plan.settings.dexcom.url) and not plan.demo:
            found.append(Bar("simulated", "SIMULATED SOURCE. These readings do not come from Dexcom."))
        skew = self._skew()
        if skew:
            found.append(
                Bar(
                    "clock_wrong",
                    f"This machine's clock is wrong by {abs(skew):.0f} s, says Dexcom's. Ages may be wrong.",
                )
            )
        if self._log.nearly_full():
            found.append(
                Bar("disk_low", "The disk is nearly full: only readings and alarms are still saved. Free some space.")
            )
        return found

    def _skew(self) -> float | None:
        event = self._catalog.store.newest(self._plan.person, "source")
        return event.data.clock_skew_s if event is not None and isinstance(event.data, SourceStateChanged) else None

    def health(self) -> list[Health]:
        """One line per part."""
        now = self._plan.clock.now_ms()
        events = sum(head for (topic, _), head in self._log.heads.items() if topic == JOURNAL)
        evaluated, late = self._alerter.evaluated_ms, self._late_ms()
        lag, failing = self._projector.lag(), self._projector.progress.failing
        return [
            Health(
                "Log", not self._log.nearly_full(), f"{events:,} events", "every one on disk before it was answered"
            ),
            Health(
                "Series",
                lag < 1000 and not failing,
                f"cannot be written, {lag:,} events behind"
                if failing
                else "up to date"
                if not lag
                else f"{lag:,} events behind",
                failing or "what charts are drawn from",
            ),
            Health(
                "Alarms",
                not late,
                f"checked {age_words(now - evaluated)}" if evaluated else "starting",
                "every reading, and every 10 s",
            ),
            self._source_health(),
            self._notifier_health(now),
            self._archive_health(now),
        ]

    def _source_health(self) -> Health:
        name = "Simulator" if self._plan.demo else "Dexcom"
        event = self._catalog.store.newest(self._plan.person, "source")
        if not self._plan.settings.dexcom.account:
            return Health("Dexcom", False, "not set up", "readings come from uploaders", missing=True)
        if event is None or not isinstance(event.data, SourceStateChanged):
            return Health(name, True, "starting", "not asked yet")
        words = {
            "ok": "answers",
            "no_data": "has no data",
            "refused": "refuses the log-in",
            "unreachable": "does not answer",
        }
        return Health(
            name,
            event.data.state == "ok",
            words[event.data.state],
            event.data.reason or "asked after each reading is due",
        )

    def _archive_health(self, now: int) -> Health:
        archiver = next((role for role in self._roles if isinstance(role, Archiver)), None)
        if archiver is None:
            return Health("Archive", False, "not set up", "the log is on this disk only", missing=True)
        if archiver.trouble():
            return Health("Archive", False, "not kept up", archiver.trouble())
        last = age_words(now - archiver.archived_ms) if archiver.archived_ms else "starting"
        return Health("Archive", True, f"brought up to date {last}", f"{archiver.waiting():,} events waiting")

    def _notifier_health(self, now: int) -> Health:
        if not self._notifier.states:
            return Health("Notifier", False, "not set up", "no phone can be told", missing=True)
        trouble = self._notifier.trouble()
        last = max((s.accepted_ms or 0 for s in self._notifier.states.values()), default=0)
        if trouble:
            return Health("Notifier", False, "not getting out", trouble)
        return Health(
            "Notifier",
            True,
            f"accepted {age_words(now - last)}" if last else "nothing sent yet",
            f"{len(self._notifier.waiting())} waiting",
        )

    def readiness(self, without: "Sequence[str]" = ()) -> Readiness:
        """Every role runs, none is paused, none folds; those named `without` are not asked."""
        reasons = []
        for role in self._roles:
            if role.name in without:
                continue
            if role.progress.paused:
                reasons.append(f"{role.name} is paused: {role.progress.paused}")
            elif role.state != "running":
                why = f" ({role.progress.failing})" if role.progress.failing else ""
                reasons.append(f"{role.name} is {role.state}{why}")
        return Readiness(not reasons, tuple(reasons))

    def metrics(self) -> str:
        """Prometheus text: few figures, each one that somebody would act upon."""
        lines = ["# TYPE iv3_role_lag gauge", "# TYPE iv3_role_handled_total counter"]
        for role in self._roles:
            label = f'{{role="{role.name}"}}'
            lines += [
                f"iv3_role_running{label} {int(role.state == 'running')}",
                f"iv3_role_lag{label} {role.lag()}",
                f"iv3_role_handled_total{label} {role.progress.handled}",
                f"iv3_role_retries_total{label} {role.progress.retries}",
                f"iv3_role_restarts_total{label} {role.progress.restarts}",
                f"iv3_role_dead_letters_total{label} {role.progress.dead_letters}",
            ]
        counters = self._log.counters
        lines += [
            f"iv3_log_transactions_total {counters.transactions}",
            f"iv3_log_records_total {counters.records}",
            f"iv3_log_refused_total {counters.refused}",
            f"iv3_alerter_ticks_total {self._alerter.ticks}",
            f"iv3_alerter_skipped_ticks_total {self._alerter.skipped_ticks}",
            f"iv3_alerter_skipped_forecasts_total {self._alerter.skipped_forecasts}",
            f"iv3_notifier_waiting {len(self._notifier.waiting())}",
            f"iv3_catalog_lag {self._catalog.behind()}",
        ]
        return "\n".join(lines) + "\n"
