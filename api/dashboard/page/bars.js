/* Bars: truths about the whole page, always on top and never dismissable; the server's first, then the page's own. */
import { $, fill, h, icon } from '../core/dom.js';
import { hm, now } from '../core/clock.js';
import { DEMO, isDemo } from '../core/demo.js';
import { tryNow } from '../core/feed.js';
import { store } from '../core/store.js';
import { long } from '../core/words.js';

const LOOK = {
  demo: ['demo', null],
  alarms_off: ['off', 'i-bell'],
  shadow: ['off', 'i-bell'],
  suspended: ['off', 'i-bell'],
  people: ['off', 'i-warn'],
  undeliverable: ['off', 'i-warn'],
  behind: ['warn', 'i-warn'],
  no_long_acting: ['warn', 'i-warn'],
  clock_wrong: ['warn', 'i-warn'],
  disk_low: ['warn', 'i-warn'],
  simulated: ['sim', 'i-warn'],
};
const ORDER = Object.keys(LOOK);
const LISTS = { readings: 'The readings', entries: 'The entries', alerts: 'The alerts', gaps: 'The gaps' };

/* The first sentence of a bar is its headline. */
function split(text) {
  const m = /^(.*?[.!])\s+(.+)$/s.exec(text);
  return m ? [m[1], m[2]] : [text, ''];
}

function fromServer() {
  const n = store.now,
    list = [...(n?.bars ?? [])];
  const add = (kind, text) => {
    if (!list.some((b) => b.kind === kind)) list.push({ kind, text });
  };
  if (n?.demo || isDemo())
    add('demo', DEMO); // a demo must be told even if its bar were lost, and before anybody has signed in
  else if (n?.source?.simulated) add('simulated', 'SIMULATED SOURCE. These readings do not come from a real sensor.');
  const place = (b) => {
    const i = ORDER.indexOf(b.kind);
    return i < 0 ? ORDER.length : i;
  };
  return list.sort((a, b) => place(a) - place(b));
}

function own() {
  if (store.live === 'out') return [['s-lost', 'Signed out.', 'Paste an access token below. Unsent entries are kept.', null]];
  if (store.live === 'waking') return [['s-wait', 'Not live yet.', 'Checking for newer readings.', null]];
  if (store.live === 'lost') {
    const t = performance.now(),
      gone = store.lostAt == null ? null : t - store.lostAt,
      left = store.retryAt == null ? null : Math.ceil((store.retryAt - t) / 1000);
    const since =
      gone == null ? 'No connection to iv3 yet.' : gone < 60_000 ? 'Connection lost just now.' : `Connection lost ${long(gone)} ago.`;
    return [
      [
        's-lost',
        'Not live.',
        `${since} ${left == null ? 'Trying now.' : left > 0 ? `Trying again in ${left} s.` : 'Trying again.'}`,
        'Try now',
      ],
    ];
  }
  if (store.failed.size) {
    const names = [...store.failed].map((k) => LISTS[k] ?? k).join(', ');
    return [['i-warn', 'Part of the page is old.', `${names} could not be fetched (${hm(now())}).`, null]];
  }
  return [];
}

export function bars() {
  const server = fromServer(),
    page = own();
  fill($('#bars-server'), server, () =>
    server.map(({ kind, text }) => {
      const [cls, ic] = LOOK[kind] ?? ['warn', 'i-warn'],
        [head, rest] = split(text),
        headline = cls === 'off' && rest ? head.replace(/\.$/, '') : head;
      return h(
        'div',
        { class: `bar ${cls}`, role: cls === 'off' ? 'alert' : null },
        ic && icon(ic),
        h('div', { class: cls === 'demo' ? '' : 'bar-text' }, h('b', {}, headline), rest && (cls === 'off' ? h('br') : ' '), rest),
      );
    }),
  );
  fill($('#bars-page'), page, () =>
    page.map(([ic, head, rest, act]) =>
      h(
        'div',
        { class: 'bar lost' },
        icon(ic),
        h('div', { class: 'bar-text' }, h('b', {}, head), ` ${rest}`),
        act && h('button', { type: 'button', data: { k: 'try' }, onclick: tryNow }, act),
      ),
    ),
  );
  document.body.classList.toggle('off-air', store.live !== 'live');
}
