/* Whom the page shows: `?person=` in its address, or whoever the server takes for the default. Every request about a person carries it. */
import { call } from './api.js';
import { $, fill, h } from './dom.js';
import { changed, several, store } from './store.js';
import { gr } from './units.js';

const AGAIN = 60_000;
let people = null, // everybody whom the token opens, once they were asked for
  askedAt = -AGAIN;

async function ask() {
  askedAt = performance.now();
  try {
    people = (await call('GET', '/v1/people?limit=1000')).items;
  } catch {
    people = null; // a list that cannot be had is not shown
  }
  changed();
}

/* Another person is another page: nothing of the one before can stay on it. */
function go(ev) {
  const address = new URL(location.href);
  address.searchParams.set('person', ev.target.value);
  location.assign(address);
}

const value = (p) => (p.stale ? 'no reading' : gr(p)); // what is old is not shown as if it were now
const label = (p) => `${p.name} · ${p.watched ? `${value(p)}${p.alerts ? ' · ALARM' : ''}` : 'suspended'}`;

/* The name of the person shown; a list of names where the token opens more than one. */
export function whose() {
  const now = store.now,
    name = now?.name || now?.person || 'iv3',
    choice = store.live !== 'out' && several();
  if (choice && performance.now() - askedAt >= AGAIN) ask();
  fill($('#person'), [name, choice && people], () =>
    choice && people
      ? h(
          'select',
          { 'aria-label': 'Person', onchange: go },
          people.map((p) => h('option', { value: p.id, selected: p.id === now.person }, label(p))),
        )
      : name,
  );
}
