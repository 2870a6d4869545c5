"""Status: what the running parts say of themselves, as bars and health lines for the page, readiness for the outer world, and metrics."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from api.request.context import Bar, Health, Readiness
from processors.alerting.wording import age_words
from processors.profiles import action_of_dose
from schemas.facts import InsulinTaken, PersonSuspended, SourceStateChanged
from streams.ports.log import Log
from streams.roles.alerter import BEHIND_S, LATE, Alerter
from streams.roles.archiver import Archiver
from streams.roles.notifier import AlarmNotifier
from streams.roles.poller import Poller
from streams.roles.projector import Projector
from streams.runtime.heartbeats import Heartbeats
from streams.runtime.role import Role
from streams.topics import JOURNAL
from streams.views.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iv3.assembly.people import People
    from iv3.assembly.plan import StartPlan
    from streams.adapters.logs.kafka.log import KafkaLog
    from streams.adapters.logs.sqlite.log import SqliteLog


def troubles(log: Log, roles: "Sequence[Role]") -> list[str]:
    """What of this process does not work and must be told: a few words each, the same for as long as it lasts."""
    found = []
    if log.nearly_full():
        found.append("the disk is nearly full: only readings and alarms are still saved")
    for role in roles:
        if isinstance(role, Alerter):
            found += [LATE] * role.late + role.met[:_MOST_MET]
        if isinstance(role, AlarmNotifier) and role.trouble():
            found.append("alarms are not getting out")
        if isinstance(role, Archiver) and role.is_behind():
            found.append("the archive could not be brought up to date for an hour")
        if isinstance(role, Archiver) and role.upkeep is not None and role.upkeep.trouble():
            found.append("the archive must be looked at (iv3 archive drill says more)")
        if isinstance(role, Projector) and role.is_behind():
            found.append("what charts are drawn from could not be written for an hour")
        if role.progress.paused:
            found.append(f"the {role.name} waits for an upgrade of iv3")
        if role.progress.dead_letters:
            found.append(f"the {role.name} met a record it cannot handle (iv3 dead-letters list)")
    return found


def role_metrics(roles: "Sequence[Role]", counters: object) -> str:
    """Prometheus text: one figure for each thing that somebody would act upon."""
    lines = ["# TYPE iv3_role_lag gauge", "# TYPE iv3_role_handled_total counter"]
    for role in roles:
        label = f'{{role="{role.name}"}}'
        did = role.progress
        lines += [
            f"iv3_role_running{label} {int(role.state == 'running')}",
            f"iv3_role_partitions{label} {len(did.next_offset)}",
            f"iv3_role_lag{label} {role.lag()}",
            f"iv3_role_handled_total{label} {did.handled}",
            f"iv3_role_retries_total{label} {did.retries}",
            f"iv3_role_restarts_total{label} {did.restarts}",
            f"iv3_role_dead_letters_total{label} {did.dead_letters}",
            f"iv3_role_assignments_total{label} {did.assignments}",
            f"iv3_role_dropped_total{label} {did.dropped}",
            f"iv3_role_late_hand_overs_total{label} {role.late_hand_overs}",
        ]
        if isinstance(role, AlarmNotifier):
            lines += [
                f"iv3_notifier_waiting {len(role.waiting())}",
                f"iv3_notifier_sent_today {sum(role.sent_today(target) for target in role.states)}",
                f"iv3_notifier_fallback_sent_total {role.fallback.state.sent if role.fallback is not None else 0}",
                f"iv3_dead_man_fires_ms {role.dead_man.state.fires_ms if role.dead_man is not None else 0}",
            ]
        if isinstance(role, Poller):
            lines.append(f"iv3_poller_accounts {len(role.watching)}")
    lines += [f"iv3_log_{name}_total {value}" for name, value in asdict(counters).items()]  # type: ignore[call-overload] # a dataclass of counters
    return "\n".join(lines) + "\n"


_MOST_MET = 5
_LONG_LOOK_MS, _MOST_DOSES = 30 * 86_400_000, 1_000
DAILY_BUDGET = 250  # messages of one address at the public ntfy.sh without a plan


class Status:
    """Looks at the parts when it is asked; keeps nothing."""

    def __init__(
        self,
        log: "SqliteLog | KafkaLog",
        roles: "Sequence[Role]",
        catalog: Catalog,
        plan: "StartPlan",
        pulse: Heartbeats,
        people: "People",
    ) -> None:
        self._log, self._roles, self._catalog, self._plan, self._pulse = log, roles, catalog, plan, pulse
        self._people = people
        # None where the role runs in another process, or in none.
        self._alerter = next((role for role in roles if isinstance(role, Alerter)), None)
        self._notifier = next((role for role in roles if isinstance(role, AlarmNotifier)), None)
        self._projector = next((role for role in roles if isinstance(role, Projector)), None)
        self._long_acting_seen: set[str] = set()

    def _evaluated_ms(self) -> int:
        """Through when alarms were decided: as this process's alerter knows, or as the others' heartbeats say; 0 while nobody has yet."""
        return self._alerter.evaluated_ms if self._alerter is not None else self._pulse.evaluated_ms()

    def _late_ms(self) -> int:
        """How far alarms are behind, in ms of the clock; 0 while they are not."""
        evaluated = self._evaluated_ms()
        late = self._plan.clock.now_ms() - evaluated if evaluated else 0
        return late if late > BEHIND_S * 1000 * max(1.0, self._plan.clock.speed) else 0

    def bars(self, person: str) -> list[Bar]:
        """The truths about a person's whole page, in their fixed order."""
        plan, found = self._plan, []
        if plan.demo:
            found.append(Bar("demo", f"DEMO: {plan.demo_of.removeprefix('a ') or 'simulated person'}"))
        if not self._people.roster.targets_of(person) and plan.settings.alerts != "shadow" and not plan.demo:
            found.append(Bar("alarms_off", "ALARMS ARE OFF. No phone is set up, so nobody will be told of a low."))
        found += self._of_person(person)
        if plan.settings.alerts == "shadow":
            found.append(
                Bar(
                    "shadow",
                    "ALARMS ARE IN SHADOW: decided, not sent. Nobody is told of a low by this iv3 until `iv3 alerts on`.",
                )
            )
        trouble = self._trouble(person)
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
        if self._people.simulated(person) and not plan.demo:
            found.append(Bar("simulated", "SIMULATED SOURCE. These readings do not come from Dexcom."))
        skew = self._skew(person)
        if skew:
            found.append(
                Bar(
                    "clock_wrong",
                    f"This machine's clock is wrong by {abs(skew):.0f} s, says Dexcom's. Ages may be wrong.",
                )
            )
        if not plan.demo and self._long_acting_missing(person):
            found.append(
                Bar(
                    "no_long_acting",
                    "No long-acting dose is on record for 30 days. Log the last one, and iv3 can tell when one is missing.",
                )
            )
        if self._log.nearly_full():
            found.append(
                Bar("disk_low", "The disk is nearly full: only readings and alarms are still saved. Free some space.")
            )
        return found

    def _long_acting_missing(self, person: str) -> bool:
        """Whether to ask for the last long-acting dose, where one is to be missed: without any there is nothing to alarm about. Asked until there is one."""
        store = self._catalog.store
        profile = store.profile(person)
        if person in self._long_acting_seen or not profile.no_long_acting_h or not self._catalog.ready:
            return False
        now_ms = self._plan.clock.now_ms()
        doses = store.entries(person, now_ms - _LONG_LOOK_MS, now_ms + 600_000, _MOST_DOSES, kinds=("insulin",))
        if any(
            isinstance(dose.data, InsulinTaken) and action_of_dose(dose.data, profile.insulins) == "long"
            for dose in doses
        ):
            self._long_acting_seen.add(person)
        return person not in self._long_acting_seen

    def _of_person(self, person: str) -> list[Bar]:
        """Why this person is watched less than others, or not at all."""
        people, store = self._people, self._catalog.store
        if people.trouble:
            return [Bar("people", f"THE ACCOUNTS OF PEOPLE CANNOT BE READ. {people.trouble}")]
        if person in people.troubles:
            return [Bar("people", f"NOT FULLY WATCHED. {people.troubles[person]}")]
        came = store.newest(person, "person")
        if came is not None and isinstance(came.data, PersonSuspended):
            return [
                Bar(
                    "suspended",
                    "SUSPENDED. No readings are asked for, and nobody is alarmed, until `iv3 person resume`.",
                )
            ]
        if people.roster.source(person) is None and store.newest(person, "source") is not None and not self._plan.demo:
            said = f"There was an account, and it is not here any more. Enter it again: `iv3 person add {person}`."
            return [Bar("people", f"NO READINGS ARE ASKED FOR. {said}")]
        return []

    def _trouble(self, person: str) -> str:
        """Why this person's alarms are not getting out. Of a notifier in another process only what is wrong with all of them is known."""
        if self._notifier is None:
            return self._pulse.trouble()
        return self._notifier.trouble(person) or self._notifier.trouble()

    def _skew(self, person: str) -> float | None:
        event = self._catalog.store.newest(person, "source")
        return event.data.clock_skew_s if event is not None and isinstance(event.data, SourceStateChanged) else None

    def health(self, person: str) -> list[Health]:
        """One line per part; what is a person's own is this one's."""
        now = self._plan.clock.now_ms()
        events = sum(head for (topic, _), head in self._log.heads.items() if topic == JOURNAL)
        evaluated, late = self._evaluated_ms(), self._late_ms()
        lag = self._projector.lag() if self._projector is not None else 0
        failing = self._projector.progress.failing if self._projector is not None else ""
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
            self._source_health(person),
            self._notifier_health(now, person),
            self._dead_man_health(now),
            self._archive_health(now),
            *self._drill_health(now),
        ]

    def _source_health(self, person: str) -> Health:
        name = "Simulator" if self._plan.demo else "Dexcom"
        event = self._catalog.store.newest(person, "source")
        if self._people.roster.source(person) is None:
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

    def _archiver(self) -> Archiver | None:
        return next((role for role in self._roles if isinstance(role, Archiver)), None)

    def _archive_health(self, now: int) -> Health:
        archiver = self._archiver()
        if archiver is None:
            return Health("Archive", False, "not set up", "the log is on this disk only", missing=True)
        if archiver.trouble():
            return Health("Archive", False, "not kept up", archiver.trouble())
        last = age_words(now - archiver.archived_ms) if archiver.archived_ms else "starting"
        return Health("Archive", True, f"brought up to date {last}", f"{archiver.waiting():,} events waiting")

    def _drill_health(self, now: int) -> list[Health]:
        archiver = self._archiver()
        if archiver is None or archiver.upkeep is None:
            return []
        last, trouble = archiver.upkeep.last_drill, archiver.upkeep.trouble()
        when = age_words(now - last.at_ms) if last is not None else "not tried yet"
        if trouble:
            return [Health("Restore", False, f"tried {when}" if last else when, trouble)]
        said = (
            f"{last.records:,} records came back as they are" if last is not None else "iv3 archive drill tries it now"
        )
        return [Health("Restore", True, f"tried {when}" if last is not None else when, said)]

    def _notifier_health(self, now: int, person: str) -> Health:
        if self._notifier is None:
            trouble = self._pulse.trouble()
            return Health("Notifier", not trouble, "not getting out" if trouble else "in another process", trouble)
        if self._plan.settings.alerts == "shadow":
            return Health("Notifier", False, "in shadow", "decided, not sent", missing=True)
        told = self._people.roster.targets_of(person)
        if not told:
            return Health("Notifier", False, "not set up", "no phone can be told", missing=True)
        trouble = self._trouble(person)
        waiting = sum(step.target in told for step, _ in self._notifier.waiting())
        today = sum(map(self._notifier.sent_today, told))
        last = max((s.accepted_ms or 0 for name, s in self._notifier.states.items() if name in told), default=0)
        if trouble:
            return Health("Notifier", False, "not getting out", trouble)
        return Health(
            "Notifier",
            True,
            f"accepted {age_words(now - last)}" if last else "nothing sent yet",
            f"{waiting} waiting, {today} messages today (ntfy.sh takes {DAILY_BUDGET})",
        )

    def _dead_man_health(self, now: int) -> Health:
        """Whether somebody is told when iv3 itself falls silent."""
        title = "Dead-man's switch"
        switch = self._notifier.dead_man if self._notifier is not None else None
        if switch is not None and switch.state.off:
            return Health(title, False, "off", switch.state.off)
        fires = max(self._pulse.fires_ms, switch.state.fires_ms if switch is not None else 0)
        if fires > now:
            return Health(
                title,
                True,
                f"rings in {(fires - now) // 60_000} min of silence",
                "put off every 10 min while all is well",
            )
        if switch is None and not fires:
            return Health(title, False, "not set up", "when iv3 itself falls silent, nobody is told", missing=True)
        return Health(
            title,
            not fires,
            "starting" if not fires else "not put off",
            switch.state.waits if switch is not None else "",
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
        lines = [role_metrics(self._roles, self._log.counters).rstrip("\n")]
        if self._alerter is not None:
            lines += [
                f"iv3_alerter_ticks_total {self._alerter.ticks}",
                f"iv3_alerter_skipped_ticks_total {self._alerter.skipped_ticks}",
                f"iv3_alerter_skipped_forecasts_total {self._alerter.skipped_forecasts}",
            ]
        lines.append(f"iv3_catalog_lag {self._catalog.behind()}")
        archiver = self._archiver()
        if archiver is not None:
            drill = archiver.upkeep.last_drill if archiver.upkeep is not None else None
            lines += [
                f"iv3_archive_waiting {archiver.waiting()}",
                f"iv3_archive_failing {int(bool(archiver.trouble()))}",
            ]
            lines += [f"iv3_archive_drill_ok {int(drill.ok)}"] if drill is not None else []
        return "\n".join(lines) + "\n"
