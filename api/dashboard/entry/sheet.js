/* The entry sheet: two taps log what is usual, the form logs the rest; what the button says is what will be logged. */
import { call, newKey } from '../core/api.js';
import { atClock, hm, MIN, now, when, zoneNote } from '../core/clock.js';
import { choiceRole, choices, usual } from './choices.js';
import { confirmView, ends } from './confirm.js';
import { h, icon, toast } from '../core/dom.js';
import { takeBack, undo } from '../page/entry_list.js';
import { want } from '../core/feed.js';
import { amountRow, area, chip, kindRow, typed, whenRow } from './form.js';
import { closeSheet, sheetHead, sheetOpen, showSheet } from './frame.js';
import { discard, log } from './queue.js';
import { mayWrite, several, store } from '../core/store.js';
import { readAmount, readNumber } from './typed.js';
import { amount, mmol, stick, unitText } from '../core/units.js';
import { label, labelText } from '../core/words.js';

const SIZED = ['insulin', 'carbs', 'fingerstick'];
const sizeOf = (e) => (e.kind === 'fingerstick' ? stick(e) : amount(e.units ?? e.grams ?? 0));

class Sheet {
  constructor(edit) {
    this.edit = edit;
    this.key = newKey(); // one per opening, so that a second tap or a lost answer cannot log twice
    this.spoiled = false;
    this.back = 0;
    this.exact = edit ? edit.time_ms : null;
    this.unitWas = unitText(); // a typed glucose keeps the unit it was typed in
    this.choices = choices(edit);
    this.choice = this.choices.find((c) => c.kind === 'insulin' && c.name === edit?.insulin) ?? this.choices[0];
    this.chips = edit ? [] : usual();
    this.busy = false;
    this.build();
    this.caption();
  }

  /* Unless another time was chosen, the time is the time of the tap. */
  stamp() {
    return this.exact ?? now() - this.back * MIN;
  }

  build() {
    const edit = this.edit,
      touched = () => this.touched();
    this.err = h('p', { class: 'err', role: 'alert', hidden: true });
    this.time = h('input', { type: 'time', value: hm(this.stamp()), 'aria-label': 'Time', onchange: () => this.pickTime() });
    const times = whenRow({ time: this.time, chosen: edit ? null : 0, onback: (m) => this.pickBack(m) });
    this.whens = times.radios;
    this.num = typed({
      inputmode: 'decimal',
      enterkeyhint: 'done',
      'aria-label': 'Amount',
      placeholder: '0',
      value: edit && SIZED.includes(edit.kind) ? sizeOf(edit) : '',
      oninput: touched,
    });
    this.unit = h('span');
    this.field = amountRow({ num: this.num, unit: this.unit, onstep: (d) => this.step(d) });
    this.note = area('Note', touched);
    this.note.value = (edit?.kind === 'note' ? edit.text : edit?.note) ?? '';
    this.noteBox = h('div', {}, this.note);
    this.noting = Boolean(this.note.value); // beside an amount a note is asked for only when wanted
    this.addNote = h('button', { class: 'link add-note', type: 'button', onclick: () => this.openNote() }, 'Add a note');
    this.name = typed({
      class: 'name-in',
      maxlength: '60',
      'aria-label': 'Insulin name',
      'aria-describedby': 'name-why',
      placeholder: 'Insulin name',
      oninput: touched,
    });
    this.nameBox = h(
      'div',
      {},
      this.name,
      h('p', { class: 'muted', id: 'name-why' }, 'No insulin is set up in iv3 yet: write its name as on the pen.'),
    );
    this.go = h('button', { class: 'btn primary big', type: 'submit' });
    const onchoose = (c) => {
      this.choice = c;
      this.touched();
    };
    const onsubmit = (ev) => {
      ev.preventDefault();
      this.fromForm();
    };
    const form = h(
      'form',
      { class: 'other', novalidate: true, onsubmit },
      !edit && this.chips.length > 0 && h('h3', {}, 'Another amount'),
      kindRow({ choices: this.choices, chosen: this.choice, onchoose }),
      this.nameBox,
      this.field,
      this.noteBox,
      this.addNote,
      this.err,
      this.go,
    );
    this.tapHead = h('h3');
    this.chipEls = this.chips.map((body) => chip(body, () => this.submit(body)));
    const note = zoneNote(now());
    this.view = h(
      'div',
      { class: 'sheet-in' },
      sheetHead(`${edit ? 'Edit' : 'Log'}${several() ? ` for ${store.now.name}` : ''}`),
      times.row,
      note && h('p', { class: 'muted' }, note),
      this.chips.length > 0 && this.tapHead,
      this.chips.length > 0 && h('div', { class: 'chips' }, this.chipEls),
      form,
      edit && h('button', { class: 'btn quiet', type: 'button', onclick: () => this.removeEntry() }, 'Remove this entry'),
    );
  }

  openNote() {
    this.noting = true;
    this.caption();
    this.note.focus();
  }
  pickTime() {
    const ms = atClock(this.time.value, this.edit?.time_ms);
    if (ms == null) return;
    this.exact = ms;
    for (const r of this.whens) r.checked = false;
    this.caption();
  }
  pickBack(m) {
    this.back = m;
    this.exact = null;
    this.time.value = hm(this.stamp());
    this.caption();
  }
  touched() {
    this.err.hidden = true;
    this.caption();
  }
  fail(text, field = null) {
    this.err.replaceChildren(icon('i-warn'), h('span', {}, text));
    this.err.hidden = false;
    field?.focus();
  }
  step(direction) {
    const role = choiceRole(this.choice),
      size = { carbs: 5, rapid: 0.5, fingerstick: this.unitWas === 'mmol/L' ? 0.1 : 1 }[role] ?? 1;
    this.num.value = amount(Math.max(0, (readNumber(this.num.value).n ?? 0) + direction * size));
    this.touched();
  }

  /* The button repeats what it will log, and when. */
  caption() {
    const { kind, name } = this.choice,
      sized = SIZED.includes(kind),
      n = readNumber(this.num.value).n;
    this.field.hidden = !sized;
    this.noteBox.hidden = kind !== 'note' && !this.noting;
    this.addNote.hidden = kind === 'note' || this.noting;
    this.nameBox.hidden = !(kind === 'insulin' && name == null);
    this.unit.textContent = { carbs: 'g', fingerstick: this.unitWas }[kind] ?? 'U';
    const size = n ? `${amount(n)} ${this.unit.textContent}` : '',
      insulinName = name ?? (this.name.value.trim() || 'insulin');
    const what = {
      carbs: () => `${size} carbs`,
      insulin: () => `${insulinName} ${size}`,
      fingerstick: () => `finger-stick ${size}`,
      note: () => 'note',
    }[kind] ?? (() => label(this.edit)[0].toLowerCase());
    const at = this.back || this.exact != null ? ` ${when(this.stamp())}` : '';
    this.go.textContent = this.busy ? 'Saving…' : `${this.edit ? 'Save' : 'Log'} ${what().trim()}${at}`;
    this.tapHead.textContent = at ? `Tap to log${at}` : 'Tap to log now';
    for (const [i, c] of this.chipEls.entries())
      c.setAttribute('aria-label', `${[...label(this.chips[i])].reverse().join(' ')}, log${at || ' now'}`);
  }

  fromForm() {
    const { kind, name } = this.choice,
      text = this.note.value.trim();
    if (kind === 'note') return text ? this.submit({ kind, text }) : this.fail('Write the note first.', this.note);
    const note = this.noting && (text || this.edit?.note) ? { note: text || null } : {};
    if (!SIZED.includes(kind)) return this.submit({ kind, ...note });
    if (kind === 'fingerstick' && this.unitWas !== unitText())
      return this.fail(`The page shows ${unitText()} now. Open this again to log in ${unitText()}.`);
    const { n, why } = readAmount(this.num.value, kind);
    if (why) return this.fail(why, this.num);
    if (kind === 'carbs') return this.submit({ kind, grams: n, ...note });
    if (kind === 'fingerstick') return this.submit({ kind, [mmol() ? 'glucose_mmol' : 'glucose_mgdl']: n, ...note });
    const insulinName = name ?? this.name.value.trim();
    return insulinName
      ? this.submit({ kind, insulin: insulinName, units: n, ...note })
      : this.fail('Write the name of the insulin first.', this.name);
  }

  submit(what) {
    return this.send({ ...what, time: new Date(Math.round(this.stamp())).toISOString() });
  }

  async send(body) {
    if (this.busy) return;
    this.setBusy(true);
    try {
      if (this.edit) await this.change(body);
      else await this.create(body);
    } catch (e) {
      await this.answer(e, body);
    } finally {
      this.setBusy(false);
    }
  }
  setBusy(on) {
    this.busy = on;
    for (const b of [this.go, ...this.chipEls]) b.setAttribute('aria-disabled', String(on));
    this.caption();
  }

  async create(body) {
    if (this.spoiled) {
      this.key = newKey();
      this.spoiled = false;
    } // the server refused the earlier content for good: this is another entry
    const key = this.key,
      { id, kept, lasting } = await log(key, body),
      what = `${labelText(body)} ${when(Date.parse(body.time))}`;
    closeSheet();
    if (kept) toast(lasting ? `Kept on this device: ${what}` : `Kept while this page is open: ${what}`, () => this.drop(key));
    else toast(`Logged ${what}`, id == null ? null : () => takeBack(id));
  }

  async drop(key) {
    if (!(await discard(key))) toast('It was saved meanwhile. Use Edit to remove it.');
  }

  async change(body) {
    const was = this.edit,
      fields = { revision: was.revision };
    for (const [k, v] of Object.entries(body))
      if (k !== 'kind' && (k === 'time' ? Date.parse(v) !== was.time_ms : v !== was[k])) fields[k] = v;
    if (Object.keys(fields).length > 1) {
      store.fresh.add(was.id); // a new time may lie on another day
      await call('PATCH', `/v1/entries/${encodeURIComponent(was.id)}?wait=1`, { body: fields });
      toast(`Saved ${labelText({ ...was, ...body })} ${when(Date.parse(body.time))}`, () => this.undoLast(was));
      want('now', 'entries');
    }
    closeSheet();
  }
  /* The last change back; the list has the revision that the write made. */
  undoLast(was) {
    const seen = store.entries.find((x) => x.id === was.id);
    return undo({ ...was, revision: Math.max(seen?.revision ?? 0, was.revision + 1) });
  }
  async removeEntry() {
    const was = this.edit;
    try {
      await call('DELETE', `/v1/entries/${encodeURIComponent(was.id)}?revision=${was.revision}&wait=1`);
      closeSheet();
      toast(`Removed ${labelText(was)}`, () => this.undoLast(was));
      want('now', 'entries');
    } catch (e) {
      await this.answer(e, null);
    }
  }

  /* What the server refused: its question, somebody else's change, or a plain reason; the content of the sheet stays. */
  async answer(e, body) {
    if (e.status === 409 && e.code === 'needs_confirm' && e.facts && body) {
      const facts = e.facts;
      const back = () => {
        this.spoiled = true;
        if (ends(facts)) closeSheet();
        else {
          showSheet(this.view, this.num);
          this.caption();
        }
      };
      confirmView({
        facts,
        body,
        back,
        yes: () => {
          showSheet(this.view);
          this.send({ ...body, confirm: true });
        },
      });
      return;
    }
    if (!this.edit) this.spoiled = true;
    if (!sheetOpen()) showSheet(this.view);
    if (e.status === 409 && this.edit) {
      await this.reload(e);
      return;
    }
    if (e.status === 409) {
      want('entries');
      this.fail(`${e.message} The list has been fetched again.`);
      return;
    }
    this.fail(e.passing ? 'Not saved: no answer from iv3. Try again.' : e.status === 401 ? 'Not saved: you are signed out.' : e.message);
  }
  async reload(e) {
    try {
      const fresh = await call('GET', `/v1/entries/${encodeURIComponent(this.edit.id)}`);
      this.edit = fresh;
      want('entries');
      const what = fresh.deleted ? 'removed' : `${labelText(fresh)} ${when(fresh.time_ms)}`;
      this.fail(`Not saved: changed by somebody else meanwhile. It is now ${what}${fresh.by ? ` (${fresh.by})` : ''}. Save again to replace that.`);
    } catch {
      this.fail(e.message);
    }
  }
}

export function openSheet(edit = null) {
  if (!mayWrite()) return;
  showSheet(new Sheet(edit).view);
}
