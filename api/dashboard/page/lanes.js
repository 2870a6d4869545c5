/* The lanes of entries under the chart: rapid, long-acting, carbs; what would lie on top of one another is drawn once and says how much it is. */
import { MIN } from '../core/clock.js';
import { C, font, LANE, shape } from './theme.js';
import { amount } from '../core/units.js';
import { roleOf } from '../core/words.js';

const LANED = { rapid: 0, other: 0, long: 1, carbs: 2 };

/* Without a known action no line is drawn. */
export const actsFor = (spec) => (spec?.duration_min ?? 0) * MIN;

const size = (e) => amount(e.kind === 'carbs' ? e.grams : e.units);
/* Entries of one role that start within `room(text)` of each other become one mark, "18 + 20": two doses never look like one. */
export function grouped(entries, place, room) {
  const out = [],
    open = new Map();
  for (const e of [...entries].sort((a, b) => a.time_ms - b.time_ms)) {
    const role = roleOf(e),
      last = open.get(role);
    if (last && place(e.time_ms) - place(last.time_ms) < room(role, last.text)) {
      last.text += ` + ${size(e)}`;
      last.entries.push(e);
      continue;
    }
    const group = { role, time_ms: e.time_ms, text: size(e), entries: [e] };
    open.set(role, group);
    out.push(group);
  }
  return out;
}

/* A long-acting dose is a capsule and a line for as long as it acts. */
function longMark({ c, px, L, W, X }, m, y, w, now, acts) {
  const x = X(m.time_ms),
    to = Math.min(X(Math.min(now, m.time_ms + acts)), L + W),
    x0 = Math.max(L, x);
  if (to < L) return;
  if (to > x0) {
    c.globalAlpha = 0.32;
    c.fillRect(x0, y - 3 * px, to - x0, 6 * px);
    c.globalAlpha = 1;
  }
  if (x < L) {
    const all = `${m.entries[0].insulin} ${m.text}`,
      wide = c.measureText(all).width;
    if (to - L <= wide + 24 * px) return;
    c.textAlign = 'left';
    c.fillStyle = C.surface;
    c.fillRect(L + 6 * px, y - 8 * px, wide + 8 * px, 16 * px);
    c.fillStyle = C.long;
    c.fillText(all, L + 10 * px, y + 0.5 * px);
    return;
  }
  const pill = w + 14 * px,
    left = Math.min(x - px, L + W - pill); // near the right edge it moves in, so that it can be read
  c.beginPath();
  c.roundRect(left, y - 9 * px, pill, 18 * px, 9 * px);
  c.fill();
  c.fillStyle = C.surface;
  c.textAlign = 'center';
  c.fillText(m.text, left + pill / 2, y + 0.5 * px);
}

export function lanes(f, s) {
  const { c, px, L, W, X, base } = f,
    middle = (i) => base + (i + 0.5) * LANE * px,
    r = 4.6 * px;
  font(c, px, 12, 650);
  c.textBaseline = 'middle';
  const room = (role, text) => (role === 'long' ? c.measureText(text).width + 14 * px : r);
  const marks = grouped(
    s.entries.filter((e) => LANED[roleOf(e)] != null),
    X,
    room,
  );
  const latestLong = marks.filter((m) => m.role === 'long').at(-1);
  for (const [k, m] of marks.entries()) {
    const { role, text } = m,
      x = X(m.time_ms),
      y = middle(LANED[role]),
      w = c.measureText(text).width;
    c.fillStyle = C[role];
    if (role === 'long') {
      const next = marks.slice(k + 1).find((n) => n.role === 'long');
      if (x < L && next && X(next.time_ms) < L && latestLong !== m) continue; // only the newest one from before the window is named
      const acts = Math.max(...m.entries.map(s.acts));
      longMark(f, m, y, w, s.now, Math.min(acts, next ? next.time_ms - m.time_ms : Infinity));
      continue;
    }
    if (x < L - px) continue;
    if (role === 'rapid') shape(c, 'low', x, y, r);
    else if (role === 'other') shape(c, 'urgent', x, y, r * 0.8);
    else {
      c.beginPath();
      c.roundRect(x - r, y - r, 2 * r, 2 * r, 1.5 * px);
    }
    c.fill();
    const lx = x + r + 4 * px,
      next = marks.slice(k + 1).find((n) => LANED[n.role] === LANED[role]);
    if (next && X(next.time_ms) - r < lx + w) continue; // no room: the mark stays, the readout has the number
    const flip = lx + w > L + W;
    c.textAlign = flip ? 'right' : 'left';
    c.fillText(text, flip ? x - r - 4 * px : lx, y + 0.5 * px);
  }
}

export function laneNames({ c, px, L, base }) {
  c.save();
  font(c, px, 11, 550);
  c.textAlign = 'right';
  c.textBaseline = 'middle';
  for (const [i, [text, k]] of [
    ['Rapid', 'rapid'],
    ['Long', 'long'],
    ['Carbs', 'carbs'],
  ].entries()) {
    c.fillStyle = C[k];
    c.fillText(text, L - 7 * px, base + (i + 0.5) * LANE * px);
  }
  c.restore();
}
