/* Numbers typed by thumbs: comma or point; what is no plain number is refused with its own reason, never guessed. */
import { amount, mmol, unitText } from '../core/units.js';

const LIKE = 'Write it like 4,5 or 4.5.';

/* { n } or { why }. A group of three digits after a point may mean thousands or thousandths, so it is asked about. */
export function readNumber(text) {
  const x = text.trim().replace(/\s/g, ''),
    said = `“${text.trim()}”`;
  if (!x) return { why: 'Enter the amount first.' };
  if (/^[-\u2212\u2013]\d/.test(x)) return { why: `${said} is below 0. The amount must be above 0.` };
  if (/^[1-9]\d{0,2}([.,]\d{3})+([.,]\d*)?$/.test(x)) return { why: `${said} could be read two ways. ${LIKE}` };
  if (/^(\d+[.,]|[.,]\d+)$/.test(x)) return { why: `${said} is not complete. ${LIKE}` };
  if (!/^\d+([.,]\d+)?$/.test(x)) return { why: `${said} is not a number. ${LIKE}` };
  if (/[.,]\d{3,}$/.test(x)) return { why: `${said} has more than two digits after the point.` };
  const n = Number(x.replace(',', '.'));
  return n > 0 ? { n } : { n, why: 'The amount must be above 0.' };
}

const MOST = { insulin: [300, 'U'], carbs: [500, 'g'] }; // what the server takes

/* The amount of one kind of entry, within what the server takes. */
export function readAmount(text, kind) {
  const { n, why } = readNumber(text);
  if (why) return { why };
  if (kind === 'fingerstick') {
    const [least, most] = mmol() ? [0.6, 50] : [10, 900],
      other = mmol() ? 'mg/dL' : 'mmol/L';
    if (n >= least && n <= most) return { n };
    return { why: `${amount(n)} ${unitText()} is outside ${least} to ${most}. If it is in ${other}, switch the page to ${other} first.` };
  }
  const [most, unit] = MOST[kind];
  return n > most ? { why: `${amount(n)} ${unit} is more than ${most} ${unit}, the most that can be logged at once.` } : { n };
}
