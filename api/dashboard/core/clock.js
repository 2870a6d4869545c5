/* The server's clock on this page, and times of day in the person's own zone; where none is known, in UTC, as everything else of iv3. */
import { asked as person } from './api.js';
import { isDemo } from './demo.js';
import { keep, recall } from './dom.js';

export const MIN = 60_000,
  HOUR = 3_600_000,
  DAY = 86_400_000;
const NAME = `zone${person ? `.${person}` : ''}`; // each person's own
const pad = (n) => String(n).padStart(2, '0');

let base = null; // { time_ms, perf, wall, speed }
let zone = null, // the zone that times are shown in
  asked = null, // the zone of the profile, null where it has none
  parts = null,
  weekday = null;

export const stamp = () => ({ perf: performance.now(), wall: Date.now() });

/* `at` was taken before the request left, so that an age is never understated. */
export function anchor(time_ms, speed, at) {
  base = { time_ms, speed: speed > 0 ? speed : 1, ...at };
}

/* A sleeping machine may stop performance.now(); the wall clock then knows better, and too old is the safe side. */
function elapsed() {
  return Math.max(performance.now() - base.perf, Date.now() - base.wall, 0);
}
export const now = () => (base ? base.time_ms + elapsed() * base.speed : Date.now());
export const speed = () => base?.speed ?? 1;
export const slept = () => base != null && Math.abs(Date.now() - base.wall - (performance.now() - base.perf)) > 5_000;

export function setZone(name) {
  if (parts && (name || null) === asked) return;
  asked = name || null;
  const make = (o) => new Intl.DateTimeFormat('en-GB', { ...o, timeZone: zone });
  zone = asked ?? 'UTC';
  try {
    weekday = make({ weekday: 'short' });
  } catch {
    zone = 'UTC'; // a zone that this browser has never heard of
    weekday = make({ weekday: 'short' });
  }
  parts = make({
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
  keep(NAME, asked ?? '');
}
setZone(recall(NAME, null)); // until the server says it: an entry may be made before that

function fields(ms) {
  return Object.fromEntries(parts.formatToParts(ms).map((p) => [p.type, Number(p.value)]));
}
/* Minutes by which the zone is ahead of UTC at that moment. */
function offset(ms) {
  const f = fields(ms),
    whole = Math.floor(ms / 1000) * 1000;
  return Math.round((Date.UTC(f.year, f.month - 1, f.day, f.hour, f.minute, f.second) - whole) / MIN);
}
function toMs(y, mo, d, hh, mm) {
  const wall = Date.UTC(y, mo - 1, d, hh, mm),
    first = wall - offset(wall) * MIN;
  return wall - offset(first) * MIN;
}

export function hm(ms) {
  const f = fields(ms);
  return `${pad(f.hour)}:${pad(f.minute)}`;
}
export const day = (ms) => weekday.format(ms);
export function midnight(ms) {
  const f = fields(ms);
  return toMs(f.year, f.month, f.day, 0, 0);
}
const MONTH_DAY = { timeZone: 'UTC', day: 'numeric', month: 'short' };
/* Which day a moment belongs to, as said today: '' for today itself. */
function dayWord(ms, t) {
  const zero = midnight(t);
  if (ms >= midnight(zero + 36 * HOUR)) return 'tomorrow';
  if (ms >= zero) return '';
  if (ms >= midnight(zero - 12 * HOUR)) return 'yesterday';
  const f = fields(ms);
  return new Intl.DateTimeFormat('en-GB', MONTH_DAY).format(Date.UTC(f.year, f.month - 1, f.day));
}
/* A time of day that cannot be taken for another day's: "at 23:50", "yesterday 23:50". */
export function when(ms, t = now()) {
  const word = dayWord(ms, t);
  return `${word || 'at'} ${hm(ms)}`;
}
/* The moment at which the clock on the wall says `text` (HH:MM): the last one, or for an entry of another day the one nearest to it. */
export function atClock(text, near = null, t = now()) {
  const m = /^(\d{1,2}):(\d{2})/.exec(text);
  if (!m) return null;
  const about = near ?? t,
    possible = [-DAY, 0, DAY]
      .map((off) => fields(about + off))
      .map((f) => toMs(f.year, f.month, f.day, Number(m[1]), Number(m[2])))
      .filter((x) => x <= t + 10 * MIN);
  return near == null ? possible.at(-1) : possible.reduce((a, x) => (Math.abs(x - near) < Math.abs(a - near) ? x : a));
}
/* Whole hours of the zone between two moments, every `step` hours. */
export function hourTicks(from, to, step) {
  const out = [],
    start = midnight(from);
  for (let x = start; x <= to; x += step * HOUR) if (x >= from) out.push(x);
  return out;
}
/* Asks for the zone where the profile has none; times are then UTC, as in every message of iv3. */
export function zoneMissing() {
  if (asked && zone === asked) return '';
  if (asked) return `Times are UTC: this browser does not know the zone ${asked}.`;
  if (isDemo()) return 'Times are UTC: the simulated person has no time zone.'; // and no configuration to set it in
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return `Times are UTC: iv3 has not been told this person’s time zone. Set person.zone${here && here !== 'UTC' ? `, here ${here}` : ''}.`;
}
export function zoneNote(ms) {
  const here = -new Date(ms).getTimezoneOffset();
  return zoneMissing() || (here !== offset(ms) ? `Times are those of ${zone}.` : '');
}
