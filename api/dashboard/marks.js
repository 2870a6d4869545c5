/* Draws on the chart's canvas: bands, gaps, forecast, readings, alert flags and the lanes of entries; nothing is joined or smoothed. */
import { MIN } from './clock.js';
import { amount, state } from './units.js';
import { long, roleOf } from './words.js';

export const LANE = 27,
  LANES = 3;
const STALE = 15 * MIN,
  LANED = { rapid: 0, other: 0, long: 1, carbs: 2 };
const NAMES = [
  'ink',
  'ink-2',
  'ink-3',
  'line',
  'line-2',
  'surface',
  'sunk',
  'band',
  'band-line',
  'range-dot',
  'low-dot',
  'low',
  'high-dot',
  'vhigh-dot',
  'urgent',
  'urgent-line',
  'hatch',
  'rapid',
  'long',
  'carbs',
  'fc',
  'fc-80',
  'fc-50',
  'fc-low',
];
const DOT = { urgent: 'low-dot', low: 'low-dot', range: 'range-dot', high: 'high-dot', 'very-high': 'vhigh-dot' };
let C = {};

export function readTokens() {
  const style = getComputedStyle(document.documentElement);
  C = Object.fromEntries(NAMES.map((k) => [k, style.getPropertyValue(`--${k}`).trim()]));
  C.other = C['ink-2'];
  return C;
}

function frame(u) {
  const px = devicePixelRatio,
    { left: L, top: T, width: W, height: H } = u.bbox;
  return {
    c: u.ctx,
    px,
    L,
    T,
    W,
    H,
    X: (ms) => u.valToPos(ms / 1000, 'x', true),
    Y: (v) => u.valToPos(v, 'y', true),
    base: T + H - LANE * LANES * px,
  };
}
function shape(c, s, x, y, r) {
  c.beginPath();
  if (s === 'low') {
    c.moveTo(x - r * 1.15, y - r * 0.85);
    c.lineTo(x + r * 1.15, y - r * 0.85);
    c.lineTo(x, y + r * 1.2);
  } else if (s === 'high' || s === 'very-high') {
    c.moveTo(x - r * 1.15, y + r * 0.85);
    c.lineTo(x + r * 1.15, y + r * 0.85);
    c.lineTo(x, y - r * 1.2);
  } else if (s === 'urgent') {
    const k = r * 1.45;
    c.moveTo(x, y - k);
    c.lineTo(x + k, y);
    c.lineTo(x, y + k);
    c.lineTo(x - k, y);
  } else c.arc(x, y, r, 0, 7);
  c.closePath();
}
function hatch(c, x, y, w, high, colour, px, step = 6) {
  c.save();
  c.beginPath();
  c.rect(x, y, w, high);
  c.clip();
  c.strokeStyle = colour;
  c.lineWidth = px;
  c.beginPath();
  for (let k = Math.floor((x - high) / (step * px)) * step * px; k < x + w; k += step * px) {
    c.moveTo(k, y + high);
    c.lineTo(k + high, y);
  }
  c.stroke();
  c.restore();
}
function font(c, px, size, weight = 500) {
  c.font = `${weight} ${size * px}px Inter, system-ui, sans-serif`;
}
function line(c, x0, y0, x1, y1) {
  c.beginPath();
  c.moveTo(x0, y0);
  c.lineTo(x1, y1);
  c.stroke();
}

function bands({ c, px, L, W, Y, X }, s) {
  c.fillStyle = C.band;
  c.fillRect(L, Y(s.limits.high), W, Y(s.limits.low) - Y(s.limits.high));
  c.strokeStyle = C['band-line'];
  c.lineWidth = px;
  for (const v of [s.limits.low, s.limits.high]) line(c, L, Math.round(Y(v)) + 0.5, L + W, Math.round(Y(v)) + 0.5);
  c.strokeStyle = C['low-dot'];
  c.globalAlpha = 0.55;
  c.setLineDash([3 * px, 4 * px]);
  line(c, L, Y(s.limits.urgent), X(s.now), Y(s.limits.urgent));
  c.setLineDash([]);
  c.globalAlpha = 1;
}

/* A hatched hole, with its length when there is room. */
function holes({ c, px, L, T, W, X, base }, s) {
  for (const gap of s.gaps) {
    const still = gap.to_ms == null,
      to = still ? s.now : gap.to_ms;
    const a = Math.max(L, X(gap.from_ms) + 3 * px),
      b = Math.min(X(to) - (still ? 0 : 3 * px), L + W);
    if (b - a < 3 * px || b < L) continue;
    c.fillStyle = C.surface;
    c.fillRect(a, T, b - a, base - T);
    hatch(c, a, T, b - a, base - T, C.hatch, px);
    font(c, px, 11, 600);
    const text = `no data ${long(to - gap.from_ms)}`,
      w = c.measureText(text).width;
    if (b - a <= w + 14 * px) continue;
    const m = (a + b) / 2,
      y = T + 34 * px;
    c.fillStyle = C.surface;
    c.fillRect(m - w / 2 - 5 * px, y - 10 * px, w + 10 * px, 20 * px);
    c.fillStyle = C['ink-2'];
    c.textAlign = 'center';
    c.textBaseline = 'middle';
    c.fillText(text, m, y);
  }
}

function cone({ c, px, L, T, W, X, Y, base }, s) {
  const f = s.forecast,
    from = f && s.readings.find((r) => r.time_ms === f.based_on_ms);
  if (!f || !from) return;
  const v = from.glucose_mgdl,
    nx = X(s.now),
    P = [{ time_ms: from.time_ms, p10_mgdl: v, p25_mgdl: v, mean_mgdl: v, p75_mgdl: v, p90_mgdl: v }, ...f.steps];
  const path = (k) => P.forEach((p, i) => c[i ? 'lineTo' : 'moveTo'](X(p.time_ms), Math.min(base, Y(p[k]))));
  const area = (a, b) => {
    c.beginPath();
    path(a);
    [...P].reverse().forEach((p) => c.lineTo(X(p.time_ms), Math.min(base, Y(p[b]))));
    c.closePath();
  };
  c.beginPath();
  c.rect(L, T, W, base - T);
  c.clip(); // nothing of it may reach the lanes
  for (const [a, b, colour, alpha] of [
    ['p90_mgdl', 'p10_mgdl', 'surface', 0.55],
    ['p90_mgdl', 'p10_mgdl', 'fc-80', 1],
    ['p75_mgdl', 'p25_mgdl', 'fc-50', 1],
  ]) {
    c.globalAlpha = alpha;
    c.fillStyle = C[colour];
    area(a, b);
    c.fill();
  }
  c.save();
  area('p90_mgdl', 'p10_mgdl');
  c.clip();
  hatch(c, nx - 20 * px, Y(s.limits.low), L + W, base - Y(s.limits.low), C['fc-low'], 1.2 * px, 4);
  c.restore();
  c.strokeStyle = C.fc;
  for (const [k, width, dash] of [
    ['p10_mgdl', 1, [2, 3]],
    ['p90_mgdl', 1, [2, 3]],
    ['mean_mgdl', 2, [6, 4]],
  ]) {
    c.lineWidth = width * px;
    c.setLineDash(dash.map((d) => d * px));
    c.beginPath();
    path(k);
    c.stroke();
  }
  c.setLineDash([]);
}

export function under(u, s) {
  const f = frame(u),
    { c, px, L, T, W, H, base } = f;
  c.save();
  c.beginPath();
  c.rect(L, T, W, H);
  c.clip();
  bands(f, s);
  holes(f, s);
  c.strokeStyle = C.line;
  c.lineWidth = px;
  for (let i = 0; i < LANES; i++) {
    const y = Math.round(base + i * LANE * px) + 0.5;
    line(c, L, y, L + W, y);
  }
  cone(f, s);
  c.restore();
}

/* Alerts: a flag on the top edge, a thread down to the reading it began with. */
function flags({ c, px, L, T, W, X, Y, base }, s, R) {
  for (const a of s.flags) {
    const x = Math.round(X(a.ms)) + 0.5;
    if (x < L + 4 * px || x > L + W) continue;
    const colour = C[a.colour];
    c.strokeStyle = colour;
    c.lineWidth = px;
    c.setLineDash([2 * px, 3 * px]);
    line(c, x, T + 18 * px, x, a.mgdl == null ? base : Y(a.mgdl) - R * 1.6);
    c.setLineDash([]);
    c.fillStyle = colour;
    const w = 8 * px,
      y = T + px;
    c.beginPath();
    for (const [i, [dx, dy]] of [
      [-w, 0],
      [w, 0],
      [w, 11 * px],
      [0, 17 * px],
      [-w, 11 * px],
    ].entries())
      c[i ? 'lineTo' : 'moveTo'](x + dx, y + dy);
    c.closePath();
    c.fill();
    font(c, px, 11, 750);
    c.fillStyle = C.surface;
    c.textAlign = 'center';
    c.textBaseline = 'middle';
    c.fillText('!', x, y + 7.5 * px);
  }
}

function dots({ c, px, L, X, Y, base }, s, R) {
  const shapes = R > 2.1 * px;
  for (const r of s.readings) {
    const x = X(r.time_ms),
      st = state(r.glucose_mgdl);
    if (x < L) continue;
    c.fillStyle = C[DOT[st]];
    shape(c, shapes ? st : 'range', x, Math.min(base - 3 * px, Y(r.glucose_mgdl)), R);
    c.fill();
  }
  for (const e of s.sticks) {
    // a finger-stick is a ring: measured elsewhere, never a sensor reading
    const x = X(e.time_ms);
    if (x < L) continue;
    c.strokeStyle = C.ink;
    c.fillStyle = C.surface;
    c.lineWidth = 2 * px;
    shape(c, 'urgent', x, Math.min(base - 6 * px, Y(e.glucose_mgdl)), 4 * px);
    c.fill();
    c.stroke();
  }
  const last = s.readings.at(-1);
  if (!last || s.now - last.time_ms >= STALE) return;
  const x = X(last.time_ms),
    y = Y(last.glucose_mgdl),
    st = state(last.glucose_mgdl),
    big = Math.max(R, 4.6 * px);
  c.lineWidth = 2.5 * px;
  c.strokeStyle = C.surface;
  shape(c, st, x, y, big + px);
  c.stroke();
  c.fillStyle = C[DOT[st]];
  shape(c, st, x, y, big);
  c.fill();
  c.lineWidth = 1.5 * px;
  c.strokeStyle = C.ink;
  shape(c, st, x, y, big + 2.5 * px);
  c.stroke();
}

/* A long-acting dose is a capsule and a line for as long as it acts. */
function longMark({ c, px, L, W, X }, e, y, text, w, now, acts) {
  const x = X(e.time_ms),
    to = Math.min(X(Math.min(now, e.time_ms + acts)), L + W),
    x0 = Math.max(L, x);
  if (to < L) return;
  if (to > x0) {
    c.globalAlpha = 0.32;
    c.fillRect(x0, y - 3 * px, to - x0, 6 * px);
    c.globalAlpha = 1;
  }
  if (x < L) {
    const all = `${e.insulin} ${text}`,
      wide = c.measureText(all).width;
    if (to - L <= wide + 24 * px) return;
    c.textAlign = 'left';
    c.fillStyle = C.surface;
    c.fillRect(L + 6 * px, y - 8 * px, wide + 8 * px, 16 * px);
    c.fillStyle = C.long;
    c.fillText(all, L + 10 * px, y + 0.5 * px);
    return;
  }
  const pill = w + 14 * px;
  c.beginPath();
  c.roundRect(x - px, y - 9 * px, pill, 18 * px, 9 * px);
  c.fill();
  c.fillStyle = C.surface;
  c.textAlign = 'center';
  c.fillText(text, x - px + pill / 2, y + 0.5 * px);
}

function lanes(f, s) {
  const { c, px, L, W, X, base } = f,
    middle = (i) => base + (i + 0.5) * LANE * px,
    r = 4.6 * px;
  const marks = s.entries.filter((e) => LANED[roleOf(e)] != null).sort((a, b) => a.time_ms - b.time_ms);
  const latestLong = marks.filter((e) => roleOf(e) === 'long').at(-1);
  for (const [k, e] of marks.entries()) {
    const role = roleOf(e),
      x = X(e.time_ms),
      y = middle(LANED[role]),
      text = amount(role === 'carbs' ? e.grams : e.units);
    font(c, px, 12, 650);
    const w = c.measureText(text).width;
    c.textBaseline = 'middle';
    c.fillStyle = C[role];
    if (role === 'long') {
      const next = marks.slice(k + 1).find((n) => roleOf(n) === 'long');
      if (x < L && next && X(next.time_ms) < L && latestLong !== e) continue; // only the newest one from before the window is named
      longMark(f, e, y, text, w, s.now, Math.min(s.acts(e), next ? next.time_ms - e.time_ms : Infinity));
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
      next = marks.slice(k + 1).find((n) => LANED[roleOf(n)] === LANED[role]);
    if (next && X(next.time_ms) - r < lx + w) continue; // no room: the mark stays, the readout has the number
    const flip = lx + w > L + W;
    c.textAlign = flip ? 'right' : 'left';
    c.fillText(text, flip ? x - r - 4 * px : lx, y + 0.5 * px);
  }
}

export function over(u, s) {
  const f = frame(u),
    { c, px, L, T, W, H, X, base } = f,
    nx = Math.round(X(s.now)) + 0.5;
  const R = Math.max(1.8, Math.min(4.4, ((X(s.now) - X(s.now - 5 * MIN)) / px) * 0.5)) * px;
  c.save();
  c.beginPath();
  c.rect(L, T, W + 2, H);
  c.clip();
  c.strokeStyle = C['ink-2'];
  c.lineWidth = px;
  line(c, nx, T + 16 * px, nx, T + H);
  font(c, px, 11, 650);
  c.fillStyle = C['ink-2'];
  c.textAlign = 'center';
  c.textBaseline = 'alphabetic';
  if (!s.flags.some((a) => Math.abs(X(a.ms) - nx) < 22 * px)) c.fillText('now', nx, T + 12 * px); // a flag this near takes the place
  flags(f, s, R);
  dots(f, s, R);
  lanes(f, s);
  c.restore();
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
/* Without a known action no line is drawn. */
export const actsFor = (spec) => (spec?.duration_min ?? 0) * MIN;
