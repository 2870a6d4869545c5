/* Logged today: every entry with its time and author, unsent ones marked, removed ones struck through with Undo. */
import { $, fill, h, icon, toast } from '../core/dom.js';
import { all, call } from '../core/api.js';
import { DAY, hm, midnight, now } from '../core/clock.js';
import { want } from '../core/feed.js';
import { changed, insulins, mayWrite, store } from '../core/store.js';
import { amount, unitText } from '../core/units.js';
import { ICON, label, labelText, roleOf } from '../core/words.js';

const past = new Map(); // id -> { revision, text }: how an entry came to be what it is
let edit = () => {};
export function onEdit(f) {
  edit = f;
}

/* An edited entry says from what; asked once per revision, and left out when it cannot be known. */
async function history(e) {
  past.set(e.id, { revision: e.revision, text: 'changed' });
  try {
    const list = await all(`/v1/entries/${encodeURIComponent(e.id)}/history`, {});
    const was = list
        .filter((v) => v.revision < e.revision && !v.deleted)
        .sort((a, b) => a.revision - b.revision)
        .at(-1),
      here = list.find((v) => v.revision === e.revision);
    const size =
      was &&
      (was.units != null && was.units !== e.units
        ? `${amount(was.units)} U`
        : was.grams != null && was.grams !== e.grams
          ? `${amount(was.grams)} g`
          : was.time_ms != null && was.time_ms !== e.time_ms
            ? hm(was.time_ms)
            : null);
    if (size) past.set(e.id, { revision: e.revision, text: `changed from ${size}${here?.by ? ` by ${here.by}` : ''}` });
    changed();
  } catch {
    /* "changed" is all that is known */
  }
}

export async function undo(e) {
  try {
    await call('POST', `/v1/entries/${encodeURIComponent(e.id)}/undo?wait=1`, { body: { revision: e.revision } });
    toast(`Back: ${labelText(e)}`);
  } catch (p) {
    toast(p.passing ? 'Not undone: no answer from iv3. Try again.' : p.message);
  }
  want('now', 'entries');
}

/* Takes a fresh entry back. */
export async function takeBack(id) {
  const e = store.entries.find((x) => x.id === id);
  try {
    await call('DELETE', `/v1/entries/${encodeURIComponent(id)}?revision=${e?.revision ?? 1}&wait=1`);
    toast('Removed.');
  } catch (p) {
    toast(p.passing ? 'Not removed: no answer from iv3. Try again.' : p.message);
  }
  want('now', 'entries');
}

function row(e, zero) {
  const role = roleOf(e),
    [a, b] = label(e),
    y = e.time_ms < zero ? 'yesterday, ' : '';
  if (e.revision > 1 && !e.deleted && past.get(e.id)?.revision !== e.revision) history(e);
  const by = e.pending
    ? e.pending
    : e.deleted
      ? `${y}removed`
      : [`${y}${e.by ?? ''}`, e.revision > 1 && past.get(e.id)?.text, e.kind !== 'note' && e.note].filter(Boolean).join(' · ');
  return h(
    'li',
    { class: `row${e.deleted ? ' gone' : ''}${e.pending ? ' pending' : ''}` },
    h('time', { datetime: new Date(e.time_ms).toISOString() }, hm(e.time_ms)),
    icon(ICON[role] ?? 'i-note', `ev-${role}`),
    h(
      'div',
      { class: 'what' },
      h('b', {}, e.kind === 'note' ? e.text : a),
      ' ',
      h('span', { class: 'amt' }, b),
      h('span', { class: 'by' }, by),
    ),
    e.pending || !mayWrite()
      ? h('span')
      : e.deleted
        ? h(
            'button',
            {
              class: 'link',
              type: 'button',
              data: { k: `undo ${e.id}` },
              'aria-label': `Undo removing ${a} ${b} at ${hm(e.time_ms)}`,
              onclick: () => undo(e),
            },
            'Undo',
          )
        : h(
            'button',
            {
              class: 'link',
              type: 'button',
              data: { k: `edit ${e.id}` },
              'aria-label': `Edit ${a} ${b} at ${hm(e.time_ms)}`,
              onclick: () => edit(e),
            },
            'Edit',
          ),
  );
}

/* An insulin that iv3 was not told about is summed apart: it may be rapid or not. */
function totals(today) {
  const sum = (role, field) => today.filter((e) => roleOf(e) === role).reduce((s, e) => s + (e[field] ?? 0), 0);
  const rapid = sum('rapid', 'units'),
    other = sum('other', 'units');
  const known = insulins().some((x) => x.action === 'rapid') || rapid > 0;
  return [known && `rapid ${amount(rapid)} U`, other > 0 && `insulin ${amount(other)} U`, `carbs ${amount(sum('carbs', 'grams'))} g`]
    .filter(Boolean)
    .join(', ');
}

export function entryList() {
  const zero = midnight(now());
  const waiting = store.queue.map((q) => ({
    ...q.body,
    id: q.key,
    revision: 1,
    time_ms: Date.parse(q.body.time),
    pending: q.refused
      ? `not saved: ${q.refused}`
      : q.facts
        ? 'not saved yet, iv3 asks about it'
        : 'not saved yet, waiting for the connection',
  }));
  const list = [...store.entries, ...waiting].sort((a, b) => b.time_ms - a.time_ms),
    n = list.filter((e) => e.time_ms >= zero || e.pending).length;
  // today, enough of yesterday to see the last long-acting dose, and whatever was just written here, so that nobody writes it twice
  const rows = list.filter((e, i) => e.pending || store.fresh.has(e.id) || (i < Math.max(n, 5) && e.time_ms > zero - DAY));
  const today = rows.filter((e) => !e.deleted && e.time_ms >= zero);
  $('#ent-sum').textContent = today.length ? totals(today) : '';
  fill(
    $('#entries'),
    [rows, zero, unitText(), store.loaded.has('entries'), rows.map((e) => past.get(e.id)?.text), store.now?.insulins, mayWrite()],
    () =>
      rows.length
        ? rows.map((e) => row(e, zero))
        : h('li', { class: 'none' }, store.loaded.has('entries') ? 'Nothing logged today.' : 'Not loaded yet.'),
  );
}
