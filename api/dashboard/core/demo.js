/* A demo wears its mark on every page, whatever else is known: the server says so in a header of each of its answers. */
import { h } from './dom.js';

export const DEMO = 'DEMO: simulated person';
let demo = false;
const ears = new Set();

export const isDemo = () => demo;
export function onDemo(ear) {
  ears.add(ear);
  if (demo) ear();
}

/* Only an answer of iv3 itself can take the mark away: what a proxy says in its place proves nothing. */
export function hearDemo(response) {
  const is = response.headers.get('X-IV3-Demo') === '1';
  if (is === demo || (!is && !response.ok)) return;
  demo = is;
  for (const ear of ears) ear();
}

/* For pages without the dashboard's bars: the band in `place`, and the title. */
export function wearMark(place) {
  const title = document.title;
  onDemo(() => {
    document.title = `${demo ? '[DEMO] ' : ''}${title}`;
    place.replaceChildren(...(demo ? [h('div', { class: 'bar demo' }, h('b', {}, DEMO))] : []));
  });
}
/* The page itself once more, only for its header. */
export async function askForMark() {
  try {
    hearDemo(await fetch(location.pathname, { cache: 'no-store' }));
  } catch {
    /* nobody answers, so nothing is shown that would need the mark */
  }
}
