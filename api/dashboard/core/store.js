/* What the page knows: the server's last answers, and whether a live stream vouches for them. */
export const store = {
  live: 'waking', // waking | live | lost | out (signed out)
  lostAt: null, // performance time at which the page stopped being live
  retryAt: null, // performance time of the next attempt
  now: null,
  readings: [],
  entries: [],
  alerts: [],
  gaps: [],
  loaded: new Set(), // which lists have come at least once
  failed: new Set(), // which lists could not be fetched the last time
  queue: [], // entries that the server has not confirmed yet
  fresh: new Set(), // ids of entries made or changed on this page: always in the list, whatever their day
};

const ears = new Set();
let due = false;

export function listen(ear) {
  ears.add(ear);
}

/* Tells every listener once, after the current work, however often it is called. */
export function changed() {
  if (due) return;
  due = true;
  queueMicrotask(() => {
    due = false;
    for (const ear of ears) ear();
  });
}

/* A reader is not offered what the server would refuse. A server that does not say who asks is an older one: then everything is offered. */
export const mayWrite = () => !['reader', 'uploader'].includes(store.now?.caller?.role);
/* Where a page can show several people, whatever writes says for whom. */
export const several = () => (store.now?.caller?.people ?? 1) > 1;
export const isLive = () => store.live === 'live';
export const insulins = () => store.now?.insulins ?? [];
export const insulin = (name) => insulins().find((x) => x.name === name) ?? null;
export const entriesAlive = () => store.entries.filter((e) => !e.deleted);
