/* What the sheet offers: the usual amounts as chips, and the kinds of entry that can be made. */
import { entriesAlive, insulins } from '../core/store.js';
import { label, labelText, roleOf } from '../core/words.js';

const CHIPS = 6;

/* The latest distinct doses and carbs of the list, newest first; the last long-acting dose is always one of them, however many came after it. */
export function usual() {
  const seen = new Map();
  for (const e of entriesAlive().sort((a, b) => b.time_ms - a.time_ms)) {
    const body =
      e.kind === 'insulin'
        ? { kind: 'insulin', insulin: e.insulin, units: e.units }
        : e.kind === 'carbs'
          ? { kind: 'carbs', grams: e.grams, speed: e.speed }
          : null;
    if (!body) continue;
    if (body.speed == null) delete body.speed;
    const name = labelText(body);
    if (!seen.has(name)) seen.set(name, body);
  }
  const found = [...seen.values()],
    first = found.slice(0, CHIPS),
    long = found.find((b) => roleOf(b) === 'long');
  return !long || first.includes(long) ? first : [...first.slice(0, CHIPS - 1), long];
}

/* What can be logged: each configured insulin, or one with a name to be typed; carbs; a finger-stick; a note. An edit keeps its kind. */
export function choices(edit) {
  const list = insulins().map((x) => ({ id: `i ${x.name}`, kind: 'insulin', name: x.name, text: x.name }));
  if (edit?.kind === 'insulin' && !list.some((c) => c.name === edit.insulin))
    list.push({ id: `i ${edit.insulin}`, kind: 'insulin', name: edit.insulin, text: edit.insulin });
  if (!list.length) list.push({ id: 'i', kind: 'insulin', name: null, text: 'Insulin' });
  const all = [
    ...list,
    { id: 'carbs', kind: 'carbs', text: 'Carbs' },
    { id: 'fingerstick', kind: 'fingerstick', text: 'Finger-stick' },
    { id: 'note', kind: 'note', text: 'Note' },
  ];
  if (!edit) return all;
  const same = all.filter((c) => c.kind === edit.kind);
  return same.length ? same : [{ id: edit.kind, kind: edit.kind, text: label(edit)[0] }];
}
export const choiceRole = (c) => (c.kind === 'insulin' ? roleOf({ kind: 'insulin', insulin: c.name }) : c.kind);
