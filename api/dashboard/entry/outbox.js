/* Entries that the server has not confirmed, kept in IndexedDB so that neither a reload nor a flat battery loses one. */
const NAME = 'iv3',
  STORE = 'outbox';
const spare = new Map(); // private windows may refuse IndexedDB: then they live as long as the page
let opening = null;

function database() {
  opening ??= new Promise((resolve) => {
    let request;
    try {
      request = indexedDB.open(NAME, 1);
    } catch {
      resolve(null);
      return;
    }
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'key' });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(null);
    request.onblocked = () => resolve(null);
  });
  return opening;
}

async function run(mode, work) {
  const db = await database();
  if (!db) return null;
  return new Promise((resolve, reject) => {
    const tx = db.transaction(STORE, mode, mode === 'readwrite' ? { durability: 'strict' } : {}),
      request = work(tx.objectStore(STORE));
    tx.oncomplete = () => resolve(request.result);
    tx.onerror = () => reject(tx.error);
    tx.onabort = () => reject(tx.error);
  });
}

/* An item: { key, body, person, tapped_ms, asked_ms, refused?, facts? }. Answers whether it outlives the page. */
export async function put(item) {
  try {
    if ((await run('readwrite', (s) => s.put(item))) !== null) {
      spare.delete(item.key);
      return true;
    }
  } catch {
    /* a full disk: keep it in memory */
  }
  spare.set(item.key, item);
  return false;
}
export async function remove(key) {
  spare.delete(key);
  try {
    await run('readwrite', (s) => s.delete(key));
  } catch {
    /* sent again later with the same key, which changes nothing */
  }
}
export async function list() {
  let items = null;
  try {
    items = await run('readonly', (s) => s.getAll());
  } catch {
    items = null;
  }
  return [...(items ?? []), ...spare.values()].sort((a, b) => a.tapped_ms - b.tapped_ms);
}
