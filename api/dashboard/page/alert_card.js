/* Open alerts: what, since when, who was told; acknowledge and snooze as the server offers them. */
import { $, fill, h, icon, toast } from '../core/dom.js';
import { call } from '../core/api.js';
import { hm, now } from '../core/clock.js';
import { want } from '../core/feed.js';
import { mayWrite, store } from '../core/store.js';

const KIND = {
  urgent_low: ['urgent', 's-urgent'],
  low: ['low', 's-low'],
  predicted_low: ['info', 's-low'],
  high: ['high', 's-high'],
  stale: ['info', 's-stale'],
  no_long_acting: ['info', 'i-long'],
  system: ['info', 'i-warn'],
};
const MOST_URGENT = 5;
const told = new Set();

/* Runs a write and says plainly what became of it. */
async function act(button, work, done) {
  button.disabled = true;
  try {
    await work();
    toast(done);
    await want('now', 'alerts');
  } catch (e) {
    toast(e.passing ? 'Not sent: no answer from iv3. Try again.' : e.message);
  } finally {
    button.disabled = false;
  }
}

const acknowledge =
  (a, treated = false) =>
  (ev) =>
    act(
      ev.currentTarget,
      () => call('POST', `/v1/alerts/${encodeURIComponent(a.id)}/ack`, { body: { treated } }),
      treated ? 'Checking again in 15 min. Nothing was logged.' : 'Acknowledged. Everyone can see it.',
    );
const snooze = (a, minutes) => (ev) =>
  act(ev.currentTarget, () => call('POST', '/v1/snoozes', { body: { kind: a.kind, minutes } }), `Snoozed for ${minutes} min.`);

const ringAgain = (a) => (ev) =>
  act(
    ev.currentTarget,
    () => call('DELETE', `/v1/snoozes/${encodeURIComponent(a.kind)}`),
    'The snooze is lifted. It rings again when it is due.',
  );

const isSnoozed = (a, t) => Boolean(a.snoozed_until_ms && a.snoozed_until_ms > t);
/* What became of it, and when it rings again; a snooze holds back whatever is due before its end. */
function status(a, t) {
  const answered = a.acknowledged_ms && `Acknowledged${a.acknowledged_by ? ` by ${a.acknowledged_by}` : ''} at ${hm(a.acknowledged_ms)}.`,
    due = a.rings_again_ms && a.rings_again_ms > t && `Rings again at ${hm(a.rings_again_ms)} ${answered ? 'if still so' : 'unless somebody answers'}.`;
  return [answered, isSnoozed(a, t) ? `Snoozed until ${hm(a.snoozed_until_ms)}.` : due].filter(Boolean).join(' ');
}
/* An arrow stays on the line of its number. */
const bound = (title) => title.replace(/ (?=[↑↗→↘↓])/g, '\u00a0');

function card(a) {
  const t = now(),
    [look, ic] = KIND[a.kind] ?? ['info', 'i-warn'],
    says = status(a, t),
    snoozed = isSnoozed(a, t),
    quiet = snoozed || Boolean(a.acknowledged_ms),
    choices = snoozed ? [] : (a.snooze_choices_min ?? []);
  const kind = quiet ? 'acked' : a.kind === 'stale' && a.priority >= MOST_URGENT ? 'urgent' : look;
  return h(
    'section',
    { class: 'alert', data: { kind }, 'aria-label': `Alert: ${a.title}` },
    h(
      'div',
      {},
      h('h2', {}, icon(ic), bound(a.title)),
      a.text && h('p', {}, a.text),
      (a.told || says) && h('p', { class: 'told' }, [a.told, says].filter(Boolean).join(' ')),
    ),
    mayWrite() &&
      (!a.acknowledged_ms || snoozed || choices.length > 0) &&
      h(
        'div',
        { class: 'buttons' },
        !a.acknowledged_ms &&
          h(
            'div',
            { class: 'acts' },
            h(
              'button',
              { class: 'btn primary', type: 'button', data: { k: `ack ${a.id}` }, onclick: acknowledge(a) },
              icon('i-check'),
              'Acknowledge',
            ),
            a.treatable &&
              h(
                'button',
                {
                  class: 'btn',
                  type: 'button',
                  title: 'Checks again in 15 min. Logs nothing.',
                  data: { k: `treated ${a.id}` },
                  onclick: acknowledge(a, true),
                },
                'Treated',
              ),
          ),
        snoozed &&
          h(
            'div',
            { class: 'acts' },
            h(
              'button',
              { class: 'btn quiet', type: 'button', data: { k: `ring ${a.id}` }, onclick: ringAgain(a) },
              icon('i-bell'),
              'Let it ring again',
            ),
          ),
        choices.length > 0 &&
          h(
            'div',
            { class: 'acts', role: 'group', 'aria-label': 'Snooze' },
            h('span', { class: 'lab' }, 'Snooze'),
            choices.map((m) =>
              h('button', { class: 'btn', type: 'button', data: { k: `snooze ${a.id} ${m}` }, onclick: snooze(a, m) }, `${m} min`),
            ),
          ),
      ),
  );
}

export function alertCards() {
  const list = store.now?.alerts ?? [],
    t = now();
  fill(
    $('#open-alerts'),
    [list.map((a) => [a, status(a, t)]), mayWrite()],
    () => list.map(card),
  );
  $('#open-alerts').hidden = list.length === 0;
  const fresh = list.filter((a) => !a.acknowledged_ms && !told.has(a.id));
  for (const a of fresh) told.add(a.id);
  if (fresh.length) $('#shout').textContent = fresh.map((a) => `${a.title}. ${a.text ?? ''}`).join(' ');
}
