/* The alerts and holes of 24 hours, each with "Why": what was seen, who was told, who answered. */
import { $, fill, h, icon } from '../core/dom.js';
import { DAY, hm, midnight, MIN, now } from '../core/clock.js';
import { store } from '../core/store.js';
import { unitText, g } from '../core/units.js';
import { long } from '../core/words.js';

const LOOK = {
  urgent_low: ['s-urgent', 'st-low'],
  low: ['s-low', 'st-low'],
  predicted_low: ['s-low', 'ev-note'],
  high: ['s-high', 'st-high'],
  stale: ['s-stale', 'ev-note'],
  no_long_acting: ['i-long', 'ev-long'],
  system: ['i-warn', 'ev-note'],
};
const open = new Set(); // which trails the reader has opened
function episodes() {
  const by = new Map(store.alerts.map((a) => [a.id, a]));
  for (const a of store.now?.alerts ?? []) by.set(a.id, { ...by.get(a.id), ...a }); // its trail, and what is so now
  const still = new Set((store.now?.alerts ?? []).map((a) => a.id));
  return [...by.values()].map((a) => {
    const end = a.resolved_ms ?? null,
      [ic, cls] = LOOK[a.kind] ?? LOOK.system,
      trail = Array.isArray(a.why) ? a.why.map((x) => `${hm(x.time_ms)}: ${x.text}`) : null;
    return {
      id: a.id,
      kind: a.kind,
      ms: a.opened_ms,
      ic,
      cls,
      title: a.title,
      amt: a.lowest_mgdl ? `lowest ${g(a.lowest_mgdl)}` : '',
      sub: end ? `over after ${long(end - a.opened_ms)}` : still.has(a.id) ? 'still open' : 'over',
      why:
        trail ??
        [
          `${hm(a.opened_ms)}: ${a.text || a.title}`,
          a.told,
          a.acknowledged_ms && `${hm(a.acknowledged_ms)}: acknowledged${a.acknowledged_by ? ` by ${a.acknowledged_by}` : ''}`,
          a.snoozed_until_ms && `snoozed until ${hm(a.snoozed_until_ms)}`,
          end && `${hm(end)}: all-clear`,
        ].filter(Boolean),
    };
  });
}

function holes(known, t) {
  return store.gaps
    .filter((x) => x.from_ms > t - DAY && !known.some((a) => a.kind === 'stale' && a.ms >= x.from_ms && a.ms <= (x.to_ms ?? t)))
    .map((x) => {
      const still = x.to_ms == null,
        end = still ? t : x.to_ms;
      return {
        id: `gap ${x.from_ms}`,
        ms: x.from_ms,
        ic: 's-stale',
        cls: 'ev-note',
        title: 'No data',
        amt: long(end - x.from_ms),
        sub: still ? 'still open' : `readings again at ${hm(end)}`,
        why: [`${hm(x.from_ms)}: last reading before it`, still ? 'nothing received since' : `${hm(end)}: readings again`],
      };
    });
}

function row(r, zero) {
  const on = open.has(r.id),
    trail = h(
      'ol',
      { class: 'why', hidden: !on },
      r.why.map((w) => h('li', {}, w)),
    );
  const button = h(
    'button',
    {
      class: 'link',
      type: 'button',
      data: { k: `why ${r.id}` },
      'aria-expanded': String(on),
      'aria-label': `Why: ${r.title} at ${hm(r.ms)}`,
      onclick: () => {
        if (!open.delete(r.id)) open.add(r.id);
        trail.hidden = !open.has(r.id);
        button.setAttribute('aria-expanded', String(!trail.hidden));
      },
    },
    'Why',
  );
  return h(
    'li',
    { class: 'row' },
    h('time', { datetime: new Date(r.ms).toISOString() }, hm(r.ms)),
    icon(r.ic, r.cls),
    h(
      'div',
      { class: 'what' },
      h('b', {}, r.title),
      ' ',
      h('span', { class: 'amt' }, r.amt),
      h('span', { class: 'by' }, (r.ms < zero ? 'yesterday, ' : '') + r.sub),
    ),
    button,
    trail,
  );
}

export function alertList() {
  const t = now(),
    zero = midnight(t),
    known = episodes(),
    rows = [...known, ...holes(known, t)].filter((r) => r.ms != null).sort((a, b) => b.ms - a.ms);
  fill($('#alerts'), [rows, zero, unitText(), store.loaded.has('alerts'), Math.floor(t / MIN)], () =>
    rows.length
      ? rows.map((r) => row(r, zero))
      : h('li', { class: 'none' }, store.loaded.has('alerts') ? 'No alerts in the last 24 hours.' : 'Not loaded yet.'),
  );
}
