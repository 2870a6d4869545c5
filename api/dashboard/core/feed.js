/* Keeps the store in step with the server: the stream says when, fetches say what, silence means not live. */
import { about, all, call, onSignedOut } from './api.js';
import { anchor, DAY, HOUR, MIN, now, setZone, slept, stamp } from './clock.js';
import { changed, store } from './store.js';
import { unitAsked } from './units.js';

const SILENCE = 25_000,
  WAITS = [1_000, 2_000, 5_000, 10_000, 20_000, 30_000];
const LISTS = ['readings', 'entries', 'alerts'];
let stream = null,
  watchdog = 0,
  retry = 0,
  tries = 0,
  heard = 0,
  wanted = new Set(),
  busy = false,
  generation = 0,
  gapsKey = '';
let onLive = () => {};
export function whenLive(f) {
  onLive = f;
}

function setLive(state) {
  if (state !== 'live' && store.live === 'live') store.lostAt = performance.now();
  if (state === 'live') {
    store.lostAt = null;
    store.retryAt = null;
  }
  store.live = state;
  changed();
}

function listenFor() {
  heard = performance.now();
  clearTimeout(watchdog);
  watchdog = setTimeout(fail, SILENCE);
}

function hangUp() {
  generation += 1;
  clearTimeout(watchdog);
  clearTimeout(retry);
  stream?.close();
  stream = null;
}

function fail() {
  hangUp();
  if (store.live === 'out') return;
  const wait = WAITS[Math.min(tries, WAITS.length - 1)];
  tries += 1;
  store.retryAt = performance.now() + wait;
  setLive('lost');
  retry = setTimeout(connect, wait);
}

/* Opens the stream; nothing on the page counts as live until `hello` and a fresh /v1/now have both come. */
function connect() {
  hangUp();
  store.retryAt = null;
  if (store.live === 'live') setLive('waking');
  changed();
  const mine = generation;
  stream = new EventSource(about('/v1/stream'));
  listenFor();
  stream.addEventListener('hello', async () => {
    if (mine !== generation) return;
    listenFor();
    if (!(await refreshNow()) || mine !== generation) {
      if (mine === generation) fail();
      return;
    }
    tries = 0;
    setLive('live');
    want(...LISTS, 'full');
    onLive();
  });
  stream.addEventListener('ping', () => mine === generation && listenFor());
  stream.addEventListener('change', (e) => {
    if (mine !== generation) return;
    listenFor();
    let what = null;
    try {
      what = JSON.parse(e.data).changed;
    } catch {
      what = null;
    }
    want('now', ...(Array.isArray(what) ? what : LISTS));
  });
  stream.onerror = async () => {
    if (mine !== generation) return;
    fail(); // at once: a broken stream vouches for nothing
    await refreshNow(); // an EventSource cannot tell 401 from a dead server, this can
  };
}

let asked = 0,
  answered = 0; // requests for `now` are numbered: the server's clock may be put right in between, so its time orders nothing
async function refreshNow() {
  const at = stamp(),
    mine = ++asked;
  try {
    const q = new URLSearchParams(unitAsked());
    const n = await call('GET', `/v1/now${q.size ? `?${q}` : ''}`);
    if (mine < answered) return true; // a late answer
    answered = mine;
    anchor(n.time_ms, n.speed, at);
    setZone(n.zone);
    store.now = n;
    if (n.reading) merge([n.reading]);
    if (store.live === 'out') {
      setLive('waking');
      connect();
    }
    changed();
    return true;
  } catch {
    return false;
  }
}

function merge(items) {
  const from = now() - 25 * HOUR,
    by = new Map(store.readings.map((r) => [r.time_ms, r]));
  for (const r of items) if (r.glucose_mgdl >= 39) by.set(r.time_ms, r); // 1 to 38 are sensor codes, not glucose
  store.readings = [...by.values()].filter((r) => r.time_ms > from).sort((a, b) => a.time_ms - b.time_ms);
}

/* A hole that is still open has no end. */
function hole(x) {
  const ms = (k) => x[`${k}_ms`] ?? (x[k] ? Date.parse(x[k]) : null);
  return { from_ms: ms('from'), to_ms: x.open ? null : ms('to') };
}

const holes = async () => (await all('/v1/gaps', { from: Math.floor(now() - DAY), to: Math.ceil(now() + HOUR) })).map(hole);
async function gaps() {
  store.gaps = await holes();
}
async function readings(full) {
  const t = now(),
    q = (from) => ({ from: Math.floor(from), to: Math.ceil(t + HOUR) });
  const gaps = await holes();
  const key = JSON.stringify(gaps.filter((x) => x.to_ms != null).map((x) => [x.from_ms, x.to_ms]));
  const last = store.readings.at(-2)?.time_ms ?? 0; // the newest may only have come with /v1/now
  if (full || key !== gapsKey || !store.loaded.has('readings')) {
    const items = await all('/v1/readings', q(t - DAY));
    store.readings = [];
    merge([...items, store.now?.reading].filter(Boolean));
  } else merge(await all('/v1/readings', q(Math.max(t - DAY, Math.min(t - 30 * MIN, last)))));
  store.gaps = gaps;
  store.failed.delete('gaps');
  gapsKey = key;
}
const entries = async () => {
  store.entries = await all('/v1/entries', { from: Math.floor(now() - 2 * DAY), to: Math.ceil(now() + HOUR), deleted: 1 });
};
const alerts = async () => {
  store.alerts = await all('/v1/alerts', { from: Math.floor(now() - DAY), to: Math.ceil(now() + HOUR), ...unitAsked() });
};

/* Asks for parts to be fetched; calls that come while a fetch runs are put together into the next one. */
export async function want(...what) {
  for (const w of what) wanted.add(w);
  if (busy) return;
  busy = true;
  try {
    while (wanted.size) {
      const w = wanted;
      wanted = new Set();
      if (w.has('now') && !(await refreshNow()) && store.live === 'live') fail();
      const jobs = [
        ['readings', () => readings(w.has('full'))],
        ['gaps', w.has('readings') ? null : gaps],
        ['entries', entries],
        ['alerts', alerts],
      ].filter(([k, job]) => job && w.has(k));
      await Promise.all(
        jobs.map(async ([k, job]) => {
          try {
            await job();
            store.loaded.add(k);
            store.failed.delete(k);
          } catch {
            store.failed.add(k);
          }
          changed();
        }),
      );
    }
  } finally {
    busy = false;
  }
}

/* While nothing arrives, nothing is told of either: an open hole has to be asked for. */
const silent = () => now() - (store.readings.at(-1)?.time_ms ?? now()) >= 10 * MIN;

/* After sleep, a hidden tab or a new network, what is on the page has to be confirmed again. */
function wake() {
  if (document.visibilityState === 'hidden') return;
  if (store.live === 'out') {
    refreshNow();
    return;
  }
  if (store.live === 'live' && performance.now() - heard < 12_000 && !slept()) return;
  if (store.live === 'waking' && performance.now() - heard < 3_000) return; // an attempt is under way
  tries = 0;
  if (store.live === 'live') setLive('waking');
  connect();
}

export function start() {
  onSignedOut(leave);
  window.addEventListener('online', wake);
  window.addEventListener('focus', wake);
  window.addEventListener('pageshow', (e) => {
    if (e.persisted) {
      store.live = 'waking';
      connect();
    }
  });
  window.addEventListener('offline', () => {
    if (store.live === 'live') fail();
  });
  document.addEventListener('visibilitychange', wake);
  setInterval(() => {
    if (store.live === 'live') {
      if (slept()) wake();
      else want('now', ...store.failed, ...(silent() ? ['gaps'] : []));
    }
  }, 30_000);
  connect();
}
/* Signed out: what was seen before may stay, unless somebody signed out to leave the page to others. */
export function leave({ wipe = false } = {}) {
  hangUp();
  if (wipe) Object.assign(store, { now: null, readings: [], entries: [], alerts: [], gaps: [] });
  setLive('out');
}
export function tryNow() {
  tries = 0;
  if (store.live === 'out') setLive('waking');
  connect();
}
