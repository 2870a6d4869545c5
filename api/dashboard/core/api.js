/* One way to talk to the server: JSON, a time limit, and every failure as a Problem with a status (0: no answer). */
import { hearDemo } from './demo.js';

export class Problem extends Error {
  constructor(status, body = {}) {
    const errors = Array.isArray(body.errors)
      ? body.errors.map((e) => (typeof e === 'string' ? e : (e.detail ?? e.message ?? ''))).filter(Boolean)
      : [];
    // the detail repeats the first error, so only what it leaves out is added
    const told = errors.filter((e, i) => !body.detail?.includes(e) && errors.indexOf(e) === i);
    super(
      [body.detail, ...told].filter(Boolean).join(' ') ||
        body.title ||
        (status ? `The server answered ${status}.` : 'No answer from iv3.'),
    );
    this.status = status;
    this.code = body.code ?? null;
    this.facts = body.facts ?? null;
  }
  /* Worth sending again unchanged: nobody answered, or somebody on the way failed. */
  get passing() {
    return this.status === 0 || this.status >= 500 || this.status === 408 || this.status === 429;
  }
}

let signedOut = () => {};
export function onSignedOut(f) {
  signedOut = f;
}

/* Whom the address of the page names; without a name the server's default person is meant. */
export const asked = new URLSearchParams(location.search).get('person');
const OF_NOBODY = ['/v1/people', '/v1/tokens'];
export function about(path, person = asked) {
  if (!person || !path.startsWith('/v1/') || OF_NOBODY.some((p) => path.startsWith(p))) return path;
  return `${path}${path.includes('?') ? '&' : '?'}person=${encodeURIComponent(person)}`;
}

export async function call(method, path, { body, key, person, timeout = 8_000 } = {}) {
  const stop = new AbortController(),
    timer = setTimeout(() => stop.abort(), timeout),
    headers = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (key) headers['Idempotency-Key'] = key;
  try {
    const r = await fetch(about(path, person ?? asked), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: stop.signal,
      cache: 'no-store',
      credentials: 'same-origin',
    });
    hearDemo(r);
    const text = await r.text();
    let data = null;
    try {
      data = text ? JSON.parse(text) : null;
    } catch {
      if (r.ok) throw new Problem(0, { detail: 'The answer was not from iv3.' });
    }
    if (r.ok) return data;
    if (r.status === 401 && path !== '/login') signedOut();
    throw new Problem(r.status, data ?? {});
  } catch (e) {
    if (e instanceof Problem) throw e;
    throw new Problem(0);
  } finally {
    clearTimeout(timer);
  }
}

/* Every page of a list. */
export async function all(path, query) {
  const items = [];
  let cursor = null;
  do {
    const q = new URLSearchParams(query);
    if (cursor) q.set('cursor', cursor);
    const page = await call('GET', `${path}?${q}`);
    items.push(...(page?.items ?? []));
    cursor = page?.next_cursor ?? null;
  } while (cursor);
  return items;
}

/* A key nobody else makes: randomUUID exists only on https and localhost. */
export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  const x = [...b].map((n) => n.toString(16).padStart(2, '0')).join('');
  return `${x.slice(0, 8)}-${x.slice(8, 12)}-${x.slice(12, 16)}-${x.slice(16, 20)}-${x.slice(20)}`;
}
