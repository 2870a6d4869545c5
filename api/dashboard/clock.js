/* The server's clock on this page, and times of day in the person's own zone. */
export const MIN = 60_000,
  HOUR = 3_600_000,
  DAY = 86_400_000;
const pad = (n) => String(n).padStart(2, '0');

let base = null; // { time_ms, perf, wall, speed }
let zone = null,
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
  if (parts && name === zone) return;
  zone = name;
  const make = (o) => {
    try {
      return new Intl.DateTimeFormat('en-GB', { ...o, timeZone: name || undefined });
    } catch {
      return new Intl.DateTimeFormat('en-GB', o);
    }
  };
  parts = make({
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
  weekday = make({ weekday: 'short' });
}
setZone(null);

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
/* The moment nearest to now, at most 10 min ahead of it, at which the clock on the wall says `text` (HH:MM). */
export function atClock(text, t = now()) {
  const m = /^(\d{1,2}):(\d{2})/.exec(text);
  if (!m) return null;
  const f = fields(t),
    x = toMs(f.year, f.month, f.day, Number(m[1]), Number(m[2]));
  if (x <= t + 10 * MIN) return x;
  const y = fields(t - DAY);
  return toMs(y.year, y.month, y.day, Number(m[1]), Number(m[2]));
}
/* Whole hours of the zone between two moments, every `step` hours. */
export function hourTicks(from, to, step) {
  const out = [],
    start = midnight(from);
  for (let x = start; x <= to; x += step * HOUR) if (x >= from) out.push(x);
  return out;
}
export function zoneNote(ms) {
  const here = -new Date(ms).getTimezoneOffset();
  return zone && here !== offset(ms) ? `Times are those of ${zone}.` : '';
}
