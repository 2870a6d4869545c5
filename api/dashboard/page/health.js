/* The parts of the system: ✓ or ▲, a name, a value, a detail, as the server states them; a part that was never set up is neither. */
import { $, fill, h, icon } from '../core/dom.js';
import { hm } from '../core/clock.js';
import { isLive, store } from '../core/store.js';

const LOOK = {
  ok: ['', 'i-check', ', fine'],
  bad: [' bad', 'i-warn', ', needs attention'],
  missing: [' missing', 'i-none', ''],
  unknown: [' missing', 's-wait', ', not confirmed'],
};
const isMissing = (x) => x.missing ?? /^not set up/i.test(x.value ?? '');

/* What was well a while ago may no longer be: only a live page says that it is. */
function lookOf(x, live) {
  if (isMissing(x)) return 'missing';
  if (!x.ok) return 'bad';
  return live ? 'ok' : 'unknown';
}

function summary(parts, live) {
  if (!parts.length) return '';
  if (!live) return `as of ${hm(store.now.time_ms)}`;
  const n = (look) => parts.filter((x) => lookOf(x, live) === look).length;
  if (n('bad')) return `${n('bad')} to look at`;
  return n('missing') ? `${n('missing')} not set up` : 'all well';
}

export function health() {
  const parts = store.now?.health ?? [],
    live = isLive();
  $('#he-sum').textContent = summary(parts, live);
  fill($('#health'), [parts, !store.now, live], () =>
    parts.length
      ? parts.map((x) => {
          const [cls, ic, says] = LOOK[lookOf(x, live)];
          return h(
            'div',
            { class: `h-item${cls}` },
            h('dt', {}, icon(ic), x.key, says && h('span', { class: 'vh' }, says)),
            h('dd', {}, x.value),
            h('dd', { class: 's' }, x.detail),
          );
        })
      : h(
          'div',
          { class: 'h-item' },
          h('dt', {}, 'Parts'),
          h('dd', {}, '–'),
          h('dd', { class: 's' }, store.now ? 'none reported' : 'not loaded yet'),
        ),
  );
}
