/* What the chart is drawn with: the colours of the theme, shapes that carry a state, hatching, type. */
export const LANE = 27,
  LANES = 3;
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
export let C = {};

export function readTokens() {
  const style = getComputedStyle(document.documentElement);
  C = Object.fromEntries(NAMES.map((k) => [k, style.getPropertyValue(`--${k}`).trim()]));
  C.other = C['ink-2'];
  return C;
}

export function frame(u) {
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
export function shape(c, s, x, y, r) {
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
export function hatch(c, x, y, w, high, colour, px, step = 6) {
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
export function font(c, px, size, weight = 500) {
  c.font = `${weight} ${size * px}px Inter, system-ui, sans-serif`;
}
export function line(c, x0, y0, x1, y1) {
  c.beginPath();
  c.moveTo(x0, y0);
  c.lineTo(x1, y1);
  c.stroke();
}
