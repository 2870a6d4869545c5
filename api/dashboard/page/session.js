/* Who looks: what the page offers to this token, the quiet notes about it, and the way out. */
import { call } from '../core/api.js';
import { $, fill, h, toast } from '../core/dom.js';
import { zoneMissing } from '../core/clock.js';
import { leave } from '../core/feed.js';
import { mayWrite, store } from '../core/store.js';

const MAY = { reader: 'You may read only.', uploader: 'This token may only upload readings, so most of the page stays empty.' };

/* Leaves nothing of this person on the screen; entries that are not saved yet stay on the device, and are sent after the next sign-in. */
async function signOut(ev) {
  const button = ev.currentTarget;
  button.disabled = true;
  try {
    await call('POST', '/logout');
    leave({ wipe: true });
    location.replace('/login');
  } catch {
    toast('Not signed out: no answer from iv3. Try again.');
    button.disabled = false;
  }
}

export function session() {
  const who = store.now?.caller,
    writes = mayWrite(),
    notes = [MAY[who?.role], store.now && zoneMissing()].filter(Boolean);
  for (const b of document.querySelectorAll('[data-open]')) b.hidden = !writes;
  document.body.classList.toggle('reads-only', !writes);
  $('#notes').hidden = notes.length === 0;
  fill($('#notes'), notes, () => notes.map((text) => h('p', {}, text)));
  fill($('#session'), [who?.name, who?.role, store.live === 'out'], () =>
    [
      store.live !== 'out' && [
        who && h('span', {}, `Signed in as ${who.name || 'this browser'}${who.role ? ` (${who.role})` : ''}`),
        h('button', { class: 'link', type: 'button', data: { k: 'out' }, onclick: signOut }, 'Sign out'),
      ],
      h('a', { class: 'link', href: '/docs' }, 'For programs: the API'),
    ].flat(),
  );
}
