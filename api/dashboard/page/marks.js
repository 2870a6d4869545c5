/* Draws on the chart's canvas: bands, gaps, forecast, readings and alert flags; nothing is joined or smoothed. */
import { MIN } from '../core/clock.js';
import { lanes, laneNames } from './lanes.js';
import { C, font, frame, hatch, LANE, LANES, line, shape } from './theme.js';
import { state } from '../core/units.js';
import { long } from '../core/words.js';

const STALE = 15 * MIN;
const DOT = { urgent: 'low-dot', low: 'low-dot', range: 'range-dot', high: 'high-dot', 'very-high': 'vhigh-dot' };

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
  laneNames(f);
}
