/* Wires the page together: what changed in the store is drawn, what a person does is handed on. */
import { alertCards } from './page/alert_card.js';
import { alertList } from './page/alert_list.js';
import { bars } from './page/bars.js';
import { chart, getSpan, setSpan, wireChart } from './page/chart.js';
import { now, speed, zoneMissing, zoneNote } from './core/clock.js';
import { context } from './page/context.js';
import { onDemo } from './core/demo.js';
import { $, fill, h, icon, keep, recall } from './core/dom.js';
import { entryList, onEdit } from './page/entry_list.js';
import { start, tryNow, want, whenLive } from './core/feed.js';
import { sheetOpen, wireSheet } from './entry/frame.js';
import { health } from './page/health.js';
import { forget, hero } from './page/glance.js';
import { loginForm } from './login.js';
import { flush, startQueue, unsent } from './entry/queue.js';
import { session } from './page/session.js';
import { openSheet } from './entry/sheet.js';
import { changed, listen, mayWrite, store } from './core/store.js';
import { mmol, setUnit } from './core/units.js';
import { whose } from './core/person.js';

const FINE = 'Not a medical device. Never dose from this page. Keep the Dexcom app’s own alarms on.';

function signedOut() {
  const el = $('#signed-out'),
    out = store.live === 'out';
  el.hidden = !out;
  fill(el, out, () => (out ? [h('h2', {}, 'Signed out: paste an access token'), loginForm(tryNow)] : []));
}
function draw() {
  bars();
  hero();
  signedOut();
  alertCards();
  context();
  entryList();
  alertList();
  health();
  unsent();
  session();
  chart();
  whose();
  $('#fine').textContent = [FINE, store.now && !zoneMissing() && zoneNote(now())].filter(Boolean).join(' ');
  for (const r of document.querySelectorAll('#unit input')) r.checked = (r.value === 'mmol') === mmol();
  document.documentElement.dataset.live = store.live;
}

/* ---- switches ---- */
let theme = recall('theme', '');
const media = matchMedia('(prefers-color-scheme: dark)');
const dark = () => (theme ? theme === 'dark' : media.matches);
function applyTheme() {
  const bedside = document.body.classList.contains('bedside');
  if (bedside || theme) document.documentElement.dataset.theme = bedside ? 'dark' : theme;
  else delete document.documentElement.dataset.theme;
  $('meta[name="theme-color"]').content = dark() || bedside ? '#090c10' : '#f3f5f7';
  chart();
}
let lock = null;
async function wakeLock(on) {
  try {
    if (on) lock = await navigator.wakeLock?.request('screen');
    else {
      await lock?.release();
      lock = null;
    }
  } catch {
    /* the screen may sleep; nothing else changes */
  }
}
function bedside() {
  const on = document.body.classList.toggle('bedside'),
    button = $('#bedside');
  button.setAttribute('aria-label', on ? 'Leave bedside view' : 'Bedside view');
  button.replaceChildren(icon(on ? 'i-x' : 'i-moon'));
  applyTheme();
  wakeLock(on);
}
function wire() {
  for (const r of document.querySelectorAll('#unit input'))
    r.addEventListener('change', () => {
      setUnit(r.value);
      forget();
      draw();
      want('now', 'alerts'); // the server composes its texts in the unit of the page
    });
  for (const r of document.querySelectorAll('#span input')) {
    r.checked = r.value === String(getSpan());
    r.addEventListener('change', () => setSpan(r.value));
  }
  $('#theme').addEventListener('click', () => {
    theme = dark() ? 'light' : 'dark';
    keep('theme', theme);
    applyTheme();
  });
  media.addEventListener('change', applyTheme);
  $('#bedside').addEventListener('click', bedside);
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible' && document.body.classList.contains('bedside')) wakeLock(true);
  });
  for (const b of document.querySelectorAll('[data-open]')) b.addEventListener('click', () => openSheet());
  document.addEventListener('keydown', (e) => {
    if (e.key === 'Escape' && document.body.classList.contains('bedside') && !sheetOpen()) bedside();
    if (e.key !== 'l' || !mayWrite() || e.ctrlKey || e.metaKey || e.altKey || sheetOpen() || /INPUT|TEXTAREA/.test(e.target.tagName)) return;
    e.preventDefault();
    openSheet();
  });
}

/* Ages never stand still: every 15 s of the server's clock, and each second while a countdown is shown. */
function tick() {
  draw();
  setTimeout(tick, store.live === 'lost' ? 1_000 : Math.max(1_000, Math.min(15_000, 15_000 / speed())));
}

wireSheet();
wireChart();
wire();
onEdit(openSheet);
listen(draw);
onDemo(changed);
whenLive(flush);
applyTheme();
tick();
startQueue();
start();
