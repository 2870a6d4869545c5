/* The entry sheet: two taps log what is usual, the form logs the rest; what the button says is what will be logged. */
import { call, newKey } from './api.js';
import { atClock, hm, MIN, now, zoneNote } from './clock.js';
import { choiceRole, choices, usual } from './choices.js';
import { confirmView } from './confirm.js';
import { h, icon, toast } from './dom.js';
import { takeBack, undo } from './entries.js';
import { want } from './feed.js';
import { closeSheet, sheetHead, sheetOpen, showSheet } from './frame.js';
import { discard, log } from './queue.js';
import { store } from './store.js';
import { amount, parseNumber } from './units.js';
import { ICON, label, labelText, roleOf } from './words.js';

class Sheet {
  constructor(edit) {
    this.edit = edit;
    this.key = newKey(); // one per opening, so that a second tap or a lost answer cannot log twice
    this.spoiled = false;
    this.back = 0;
    this.exact = edit ? edit.time_ms : null;
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
    const edit = this.edit;
    this.err = h('p', { class: 'err', role: 'alert', hidden: true });
    this.time = h('input', { type: 'time', value: hm(this.stamp()), 'aria-label': 'Time', onchange: () => this.pickTime() });
    this.whens = [];
    const when = h(
      'div',
      { class: 'when' },
      h(
        'fieldset',
        { class: 'seg' },
        h('legend', { class: 'vh' }, 'When'),
        [
          [0, 'Now'],
          [5, '−5'],
          [15, '−15'],
          [30, '−30'],
        ].map(([m, text]) => {
          const i = h('input', {
            type: 'radio',
            name: 'when',
            value: String(m),
            'aria-label': m ? `${m} minutes ago` : 'Now',
            onchange: () => this.pickBack(m),
          });
          if (m === 0 && !edit) i.checked = true;
          this.whens.push(i);
          return h('label', {}, i, h('span', {}, text));
        }),
      ),
      this.time,
    );
    this.num = h('input', {
      type: 'text',
      inputmode: 'decimal',
      autocomplete: 'off',
      enterkeyhint: 'done',
      'aria-label': 'Amount',
      placeholder: '0',
      value: edit ? amount(edit.units ?? edit.grams ?? 0) : '',
      oninput: () => this.touched(),
    });
    this.unit = h('span');
    this.field = h(
      'div',
      { class: 'num' },
      h('button', { class: 'btn', type: 'button', 'aria-label': 'Less', onclick: () => this.step(-1) }, '−'),
      h('label', { class: 'field' }, this.num, this.unit),
      h('button', { class: 'btn', type: 'button', 'aria-label': 'More', onclick: () => this.step(1) }, '+'),
    );
    this.note = h('textarea', { class: 'note-in', rows: '2', 'aria-label': 'Note', placeholder: 'Note', oninput: () => this.touched() });
    if (edit?.kind === 'note') this.note.value = edit.text ?? '';
    this.noteBox = h('div', {}, this.note);
    this.name = h('input', {
      class: 'name-in',
      type: 'text',
      autocomplete: 'off',
      maxlength: '60',
      'aria-label': 'Insulin name',
      'aria-describedby': 'name-why',
      placeholder: 'Insulin name',
      oninput: () => this.touched(),
    });
    this.nameBox = h(
      'div',
      {},
      this.name,
      h('p', { class: 'muted', id: 'name-why' }, 'No insulin is set up in iv3 yet: write its name as on the pen.'),
    );
    this.go = h('button', { class: 'btn primary big', type: 'submit' });
    const kinds =
      this.choices.length > 1 &&
      h(
        'fieldset',
        {},
        h('legend', { class: 'vh' }, 'What'),
        h(
          'div',
          { class: 'kinds' },
          this.choices.map((c) => {
            const i = h('input', {
                type: 'radio',
                name: 'kind',
                value: c.id,
                onchange: () => {
                  this.choice = c;
                  this.touched();
                },
              }),
              role = choiceRole(c);
            if (c === this.choice) i.checked = true;
            return h('label', {}, i, h('span', { class: `c-${role}` }, icon(ICON[role]), h('em', {}, c.text)));
          }),
        ),
      );
    const form = h(
      'form',
      {
        class: 'other',
        novalidate: true,
        onsubmit: (ev) => {
          ev.preventDefault();
          this.fromForm();
        },
      },
      !edit && this.chips.length > 0 && h('h3', {}, 'Another amount'),
      kinds,
      this.nameBox,
      this.field,
      this.noteBox,
      this.err,
      this.go,
    );
    this.tapHead = h('h3');
    this.chipEls = this.chips.map((body) => {
      const role = roleOf(body),
        [name, size] = label(body);
      return h(
        'button',
        { class: `chip c-${role}`, type: 'button', onclick: () => this.submit(body) },
        icon(ICON[role]),
        h('b', {}, size),
        ' ',
        h('span', {}, name),
      );
    });
    const note = zoneNote(now());
    this.view = h(
      'div',
      { class: 'sheet-in' },
      sheetHead(edit ? 'Edit' : 'Log'),
      when,
      note && h('p', { class: 'muted' }, note),
      this.chips.length > 0 && this.tapHead,
      this.chips.length > 0 && h('div', { class: 'chips' }, this.chipEls),
      form,
      edit && h('button', { class: 'btn quiet', type: 'button', onclick: () => this.removeEntry() }, 'Remove this entry'),
    );
  }

  pickTime() {
    const ms = atClock(this.time.value);
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
      size = role === 'carbs' ? 5 : role === 'rapid' ? 0.5 : 1;
    this.num.value = amount(Math.max(0, (parseNumber(this.num.value || '0') ?? 0) + direction * size));
    this.touched();
  }

  /* The button repeats what it will log. */
  caption() {
    const { kind, name } = this.choice,
      sized = kind === 'insulin' || kind === 'carbs',
      n = parseNumber(this.num.value || '');
    this.field.hidden = !sized;
    this.noteBox.hidden = kind !== 'note';
    this.nameBox.hidden = !(kind === 'insulin' && name == null);
    this.unit.textContent = kind === 'carbs' ? 'g' : 'U';
    const size = n == null ? '' : amount(n),
      insulinName = name ?? (this.name.value.trim() || 'insulin');
    const what =
      kind === 'carbs'
        ? `${size && `${size} g `}carbs`
        : kind === 'insulin'
          ? `${insulinName} ${size && `${size} U`}`.trim()
          : kind === 'note'
            ? 'note'
            : label(this.edit)[0].toLowerCase();
    const at = this.back || this.exact != null ? ` at ${hm(this.stamp())}` : '';
    this.go.textContent = this.busy ? 'Saving…' : `${this.edit ? 'Save' : 'Log'} ${what}${at}`;
    this.tapHead.textContent = at ? `Tap to log${at}` : 'Tap to log now';
    for (const [i, c] of this.chipEls.entries())
      c.setAttribute('aria-label', `${[...label(this.chips[i])].reverse().join(' ')}, log${at || ' now'}`);
  }

  fromForm() {
    const { kind, name } = this.choice;
    if (kind === 'note') {
      const text = this.note.value.trim();
      return text ? this.submit({ kind, text }) : this.fail('Write the note first.', this.note);
    }
    if (kind !== 'insulin' && kind !== 'carbs') return this.submit({ kind });
    const typed = this.num.value.trim(),
      n = parseNumber(typed);
    if (n == null)
      return this.fail(typed ? `“${typed}” could be read two ways. Write it like 4,5 or 4.5.` : 'Enter the amount first.', this.num);
    if (!n) return this.fail('The amount is 0.', this.num);
    if (kind === 'carbs') return this.submit({ kind, grams: n });
    const insulinName = name ?? this.name.value.trim();
    return insulinName
      ? this.submit({ kind, insulin: insulinName, units: n })
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
      name = labelText(body),
      at = hm(Date.parse(body.time));
    closeSheet();
    if (kept) toast(lasting ? `Kept on this device: ${name}` : `Kept while this page is open: ${name}`, () => this.drop(key));
    else toast(`Logged ${name} at ${at}`, id == null ? null : () => takeBack(id));
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
      await call('PATCH', `/v1/entries/${encodeURIComponent(was.id)}?wait=1`, { body: fields });
      toast(`Saved ${labelText({ ...was, ...body })}`, () => this.undoLast(was));
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
      const facts = e.facts,
        earlier = facts.reason === 'double_long' || facts.reason === 'recent_rapid';
      const back = () => {
        this.spoiled = true;
        if (earlier) closeSheet();
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
      const what = fresh.deleted ? 'removed' : `${labelText(fresh)} at ${hm(fresh.time_ms)}`;
      this.fail(`Not saved: changed by somebody else meanwhile. It is now ${what}${fresh.by ? ` (${fresh.by})` : ''}. Save again to replace that.`);
    } catch {
      this.fail(e.message);
    }
  }
}

export function openSheet(edit = null) {
  showSheet(new Sheet(edit).view);
}
