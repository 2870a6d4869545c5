/* Sends new entries, and sends unsent ones again with the same key until the server has them or a person discards them. */
import { asked, call, Problem } from '../core/api.js';
import { $, fill, h, icon, toast } from '../core/dom.js';
import { HOUR } from '../core/clock.js';
import { want } from '../core/feed.js';
import * as outbox from './outbox.js';
import { confirmView } from './confirm.js';
import { closeSheet, showSheet, sheetHead } from './frame.js';
import { changed, store } from '../core/store.js';
import { age, labelText } from '../core/words.js';

const ASK_AFTER = 12 * HOUR,
  SENDING = new Set();
let flushing = null;
const foreign = (q) => q.person && store.now && q.person !== store.now.person;
const asks = (q) => Boolean(q.refused || q.facts) || Date.now() - q.asked_ms >= ASK_AFTER;

/* Shows what the outbox holds, except entries whose first try is still under way. */
async function look() {
  store.queue = (await outbox.list()).filter((q) => !SENDING.has(q.key));
  changed();
}

/* For the person it was tapped for, whoever is shown by then. */
const post = (item) =>
  call('POST', '/v1/entries?wait=1', { body: item.body, key: item.key, person: item.person ?? undefined, timeout: 6_000 });

/* The first try. Answers { id } when the server has it, { kept } when it waits here; throws a Problem that the person must answer. */
export async function log(key, body) {
  const item = { key, body, person: store.now?.person ?? asked, tapped_ms: Date.now(), asked_ms: Date.now() };
  SENDING.add(key);
  const lasting = await outbox.put(item); // before it is sent: a page that dies now still has it
  try {
    const answer = await post(item);
    await outbox.remove(key);
    if (answer?.id) store.fresh.add(answer.id);
    want('now', 'entries');
    return { id: answer?.id ?? null };
  } catch (e) {
    if (!(e instanceof Problem)) throw e;
    if (e.passing || e.status === 401) return { kept: true, lasting };
    await outbox.remove(key);
    throw e;
  } finally {
    SENDING.delete(key);
    await look();
  }
}
/* Answers whether the entry was still here, and not already with the server. */
export async function discard(key) {
  const here = (await outbox.list()).some((q) => q.key === key);
  await outbox.remove(key);
  await look();
  return here;
}

async function sendOne(item) {
  try {
    const answer = await post(item);
    if (answer?.id) store.fresh.add(answer.id);
    await outbox.remove(item.key);
    return true;
  } catch (e) {
    if (e.passing || e.status === 401) return false;
    const facts = e.status === 409 && e.code === 'needs_confirm' ? e.facts : null;
    await outbox.put({ ...item, facts, refused: facts ? null : e.message });
    return null;
  }
}

/* Tries every unsent entry that needs no answer from a person. */
export function flush() {
  flushing ??= (async () => {
    let sent = 0,
      silent = 0;
    for (const item of await outbox.list()) {
      if (SENDING.has(item.key) || asks(item)) continue;
      const done = await sendOne(item);
      if (done) sent += 1;
      if (done === false) {
        silent += 1;
        break;
      } // nobody answers: the others wait with it
    }
    await look();
    if (sent) {
      toast(`Saved ${sent} kept ${sent === 1 ? 'entry' : 'entries'}.`);
      want('now', 'entries');
    }
    return { sent, silent };
  })().finally(() => {
    flushing = null;
  });
  return flushing;
}

async function tryAll() {
  if (store.queue.some(asks)) {
    askView();
    return;
  }
  const { sent, silent } = await flush();
  if (store.queue.some(asks)) askView();
  else if (!sent && silent)
    toast(store.live === 'out' ? 'Still kept here. Sign in to save it.' : 'Still no connection. Kept on this device.');
}

async function again(item, change) {
  await outbox.put({ ...item, ...change });
  await look();
  await flush();
  if (store.queue.some(asks)) askView();
  else closeSheet();
}

/* Asks about each entry that cannot simply be sent: old, refused, or questioned by the server. */
function askView() {
  const rows = store.queue.filter(asks).map((q) => {
    const since = age(Date.now() - q.tapped_ms),
      name = labelText(q.body);
    const why = q.refused
      ? `iv3 refused it: ${q.refused}`
      : q.facts
        ? `iv3 asks: ${q.facts.line}`
        : `Not saved since ${since}. Is it still to be kept?`;
    const drop = async () => {
      await discard(q.key);
      if (store.queue.some(asks)) askView();
      else closeSheet();
    };
    const yes = () =>
      q.facts
        ? confirmView({
            facts: q.facts,
            body: q.body,
            back: drop,
            yes: () => again(q, { body: { ...q.body, confirm: true }, facts: null, asked_ms: Date.now() }),
          })
        : again(q, { refused: null, asked_ms: Date.now() });
    return h(
      'li',
      { class: 'unsent-item' },
      h(
        'p',
        {},
        h('b', {}, q.body.kind === 'note' ? q.body.text : name),
        h('span', { class: 'muted' }, `${foreign(q) ? ` for ${q.person}` : ''} tapped ${since}`),
      ),
      h('p', { class: 'muted' }, why),
      h(
        'div',
        { class: 'acts' },
        h('button', { class: 'btn primary', type: 'button', onclick: yes }, q.facts ? 'Answer' : q.refused ? 'Try again' : 'Keep and send'),
        h('button', { class: 'btn', type: 'button', onclick: drop }, 'Discard'),
      ),
    );
  });
  showSheet(h('div', { class: 'sheet-in' }, sheetHead('Not saved yet'), h('ul', { class: 'unsent-list' }, rows)));
}

export function unsent() {
  const n = store.queue.length,
    ask = store.queue.filter(asks).length,
    b = $('#unsent');
  b.hidden = n === 0;
  fill(b, [n, ask], () => [icon('i-up'), `${n} not saved yet`, h('u', {}, ask ? 'Keep or discard?' : 'Try now')]);
}

export function startQueue() {
  $('#unsent').addEventListener('click', tryAll);
  for (const name of ['focus', 'online']) window.addEventListener(name, flush);
  setInterval(() => {
    if (store.queue.length) {
      if (store.live === 'live') flush();
      else changed();
    }
  }, 30_000);
  look().then(flush);
}
