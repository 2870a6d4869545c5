/* Context: insulin and carbs on board, long-acting, time in range, coverage; every number says where it comes from. */
import { $, fill, h, icon } from '../core/dom.js';
import { day, DAY, hm, HOUR, midnight, MIN, now } from '../core/clock.js';
import { entriesAlive, insulin, store } from '../core/store.js';
import { amount, mmol, stick, unitText } from '../core/units.js';
import { ago, hours, roleOf } from '../core/words.js';

const TIERS = [
  ['<3.0', '3.0–3.8', '3.9–10.0', '10.1–13.9', '>13.9'],
  ['<54', '54–69', '70–180', '181–250', '>250'],
];
const cap = (name, value, sub, o = {}) =>
  h(
    'div',
    { class: `ctx ${o.cls || ''}` },
    h('dt', {}, h('span', { class: 'lead' }, o.icon && icon(o.icon, o.iconCls), name), o.badge),
    h('dd', { class: 'n' }, value),
    o.extra && h('dd', {}, o.extra),
    h('dd', { class: 's' }, sub),
  );

/* Whole percents of the five consensus tiers that add up to 100. */
function tiers(readings, from) {
  const n = [0, 0, 0, 0, 0];
  let count = 0;
  for (const { time_ms, glucose_mgdl: v } of readings)
    if (time_ms >= from) {
      count += 1;
      n[v < 54 ? 0 : v < 70 ? 1 : v <= 180 ? 2 : v <= 250 ? 3 : 4] += 1;
    }
  if (!count) return null;
  const raw = n.map((x) => (x * 100) / count),
    pct = raw.map(Math.floor);
  [...raw.keys()]
    .sort((i, j) => (raw[j] % 1) - (raw[i] % 1))
    .slice(0, 100 - pct.reduce((a, b) => a + b))
    .forEach((i) => {
      pct[i] += 1;
    });
  return { pct, count };
}

function longActing(t) {
  const o = { cls: 'wide', icon: 'i-long', iconCls: 'ev-long' },
    e = entriesAlive()
      .filter((x) => roleOf(x) === 'long' && x.time_ms <= t)
      .sort((a, b) => a.time_ms - b.time_ms)
      .at(-1);
  const late = (store.now?.alerts ?? []).find((a) => a.kind === 'no_long_acting');
  const hatched = () => h('div', { class: 'cover', data: { d: 'late' }, 'aria-hidden': 'true' });
  if (!e) {
    if (late) return cap('Long-acting', late.title, 'It may have been given and not logged.', { ...o, extra: hatched() });
    return cap('Long-acting', '–', store.loaded.has('entries') ? 'none logged in the last 48 h' : 'not loaded yet', o);
  }
  const who = e.by ? ` by ${e.by}` : '';
  const since = t - e.time_ms,
    spec = insulin(e.insulin);
  if (late) {
    const badge = h('span', { class: 'due', data: { d: 'late' } }, icon('i-warn'), 'not logged');
    return cap(
      'Long-acting',
      late.title,
      `Last logged: ${e.insulin} ${amount(e.units)} U at ${hm(e.time_ms)}${who}. It may have been given and not logged.`,
      { ...o, badge, extra: hatched() },
    );
  }
  const due = dueAt(spec, e.time_ms),
    open = due != null && due <= t,
    whole = due ? due - e.time_ms : (spec?.duration_min ?? 0) * MIN;
  const badge =
    due && h('span', { class: 'due', data: { d: open ? 'now' : 'ok' } }, open ? [icon('s-range'), `expected ${hm(due)}`] : `next around ${hm(due)}`);
  const bar = whole > 0 && h('div', { class: 'cover', 'aria-hidden': 'true' }, h('i'));
  if (bar) bar.firstChild.style.width = `${Math.max(2, Math.min(100, 100 * (1 - since / whole)))}%`;
  const acts = !due && whole ? `; acts for up to ${hours(whole)}` : open ? '; the next dose is not logged yet' : '';
  return cap(
    'Long-acting',
    [`${e.insulin} ${amount(e.units)}`, h('small', {}, ' U'), h('small', {}, `  logged ${ago(since)}`)],
    `at ${hm(e.time_ms)}${who}${acts}`,
    { ...o, badge, extra: bar },
  );
}

/* The next one is expected as long after the last as the profile says (`every_h`); where it says nothing, the page names no time. */
const dueAt = (spec, last) => (spec?.every_h ? last + spec.every_h * HOUR : null);

function inRange(t) {
  const ti = tiers(store.readings, midnight(t)),
    names = TIERS[mmol() ? 0 : 1];
  if (!ti) return cap('In range today', '–', store.loaded.has('readings') ? 'no readings today' : 'not loaded yet', { cls: 'wide' });
  const part = (p, i) => {
    if (!p) return null;
    const s = h('i', { class: `t${i}` });
    s.style.flexGrow = String(p);
    return s;
  };
  return h(
    'div',
    { class: 'ctx wide' },
    h(
      'dt',
      {},
      h('span', {}, 'In range today'),
      h('span', { class: 'muted' }, `since 00:00, ${ti.count} reading${ti.count === 1 ? '' : 's'}`),
    ),
    h('dd', { class: 'n' }, String(ti.pct[2]), h('small', {}, ' %')),
    h(
      'dd',
      {},
      h('div', { class: 'tir', role: 'img', 'aria-label': ti.pct.map((p, i) => `${names[i]} ${p} percent`).join(', ') }, ti.pct.map(part)),
      h(
        'div',
        { class: 'tir-key', 'aria-hidden': 'true' },
        ti.pct.map((p, i) => h('span', {}, h('b', {}, `${p} %`), names[i])),
      ),
    ),
  );
}

function received(t) {
  const since = t - DAY,
    got = store.readings.filter((x) => x.time_ms > since).length,
    first = store.readings.find((x) => x.time_ms > since);
  if (!first) return cap('Readings received', '–', store.loaded.has('readings') ? 'none in 24 h' : 'not loaded yet');
  const holes = store.gaps.filter((x) => (x.to_ms ?? t) > since),
    before = holes.some((x) => x.from_ms <= first.time_ms);
  const expected = before ? 288 : Math.max(1, Math.min(288, Math.floor((t - first.time_ms) / (5 * MIN))));
  return cap(
    'Readings received',
    [String(Math.min(100, Math.round((got * 100) / expected))), h('small', {}, ' %')],
    `${Math.min(got, expected)} of ${expected} in 24 h${holes.length ? `, ${holes.length} gap${holes.length > 1 ? 's' : ''}` : ''}`,
  );
}

function fingerstick(t) {
  const e = entriesAlive()
    .filter((x) => x.kind === 'fingerstick' && x.time_ms <= t)
    .sort((a, b) => a.time_ms - b.time_ms)
    .at(-1);
  return cap(
    'Finger-stick',
    e ? [stick(e), h('small', {}, ` ${unitText()}`)] : '–',
    e
      ? `${e.time_ms < midnight(t) ? `${day(e.time_ms)} ` : ''}${hm(e.time_ms)}, ${ago(t - e.time_ms)}`
      : store.loaded.has('entries')
        ? 'none logged in 48 h'
        : 'not loaded yet',
    { cls: 'right' },
  );
}

export function context() {
  const n = store.now,
    t = now(),
    waits = 'not loaded yet';
  const on = (value, last, unit, what, none) => [
    value == null || last == null ? '–' : [value, h('small', {}, ` ${unit}`)],
    !n ? waits : last == null ? none : `from logged ${what}; last logged ${ago(t - last)}`,
  ];
  const iob = on(
    n?.iob_units == null ? null : amount(Math.round(n.iob_units * 10) / 10),
    n?.iob_last_ms,
    'U',
    'doses',
    'no rapid dose logged',
  );
  const lost = n?.unknown_doses ?? 0;
  if (lost > 0) iob[1] += `; ${lost} dose${lost === 1 ? '' : 's'} of an unknown insulin not counted`;
  const cob = on(n?.cob_grams == null ? null : String(Math.round(n.cob_grams)), n?.cob_last_ms, 'g', 'carbs', 'no carbs logged');
  const long = Math.floor(t / MIN);
  fill(
    $('#context'),
    [
      long,
      unitText(),
      n?.time_ms,
      store.readings.length,
      store.readings.at(-1),
      store.entries,
      store.gaps,
      [...store.loaded],
      Math.floor(t / HOUR),
    ],
    () => [
      cap('IOB, rapid', iob[0], iob[1], { icon: 'i-rapid', iconCls: 'ev-rapid' }),
      cap('COB, carbs', cob[0], cob[1], { cls: 'right', icon: 'i-carbs', iconCls: 'ev-carbs' }),
      longActing(t),
      inRange(t),
      received(t),
      fingerstick(t),
    ],
  );
}
