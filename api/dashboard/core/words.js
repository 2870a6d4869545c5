/* The page's vocabulary: states, trends, durations, chances, and what an entry is called. */
import { DAY, HOUR, MIN } from './clock.js';
import { insulin } from './store.js';
import { amount, stick, unitText } from './units.js';

const NB = '\u00a0'; // a number stays on the line of its unit
export const STATE = {
  urgent: ['Urgent low', 's-urgent'],
  low: ['Low', 's-low'],
  range: ['In range', 's-range'],
  high: ['High', 's-high'],
  'very-high': ['Very high', 's-high'],
};
const TRENDS = {
  DoubleUp: ['up2', 'rising fast', '↑↑'],
  SingleUp: ['up', 'rising', '↑'],
  FortyFiveUp: ['up45', 'rising slowly', '↗'],
  Flat: ['flat', 'steady', '→'],
  FortyFiveDown: ['down45', 'falling slowly', '↘'],
  SingleDown: ['down', 'falling', '↓'],
  DoubleDown: ['down2', 'falling fast', '↓↓'],
};
export function trend(name) {
  const t = TRENDS[name];
  return t ? { key: t[0], word: t[1], glyph: t[2] } : null;
}

export function long(ms) {
  const m = Math.max(0, Math.floor(ms / MIN));
  if (m < 60) return `${m}${NB}min`;
  if (m < 1440) return `${Math.floor(m / 60)}${NB}h${m % 60 ? `${NB}${m % 60}${NB}min` : ''}`;
  return `${Math.floor(m / 1440)}${NB}d${NB}${Math.floor((m % 1440) / 60)}${NB}h`;
}
export const age = (ms) => (ms < -2 * MIN ? 'ahead of the clock' : ms < MIN ? 'just now' : `${long(ms)}${NB}ago`);
export const hours = (ms) => (ms < HOUR ? long(ms) : ms < 3 * DAY ? `${Math.round(ms / HOUR)}${NB}h` : long(ms));
export const ago = (ms) => (ms < MIN ? `just${NB}now` : `${hours(ms)}${NB}ago`);

const CHANCE = [
  [0.05, 'Less than 1 in 20'],
  [0.14, 'About 1 in 10'],
  [0.22, 'About 1 in 5'],
  [0.29, 'About 1 in 4'],
  [0.4, 'About 1 in 3'],
  [0.6, 'About 1 in 2'],
  [0.71, 'About 2 in 3'],
  [0.85, 'About 3 in 4'],
  [2, 'About 9 in 10'],
];
export const chance = (p) => CHANCE.find(([x]) => p < x)[1];

/* rapid | long | other (an insulin iv3 was not told about: never assumed rapid) | carbs | note | fingerstick | exercise */
export function roleOf(e) {
  if (e.kind !== 'insulin') return e.kind;
  const a = insulin(e.insulin)?.action;
  return a === 'rapid' || a === 'long' ? a : 'other';
}
export const ICON = {
  rapid: 'i-rapid',
  long: 'i-long',
  other: 'i-other',
  carbs: 'i-carbs',
  note: 'i-note',
  fingerstick: 'i-stick',
  exercise: 'i-exercise',
};
export function label(e) {
  switch (e.kind) {
    case 'insulin':
      return [e.insulin, `${amount(e.units)}${NB}U`];
    case 'carbs':
      return ['Carbs', `${amount(e.grams)}${NB}g`];
    case 'fingerstick':
      return ['Finger-stick', `${stick(e)}${NB}${unitText()}`];
    case 'exercise':
      return ['Exercise', [e.minutes && `${e.minutes}${NB}min`, e.intensity].filter(Boolean).join(', ')];
    default:
      return ['Note', ''];
  }
}
export const labelText = (e) => (e.kind === 'note' ? 'note' : label(e).join(' ').trim());
