/* Signing in with an access token: the form of the sign-in page, and of the signed-out state of the dashboard. */
import { call } from './core/api.js';
import { askForMark, wearMark } from './core/demo.js';
import { $, h } from './core/dom.js';

export function loginForm(done) {
  const err = h('p', { class: 'err', role: 'alert', hidden: true });
  const token = h('input', {
    class: 'name-in',
    id: 'token',
    type: 'password',
    autocomplete: 'current-password',
    spellcheck: 'false',
    autocapitalize: 'off',
    required: true,
    'aria-describedby': 'token-why',
  });
  const go = h('button', { class: 'btn primary big', type: 'submit' }, 'Sign in');
  const fail = (text) => {
    err.textContent = text;
    err.hidden = false;
    token.focus();
  };
  return h(
    'form',
    {
      class: 'login',
      novalidate: true,
      onsubmit: async (ev) => {
        ev.preventDefault();
        const value = token.value.trim();
        if (!value) {
          fail('Paste the token first.');
          return;
        }
        go.disabled = true;
        try {
          await call('POST', '/login', { body: { token: value } });
          token.value = '';
          err.hidden = true;
          done();
        } catch (e) {
          fail(e.passing ? 'No answer from iv3. Try again.' : e.status === 401 ? 'iv3 does not know this token.' : e.message);
        } finally {
          go.disabled = false;
        }
      },
    },
    h('label', { for: 'token' }, 'Access token'),
    token,
    h(
      'p',
      { class: 'muted', id: 'token-why' },
      'Made by the owner of this iv3 with ',
      h('code', {}, 'iv3 token new'),
      '. It is shown once, when it is made.',
    ),
    err,
    go,
  );
}

/* Where a link leads that has done its work. */
const usedLink = () =>
  h(
    'p',
    { class: 'used', role: 'status' },
    'This sign-in link was used already, or belongs to an earlier start of iv3. Open the link of the latest start, or make a token with ',
    h('code', {}, 'iv3 token new --role owner --name "my phone"'),
    ' where iv3 runs and paste it below.',
  );

const place = $('#login');
if (place) {
  wearMark($('#bars'));
  askForMark();
  if (new URLSearchParams(location.search).get('used') === '1') place.append(usedLink());
  place.append(loginForm(() => location.assign('/')));
}
