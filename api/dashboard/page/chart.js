/* The chart: uPlot gives scales, axes and hit-testing; a readout, keys, a hidden sentence and a table say the same in words. */
import { $, fill, h, icon, keep, recall } from '../core/dom.js';
import { hm, HOUR, hourTicks, MIN, now } from '../core/clock.js';
import { usableForecast } from './glance.js';
import { actsFor } from './lanes.js';
import { over, under } from './marks.js';
import { LANE, LANES, readTokens } from './theme.js';
import { entriesAlive, insulin, store } from '../core/store.js';
import { g, gr, limits, state, unitText } from '../core/units.js';
import { label, long, roleOf, STATE } from '../core/words.js';

const GUTTER = 48,
  LO = 40;
const FLAG = { urgent_low: 'low-dot', low: 'low-dot' };
let u = null,
  scrub = null,
  colours = {},
  pick = null,
  view = [],
  scene = null;
let span = [3, 6, 12, 24].includes(Number(recall('span', 6))) ? Number(recall('span', 6)) : 6;
export const getSpan = () => span;

const near = (ms) => store.readings.reduce((a, r) => (Math.abs(r.time_ms - ms) < Math.abs((a?.time_ms ?? Infinity) - ms) ? r : a), null);
function flags() {
  const by = new Map([...store.alerts, ...(store.now?.alerts ?? [])].map((a) => [a.id, a]));
  return [...by.values()]
    .filter((a) => FLAG[a.kind])
    .map((a) => {
      const r = near(a.opened_ms);
      return { ms: a.opened_ms, colour: FLAG[a.kind], mgdl: r && Math.abs(r.time_ms - a.opened_ms) < 8 * MIN ? r.glucose_mgdl : null };
    });
}
function look() {
  const t = now(),
    from = t - span * HOUR,
    alive = entriesAlive();
  view = store.readings.filter((r) => r.time_ms >= from && r.time_ms <= t + HOUR);
  const forecast = usableForecast();
  let top = 225;
  for (const r of view) top = Math.max(top, r.glucose_mgdl);
  for (const s of forecast?.steps ?? []) top = Math.max(top, s.p90_mgdl);
  scene = {
    now: t,
    from,
    limits: limits(),
    readings: store.readings,
    gaps: store.gaps,
    forecast,
    flags: flags(),
    entries: alive,
    top: Math.min(401, top * 1.06),
    sticks: alive.filter((e) => e.kind === 'fingerstick' && e.glucose_mgdl != null),
    acts: (e) => actsFor(insulin(e.insulin)),
  };
}

function splits(plot, _axis, min, max) {
  const per = (plot.width - GUTTER) / ((max - min) / 3600),
    step = [1, 2, 3, 4, 6].find((s) => s * per >= 56) || 6;
  return hourTicks(min * 1000, max * 1000, step).map((ms) => ms / 1000);
}
const data = () => [
  view.length ? view.map((r) => r.time_ms / 1000) : [scene.from / 1000],
  view.length ? view.map((r) => r.glucose_mgdl) : [null],
];

function build() {
  const box = $('#chart'),
    axis = (o) => ({
      stroke: () => colours['ink-2'],
      font: '500 12px Inter, system-ui, sans-serif',
      ticks: { show: false },
      border: { show: false },
      ...o,
    });
  u = new window.uPlot(
    {
      width: box.clientWidth,
      height: box.clientHeight,
      padding: [2, 2, 0, 0],
      legend: { show: false },
      cursor: { x: true, y: false, points: { show: false }, drag: { x: false, y: false }, focus: { prox: -1 } },
      scales: {
        x: { time: true, range: () => [scene.from / 1000, (scene.now + HOUR) / 1000] },
        y: {
          range: (plot) => {
            const high = Math.max(120, plot.height - 32),
              k = (scene.top - LO) / (high - LANE * LANES);
            return [LO - LANE * LANES * k, scene.top];
          },
        },
      },
      axes: [
        axis({
          size: 28,
          gap: 6,
          grid: { stroke: () => colours.line, width: 1 },
          splits,
          values: (plot, v) =>
            v.map((x) => {
              const p = plot.valToPos(x, 'x'),
                w = plot.bbox.width / devicePixelRatio;
              return p < 12 || p > w - 18 ? '' : hm(x * 1000);
            }),
        }),
        axis({
          size: GUTTER,
          gap: 7,
          grid: { show: false },
          splits: () => [scene.limits.low, scene.limits.high, scene.limits.veryHigh, 325].filter((v) => v < scene.top - 8),
          values: (_plot, v) => v.map((x) => g(x)),
        }),
      ],
      series: [{}, { scale: 'y', paths: () => null, points: { show: false } }],
      hooks: { drawClear: [(plot) => under(plot, scene)], draw: [(plot) => over(plot, scene)] },
    },
    data(),
    box,
  );
  scrub = h('div', { class: 'scrub-dot', hidden: true });
  u.over.append(scrub);
  const move = (e) => select(nearest(u.posToVal(e.clientX - u.over.getBoundingClientRect().left, 'x') * 1000));
  u.over.addEventListener('pointerdown', (e) => {
    u.over.setPointerCapture?.(e.pointerId);
    move(e);
  });
  u.over.addEventListener('pointermove', (e) => {
    if (e.pointerType === 'mouse' || e.pressure > 0) move(e);
  });
  u.over.addEventListener('pointerleave', (e) => {
    if (e.pointerType === 'mouse') select(null);
  });
}

/* Redraws with what the store holds now; the plot itself is built once. */
export function chart() {
  $('#chart-h').textContent = `Last ${span} hours`;
  look();
  colours = readTokens();
  const empty = $('#chart-empty');
  empty.hidden = view.length > 0;
  empty.textContent = !store.now
    ? 'Not loaded yet.'
    : store.readings.length
      ? 'No readings in this window.'
      : store.loaded.has('readings')
        ? 'Readings appear here as they arrive.'
        : 'Not loaded yet.';
  if (!store.now) {
    readout(null);
    summary();
    return;
  } // no limits are known, so no frame is drawn
  if (!u) build();
  else {
    u.setData(data(), false);
    u.redraw(true, true);
    u.setScale('x', { min: scene.from / 1000, max: (scene.now + HOUR) / 1000 });
  }
  if (pick && !pick.gap) {
    const again = stops().find((s) => s.ms === pick.ms);
    select(again ?? null);
  } else if (!pick) readout(null);
  summary();
}
export function setSpan(value) {
  span = Number(value);
  keep('span', span);
  pick = null;
  if (u) select(null);
  chart();
}

const stops = () => [...view.map((r) => ({ ms: r.time_ms, r })), ...(scene.forecast?.steps ?? []).map((f) => ({ ms: f.time_ms, f }))];
const ended = (x) => (x.to_ms == null ? scene.now : x.to_ms);
function nearest(ms) {
  const gap = scene.gaps.find((x) => ms > x.from_ms + 3 * MIN && ms < ended(x) - 3 * MIN);
  if (gap) return { gap, ms };
  return stops().reduce((a, s) => (!a || Math.abs(s.ms - ms) < Math.abs(a.ms - ms) ? s : a), null);
}
function select(it) {
  pick = it;
  if (!it) {
    u.setCursor({ left: -10, top: -10 });
    scrub.hidden = true;
  } else {
    const x = u.valToPos(it.ms / 1000, 'x'),
      v = it.r?.glucose_mgdl ?? it.f?.mean_mgdl;
    u.setCursor({ left: x, top: 0 });
    scrub.hidden = v == null;
    if (v != null) scrub.style.transform = `translate(${x}px, ${u.valToPos(v, 'y')}px)`;
  }
  readout(it);
}

function describe(it) {
  if (it.gap) {
    const text = `no data for ${long(ended(it.gap) - it.gap.from_ms)}, ${hm(it.gap.from_ms)} to ${hm(ended(it.gap))}`;
    return [text, [h('span', {}, text)]];
  }
  if (it.r) {
    const s = state(it.r.glucose_mgdl);
    return [
      `${gr(it.r)} ${unitText()}, ${STATE[s][0]}`,
      [h('span', { class: 'r-val' }, icon(STATE[s][1], `st-${s}`), gr(it.r)), h('span', {}, `${unitText()}, ${STATE[s][0].toLowerCase()}`)],
    ];
  }
  return [
    `forecast ${g(it.f.p10_mgdl)} to ${g(it.f.p90_mgdl)}, 8 in 10`,
    [
      h('span', { class: 'r-val' }, `${g(it.f.p10_mgdl)}–${g(it.f.p90_mgdl)}`),
      h('span', {}, '8 in 10;'),
      h('span', {}, h('b', {}, `${g(it.f.p25_mgdl)}–${g(it.f.p75_mgdl)}`), ' 1 in 2'),
    ],
  ];
}
function readout(it) {
  const el = $('#readout'),
    slider = $('#chart'),
    n = stops(),
    at = it && !it.gap ? n.findIndex((s) => s.ms === it.ms) : view.length - 1;
  slider.setAttribute('aria-valuemax', String(Math.max(1, n.length - 1)));
  slider.setAttribute('aria-valuenow', String(Math.max(0, at)));
  if (!it) {
    const last = view.at(-1),
      f = Boolean(scene?.forecast),
      holes = scene ? scene.gaps.some((x) => ended(x) > scene.from) : false;
    fill(el, ['legend', view.length > 0, !store.now, f, holes], () =>
      view.length
        ? [
            h('span', { class: 'key k-dot' }, 'reading'),
            f && h('span', { class: 'key k-50' }, '50 % forecast'),
            f && h('span', { class: 'key k-80' }, '80 %'),
            holes && h('span', { class: 'key k-gap' }, 'no data'),
          ]
        : h('span', {}, store.now ? 'No readings in this window.' : '–'),
    );
    slider.setAttribute('aria-valuetext', last ? `Latest: ${gr(last)} ${unitText()} at ${hm(last.time_ms)}` : 'No readings');
    return;
  }
  const reach = Math.max(3 * MIN, (u.posToVal(8, 'x') - u.posToVal(0, 'x')) * 1000),
    by = scene.entries.filter((e) => Math.abs(e.time_ms - it.ms) <= reach);
  const [text, bits] = describe(it),
    says = [text, ...by.map((e) => (e.kind === 'note' ? e.text : label(e).join(' ')))];
  fill(el, [it.ms, says], () => [
    h('span', { class: 'r-time' }, hm(it.ms)),
    bits,
    by.map((e) => h('b', { class: `ev-${roleOf(e)}` }, e.kind === 'note' ? e.text : label(e).join(' '))),
  ]);
  slider.setAttribute('aria-valuetext', `${hm(it.ms)}: ${says.join('; ')}`);
}

function summary() {
  const el = $('#chart-sum');
  if (!view.length) {
    el.textContent = 'No readings in this window.';
    return;
  }
  const by = (f) => view.reduce((a, b) => (f(b, a) ? b : a)),
    lo = by((a, b) => a.glucose_mgdl < b.glucose_mgdl),
    hi = by((a, b) => a.glucose_mgdl > b.glucose_mgdl);
  const holes = scene.gaps.filter((x) => ended(x) > scene.from).length;
  const ends = `lowest ${gr(lo)} at ${hm(lo.time_ms)}, highest ${gr(hi)} at ${hm(hi.time_ms)}`;
  el.textContent = `${view.length} readings, ${ends}, ${holes} gap${holes === 1 ? '' : 's'}.`;
  if ($('#table-box').open) table();
}
function table() {
  const logged = (r) =>
    scene.entries
      .filter((e) => e.time_ms > r.time_ms - 5 * MIN && e.time_ms <= r.time_ms)
      .map((e) => (e.kind === 'note' ? e.text : label(e).join(' ')))
      .join(', ');
  const rows = [...view].reverse().map((r) => [hm(r.time_ms), gr(r), STATE[state(r.glucose_mgdl)][0], logged(r)]);
  fill($('#table'), [rows, span, unitText()], () =>
    h(
      'table',
      {},
      h('caption', { class: 'vh' }, `Readings of the last ${span} hours, newest first, ${unitText()}`),
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ['Time', unitText(), 'State', 'Logged'].map((x) => h('th', { scope: 'col' }, x)),
        ),
      ),
      h(
        'tbody',
        {},
        rows.map(([time, ...rest]) =>
          h(
            'tr',
            {},
            h('th', { scope: 'row' }, time),
            rest.map((x) => h('td', {}, x)),
          ),
        ),
      ),
    ),
  );
}

export function wireChart() {
  const box = $('#chart');
  box.addEventListener('keydown', (e) => {
    if (!u) return;
    const all = stops(),
      n = all.length,
      at = pick && !pick.gap ? all.findIndex((s) => s.ms === pick.ms) : -1,
      i = at < 0 ? view.length - 1 : at;
    if (!n) return;
    const to = {
      ArrowLeft: i - 1,
      ArrowDown: i - 1,
      ArrowRight: i + 1,
      ArrowUp: i + 1,
      PageDown: i - 12,
      PageUp: i + 12,
      Home: 0,
      End: n - 1,
    }[e.key];
    if (e.key === 'Escape') {
      select(null);
      return;
    }
    if (to == null) return;
    e.preventDefault();
    select(all[Math.max(0, Math.min(n - 1, to))]);
  });
  box.addEventListener('blur', () => u && select(null));
  document.addEventListener('pointerdown', (e) => {
    if (u && pick && !box.contains(e.target)) select(null);
  });
  $('#table-box').addEventListener('toggle', () => {
    if ($('#table-box').open && scene) table();
  });
  new ResizeObserver(() => {
    if (u && (box.clientWidth !== u.width || box.clientHeight !== u.height))
      u.setSize({ width: box.clientWidth, height: box.clientHeight });
  }).observe(box);
  document.fonts?.ready.then(() => chart());
}
