/* The pieces of the entry sheet, as elements without behaviour of their own. */
import { choiceRole } from './choices.js';
import { h, icon } from '../core/dom.js';
import { ICON, label, roleOf } from '../core/words.js';

const BACKS = [
  [0, 'Now'],
  [5, '−5'],
  [15, '−15'],
  [30, '−30'],
];

/* When: now, a little ago, or a time of the clock. Answers the row and its radios. */
export function whenRow({ time, chosen, onback }) {
  const radios = BACKS.map(([m]) => {
    const i = h('input', {
      type: 'radio',
      name: 'when',
      value: String(m),
      'aria-label': m ? `${m} minutes ago` : 'Now',
      onchange: () => onback(m),
    });
    i.checked = m === chosen;
    return i;
  });
  const row = h(
    'div',
    { class: 'when' },
    h(
      'fieldset',
      { class: 'seg' },
      h('legend', { class: 'vh' }, 'When'),
      radios.map((i, n) => h('label', {}, i, h('span', {}, BACKS[n][1]))),
    ),
    time,
  );
  return { row, radios };
}

export function kindRow({ choices, chosen, onchoose }) {
  if (choices.length < 2) return null;
  const kind = (c) => {
    const role = choiceRole(c),
      i = h('input', { type: 'radio', name: 'kind', value: c.id, onchange: () => onchoose(c) });
    i.checked = c === chosen;
    return h('label', {}, i, h('span', { class: `c-${role}` }, icon(ICON[role]), h('em', {}, c.text)));
  };
  return h('fieldset', {}, h('legend', { class: 'vh' }, 'What'), h('div', { class: 'kinds' }, choices.map(kind)));
}

/* The amount between its two buttons. */
export function amountRow({ num, unit, onstep }) {
  return h(
    'div',
    { class: 'num' },
    h('button', { class: 'btn', type: 'button', 'aria-label': 'Less', onclick: () => onstep(-1) }, '−'),
    h('label', { class: 'field' }, num, unit),
    h('button', { class: 'btn', type: 'button', 'aria-label': 'More', onclick: () => onstep(1) }, '+'),
  );
}

export function chip(body, onclick) {
  const role = roleOf(body),
    [name, size] = label(body);
  return h(
    'button',
    { class: `chip c-${role}`, type: 'button', onclick },
    icon(ICON[role]),
    h('b', {}, size),
    ' ',
    h('span', {}, name),
  );
}

/* A field to be typed in, told about each change. */
export const typed = (props) => h('input', { type: 'text', autocomplete: 'off', ...props });
export const area = (name, oninput) =>
  h('textarea', { class: 'note-in', rows: '2', maxlength: '2000', 'aria-label': name, placeholder: name, oninput });
