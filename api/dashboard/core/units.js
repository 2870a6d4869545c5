/* Glucose and amounts as numbers on the page. */
import { keep, recall } from './dom.js';
import { store } from './store.js';

const FACTOR = 18.01559;
const LIMITS = { urgent_low_mgdl: 55, low_mgdl: 70, high_mgdl: 180, very_high_mgdl: 250 };
let override = recall('unit', null);

export const mmol = () => (override ? override === 'mmol' : (store.now?.unit ?? 'mmol/L') !== 'mg/dL');
export const unitText = () => (mmol() ? 'mmol/L' : 'mg/dL');
/* The unit the server is to write its texts in: only where it was switched here, for the profile's own needs no asking. */
export const unitAsked = () => (override ? { unit: unitText() } : {});
export function setUnit(value) {
  override = value;
  keep('unit', value);
}

export const limits = () => {
  const l = store.now?.limits ?? LIMITS;
  return { urgent: l.urgent_low_mgdl, low: l.low_mgdl, high: l.high_mgdl, veryHigh: l.very_high_mgdl };
};
export const isLowWord = (v) => v <= 39;
export const isHighWord = (v) => v >= 401;
/* A limit or a forecast: plain mg/dL in. */
export const g = (v) => (v == null ? '–' : mmol() ? (v / FACTOR).toFixed(1) : String(Math.round(v)));
/* A reading: the server's own mmol/L value, and LOW or HIGH where the sensor only says that. */
export function gr(r) {
  if (r?.glucose_mgdl == null) return '–';
  if (isLowWord(r.glucose_mgdl)) return 'LOW';
  if (isHighWord(r.glucose_mgdl)) return 'HIGH';
  return mmol() && typeof r.glucose_mmol === 'number' ? r.glucose_mmol.toFixed(1) : g(r.glucose_mgdl);
}
/* A finger-stick: a number of a meter, which is never LOW or HIGH. */
export function stick(e) {
  if (mmol() && typeof e?.glucose_mmol === 'number') return e.glucose_mmol.toFixed(1);
  return g(e?.glucose_mgdl ?? (typeof e?.glucose_mmol === 'number' ? e.glucose_mmol * FACTOR : null));
}
export function delta(d) {
  const t = mmol() ? (Math.abs(d) / FACTOR).toFixed(1) : String(Math.abs(Math.round(d)));
  return (Number(t) === 0 ? '±' : d > 0 ? '+' : '−') + t;
}
export const amount = (n) => (n == null ? '–' : String(Math.round(n * 100) / 100));

export function state(v) {
  const l = limits();
  return v <= l.urgent ? 'urgent' : v < l.low ? 'low' : v > l.veryHigh ? 'very-high' : v > l.high ? 'high' : 'range';
}
