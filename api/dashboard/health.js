/* The parts of the system: ✓ or ▲, a name, a value, a detail, as the server states them. */
import { $, fill, h, icon } from './dom.js';
import { store } from './store.js';

export function health() {
  const parts = store.now?.health ?? [],
    bad = parts.filter((x) => !x.ok).length;
  $('#he-sum').textContent = !store.now ? '' : bad ? `${bad} to look at` : parts.length ? 'all well' : '';
  fill($('#health'), [parts, !store.now], () =>
    parts.length
      ? parts.map((x) =>
          h(
            'div',
            { class: `h-item${x.ok ? '' : ' bad'}` },
            h('dt', {}, icon(x.ok ? 'i-check' : 'i-warn'), x.key, h('span', { class: 'vh' }, x.ok ? ', fine' : ', needs attention')),
            h('dd', {}, x.value),
            h('dd', { class: 's' }, x.detail),
          ),
        )
      : h(
          'div',
          { class: 'h-item' },
          h('dt', {}, 'Parts'),
          h('dd', {}, '–'),
          h('dd', { class: 's' }, store.now ? 'none reported' : 'not loaded yet'),
        ),
  );
}
