/* The hero: state, value, arrow, change, age, one forecast sentence, source; and the page's title. */
import { $, fill, h, icon } from '../core/dom.js';
import { hm, now, MIN } from '../core/clock.js';
import { isDemo } from '../core/demo.js';
import { isLive, store } from '../core/store.js';
import { delta, g, gr, isHighWord, isLowWord, limits, state, unitText } from '../core/units.js';
import { age, chance, long, STATE, trend } from '../core/words.js';

export const STALE = 15 * MIN;
const DOT = { ok: 'live', no_data: 'stale', refused: 'stale', unreachable: 'stale', starting: 'waiting', none: 'waiting' };
const SAYS = { ok: 'live', no_data: 'no data', refused: 'refused', unreachable: 'unreachable', starting: 'asking' };
let said = null,
  shouted = null;

/* The live region speaks once per new fact, not at every tick. */
function say(text, key = text) {
  if (said !== key) {
    said = key;
    $('#live').textContent = text;
  }
}
export function forget() {
  said = null;
}

/* Where nothing is asked, readings come from whoever uploads: the newest one says who that was, "upload/xDrip". */
const uploads = () => !store.now?.source?.name || store.now.source.state === 'none';
const from = () => (uploads() ? (store.now?.reading?.source ?? '').replace(/^upload(\/|$)/, '') : store.now.source.name);

function source(t) {
  const n = store.now;
  if (store.live === 'out') return ['lost', 'Signed out'];
  if (!isLive()) return ['lost', n ? `Since ${hm(n.time_ms)}` : 'Checking'];
  if (uploads()) {
    if (!n.reading) return ['waiting', 'Waiting for uploads'];
    const old = n.reading.stale || t - n.reading.time_ms >= STALE;
    return [old ? 'stale' : 'live', `${from() || 'Uploads'}, ${old ? 'no data' : 'live'}`];
  }
  const s = n.source;
  return [DOT[s.state] ?? 'waiting', `${s.name}, ${SAYS[s.state] ?? s.state}`];
}
/* A refused log-in is told at once, not only when readings have been missing for a while: somebody has to do something. */
function refused() {
  const s = store.now?.source;
  if (s?.state !== 'refused') return null;
  const why = (s.reason ?? '').trim().replace(/\.$/, '');
  return `${s.name || 'The source'} refuses the log-in${why ? `: ${why}` : ''}.`;
}
const nothingSince = (ms) =>
  uploads() ? `No upload${from() ? ` from ${from()}` : ''} since ${hm(ms)}.` : `Nothing received from ${from()} since ${hm(ms)}.`;

/* In range: the likelier way out. Low: the way to urgent. Otherwise: where it will probably be. */
function forecast(f, st) {
  const l = limits(),
    way = (ic, p, text) => [icon(ic), h('span', {}, h('b', {}, chance(p)), ` chance ${text} within 30\u00a0min`)];
  if (st === 'range' && f.p_low != null && f.p_high != null)
    return f.p_low >= f.p_high ? way('s-low', f.p_low, `below ${g(l.low)}`) : way('s-high', f.p_high, `above ${g(l.high)}`);
  if (st === 'low' && f.p_urgent != null) return way('s-urgent', f.p_urgent, `below ${g(l.urgent)}`);
  const s = f.steps?.[5];
  return s
    ? [icon('i-cone', 'cone'), h('span', {}, h('b', {}, `${g(s.p10_mgdl)} to ${g(s.p90_mgdl)}`), ' in 30\u00a0min, 8 times in 10')]
    : ['No forecast.'];
}

/* The forecast, only while it may be shown at all. */
export function usableForecast() {
  const n = store.now,
    f = n?.forecast;
  if (!isLive() || !f?.steps?.length || !n.reading || n.reading.stale) return null;
  const t = now();
  return t - n.reading.time_ms < STALE && t - f.based_on_ms < STALE ? f : null;
}

function view() {
  const n = store.now,
    r = n?.reading,
    t = now(),
    name = n?.name || n?.person || 'iv3',
    demo = n?.demo || isDemo() ? '[DEMO] ' : '',
    src = source(t),
    bad = refused();
  if (!r) {
    const [tag, line, foot] =
      store.live === 'out'
        ? ['Signed out', 'Paste an access token to go on', 'Nothing is shown before you sign in.']
        : !n
          ? [store.live === 'lost' ? 'Not live' : 'Not live yet', 'Checking for newer readings', 'Nothing is shown until iv3 confirms it.']
          : ['No reading yet', 'Waiting for the first reading', (!bad && n.source?.reason) || 'iv3 has no reading for this person yet.'];
    return { state: 'empty', ic: 's-wait', tag, line, foot: [foot], src, bad, title: `${demo}${name} · iv3`, say: [`${tag}.`] };
  }
  const old = t - r.time_ms,
    st = state(r.glucose_mgdl),
    tr = trend(r.trend),
    [word, ic] = STATE[st],
    val = gr(r);
  if (old >= STALE || r.stale) {
    return {
      state: 'stale',
      ic: 's-stale',
      tag: `No data for ${long(old)}`,
      line: `${val} at ${hm(r.time_ms)}, ${age(old)}`,
      unit: unitText(),
      foot: [(!bad && n.source?.reason) || nothingSince(r.time_ms)],
      src,
      bad,
      title: `${demo}– – ${name} · iv3`,
      say: [`No data. Last value ${val} at ${hm(r.time_ms)}.`],
    };
  }
  const off = !isLive(),
    f = usableForecast();
  const beyond = isLowWord(r.glucose_mgdl) || isHighWord(r.glucose_mgdl); // a change to or from a word is no number
  const arrow = r.delta_mgdl == null ? null : tr;
  const change = beyond ? [tr?.word ?? 'no trend'] : [h('b', {}, delta(r.delta_mgdl ?? 0)), tr ? ` ${tr.word}` : ''];
  const sub = r.delta_mgdl == null ? ['no trend: gap before this'] : change;
  const foot = off
    ? ['No forecast while the page is not live.']
    : f
      ? forecast(f, st)
      : [`No forecast: ${(n.forecast_reason || 'none at the moment').replace(/\.$/, '')}.`];
  return {
    state: st === 'range' ? 'inrange' : st,
    ic: off ? 's-lost' : ic,
    tag: off ? `Not live, was ${word.toLowerCase()}` : word,
    value: val,
    cls: beyond ? ' word' : val.length > 3 ? ' wide' : '',
    arrow,
    sub,
    age: age(old),
    foot,
    src,
    bad,
    unit: unitText(),
    title: `${demo}${off ? '? ' : ''}${val} ${arrow?.glyph ?? ''} ${name} · iv3`,
    say: [
      `${off ? 'Not live. ' : ''}${word}. ${val} ${unitText()}, ${arrow?.word ?? 'no trend'}, ${age(old)}.`,
      `${off} ${r.time_ms} ${unitText()}`,
    ],
  };
}

export function hero() {
  const v = view(),
    el = $('#hero'),
    text = (x) => x.map((k) => (k instanceof Node ? k.textContent + (k.firstChild?.getAttribute?.('href') ?? '') : k));
  el.dataset.state = v.state;
  document.title = v.title;
  fill(el, [v.state, v.ic, v.tag, v.value, v.line, v.arrow?.key, v.age, v.unit, v.src, v.bad, text(v.foot), text(v.sub ?? [])], () => {
    const top = h(
      'div',
      { class: 'hero-top' },
      h('span', { class: 'tag' }, icon(v.ic), v.tag),
      h('span', { class: 'source', data: { s: v.src[0] } }, v.src[1]),
    );
    const foot = [
      h('div', { class: 'hero-foot' }, v.foot.length === 1 ? h('span', {}, v.foot[0]) : v.foot),
      v.bad && h('p', { class: 'hero-bad' }, icon('i-warn'), h('span', {}, v.bad)),
    ];
    if (v.value == null) {
      return [
        top,
        h(
          'div',
          { class: 'hero-main' },
          h('span', { class: 'value dashes', 'aria-hidden': 'true' }, '– –'),
          v.unit && h('span', { class: 'unit' }, v.unit),
        ),
        h('p', { class: 'stale-last' }, v.line),
        foot,
      ];
    }
    return [
      top,
      h(
        'div',
        { class: 'hero-main' },
        h('span', { class: `value${v.cls}` }, v.value),
        h(
          'span',
          { class: 'trend', data: { t: v.arrow?.key ?? 'none' } },
          v.arrow && icon(/2$/.test(v.arrow.key) ? 'i-arrow2' : 'i-arrow'),
          h('span', { class: 'unit' }, v.unit),
        ),
      ),
      h('div', { class: 'hero-sub' }, h('span', {}, v.sub), h('span', { class: 'age' }, v.age)),
      foot,
    ];
  });
  say(...v.say);
  if (v.bad && v.bad !== shouted) $('#shout').textContent = v.bad; // once, not at every tick
  shouted = v.bad;
}
