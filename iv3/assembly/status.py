"""Status: what the running parts say of themselves, collected: bars and health lines for the page, readiness for the
outer world, metrics.
"""

from collections.abc import Iterator, Sequence

from api.request.context import BarShown, HealthShown, Readiness
from iv3.assembly.metrics import metrics_text
from iv3.assembly.running import Running
from processors.alerting.wording import age_words
from processors.profiles import action_of_dose
from schemas.facts import InsulinTaken
from streams.roles.alerter import BEHIND_S
from streams.runtime.heartbeats import Heartbeats
from streams.runtime.report import DeadManReport, HealthLine, Metric, RoleReport
from streams.topics import JOURNAL
from streams.views.catalog import Catalog

_SHADOW = "ALARMS ARE IN SHADOW: decided, not sent. Nobody is told of a low by this iv3 until `iv3 alerts on`."
_NO_LONG_ACTING = (
    "No long-acting dose is on record for 30 days. Log the last one, and iv3 can tell when one is missing."
)
_ANSWERS = {
    "ok": "answers",
    "no_data": "has no data",
    "refused": "refuses the log-in",
    "unreachable": "does not answer",
}
_SUSPENDED = "SUSPENDED. No readings are asked for, and nobody is alarmed, until `iv3 person resume`."
_NO_ARCHIVE = HealthLine("Archive", False, "not set up", "the log is on this disk only", missing=True)
_LONG_LOOK_MS, _MOST_DOSES = 30 * 86_400_000, 1_000


class Status:
    """Looks at the parts when it is asked; keeps nothing."""

    def __init__(self, running: Running, catalog: Catalog, heartbeats: Heartbeats) -> None:
        self._log, self._roles, self._plan, self._people = running.log, running.roles, running.plan, running.people
        self._catalog, self._heartbeats = catalog, heartbeats
        self._long_acting_seen: set[str] = set()

    def _reports(self, person: str = "") -> list[RoleReport]:
        return [role.report(person) for role in self._roles]

    def _evaluated_ms(self) -> int:
        """Through when alarms were decided: as this process's alerter knows, or as the others' heartbeats say; 0 while
        nobody has yet.
        """
        own = next((report.evaluated_ms for report in self._reports() if report.evaluated_ms is not None), None)
        return own if own is not None else self._heartbeats.evaluated_ms()

    def _late_ms(self) -> int:
        """How far alarms are behind, in ms of the clock; 0 while they are not."""
        evaluated = self._evaluated_ms()
        late = self._plan.clock.now_ms() - evaluated if evaluated else 0
        return late if late > BEHIND_S * 1000 * max(1.0, self._plan.clock.speed) else 0

    def bars(self, person: str) -> list[BarShown]:
        """The truths about a person's whole page, in their fixed order."""
        return [BarShown(kind, text) for kind, text in self._bars(person)]

    def _bars(self, person: str) -> Iterator[tuple[str, str]]:
        plan = self._plan
        shadow = plan.settings.alerts == "shadow"
        if plan.demo_plan is not None:
            yield "demo", f"DEMO: {plan.demo_plan.words.removeprefix('a ')}"
        if not self._people.roster.targets_of(person) and not shadow and not plan.demo:
            yield "alarms_off", "ALARMS ARE OFF. No phone is set up, so nobody will be told of a low."
        yield from self._of_person(person)
        if shadow:
            yield "shadow", _SHADOW
        trouble = self._trouble(person)
        if trouble:
            yield "undeliverable", f"ALARMS ARE NOT GETTING OUT. {trouble}"
        late_ms = self._late_ms()
        if late_ms:
            text = f"Alarms are running late: {late_ms // 60_000} min behind. A low since then may not have rung yet."
            yield "behind", text
        if self._people.simulated(person) and not plan.demo:
            yield "simulated", "SIMULATED SOURCE. These readings do not come from Dexcom."
        asked = self._catalog.source(person)
        skew = asked.state.clock_skew_s if asked is not None else None
        if skew:
            text = f"This machine's clock is wrong by {abs(skew):.0f} s, says Dexcom's. Ages may be wrong."
            yield "clock_wrong", text
        if not plan.demo and self._long_acting_missing(person):
            yield "no_long_acting", _NO_LONG_ACTING
        if self._log.nearly_full():
            text = "The disk is nearly full: only readings and alarms are still saved. Free some space."
            yield "disk_low", text

    def _long_acting_missing(self, person: str) -> bool:
        """Whether to ask for the last long-acting dose, where one is to be missed: without any there is nothing to
        alarm about. Asked until there is one.
        """
        profile = self._catalog.profile(person)
        if person in self._long_acting_seen or not profile.no_long_acting_h or not self._catalog.ready:
            return False
        now_ms = self._plan.clock.now_ms()
        found = self._catalog.entries(person, now_ms - _LONG_LOOK_MS, now_ms + 600_000, _MOST_DOSES, kinds=("insulin",))
        doses = [entry.data for entry in found if isinstance(entry.data, InsulinTaken)]
        if any(action_of_dose(dose, profile.insulins) == "long" for dose in doses):
            self._long_acting_seen.add(person)
        return person not in self._long_acting_seen

    def _of_person(self, person: str) -> Iterator[tuple[str, str]]:
        """Why this person is watched less than others, or not at all."""
        people = self._people
        if people.trouble:
            yield "people", f"THE ACCOUNTS OF PEOPLE CANNOT BE READ. {people.trouble}"
        elif person in people.troubles:
            yield "people", f"NOT FULLY WATCHED. {people.troubles[person]}"
        elif self._catalog.is_suspended(person):
            yield "suspended", _SUSPENDED
        elif people.roster.source(person) is None and self._catalog.source(person) is not None and not self._plan.demo:
            said = f"There was an account, and it is not here any more. Enter it again: `iv3 person add {person}`."
            yield "people", f"NO READINGS ARE ASKED FOR. {said}"

    def _trouble(self, person: str) -> str:
        """Why this person's alarms are not getting out. Of a notifier in another process only what is wrong with all of
        them is known.
        """
        own = next((report.undelivered for report in self._reports(person) if report.undelivered is not None), None)
        return own if own is not None else self._heartbeats.trouble()

    def health(self, person: str) -> list[HealthShown]:
        """One line per part; what is a person's own is this one's."""
        now = self._plan.clock.now_ms()
        reports = self._reports(person)
        said = {line.key: line for report in reports for line in report.lines}
        events = sum(head for (topic, _), head in self._log.heads.items() if topic == JOURNAL)
        evaluated, late = self._evaluated_ms(), self._late_ms()
        durable = "every one on disk before it was answered"
        alarms = f"checked {age_words(now - evaluated)}" if evaluated else "starting"
        lines = [
            HealthLine("Log", not self._log.nearly_full(), f"{events:,} events", durable),
            said.get("Series", HealthLine("Series", True, "up to date", "what charts are drawn from")),
            HealthLine("Alarms", not late, alarms, "every reading, and every 10 s"),
            self._source_health(person),
            said.get("Notifier") or self._notifier_elsewhere(),
            self._dead_man_health(now, next((r.dead_man for r in reports if r.dead_man is not None), None)),
            said.get("Archive", _NO_ARCHIVE),
            *([said["Restore"]] if "Restore" in said else []),
        ]
        return [HealthShown(*line) for line in lines]

    def _source_health(self, person: str) -> HealthLine:
        name = self._people.source_title(person)
        asked = self._catalog.source(person)
        if not name:
            return HealthLine("Dexcom", False, "not set up", "readings come from uploaders", missing=True)
        if asked is None:
            return HealthLine(name, True, "starting", "not asked yet")
        state, why = asked.state.state, asked.state.reason or "asked after each reading is due"
        return HealthLine(name, state == "ok", _ANSWERS[state], why)

    def _notifier_elsewhere(self) -> HealthLine:
        trouble = self._heartbeats.trouble()
        return HealthLine("Notifier", not trouble, "not getting out" if trouble else "in another process", trouble)

    def _dead_man_health(self, now: int, switch: DeadManReport | None) -> HealthLine:
        """Whether somebody is told when iv3 itself falls silent."""
        title = "Dead-man's switch"
        if switch is not None and switch.off:
            return HealthLine(title, False, "off", switch.off)
        fires = max(self._heartbeats.fires_ms, switch.fires_ms if switch is not None else 0)
        if fires > now:
            value = f"rings in {(fires - now) // 60_000} min of silence"
            return HealthLine(title, True, value, "put off every 10 min while all is well")
        if switch is None and not fires:
            return HealthLine(title, False, "not set up", "when iv3 itself falls silent, nobody is told", missing=True)
        waits = switch.waits if switch is not None else ""
        return HealthLine(title, not fires, "not put off" if fires else "starting", waits)

    def readiness(self, without: Sequence[str] = ()) -> Readiness:
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
        """See `metrics_text`."""
        return metrics_text(self._roles, self._log.counters, [Metric("iv3_catalog_lag", self._catalog.behind())])
