/* Builds the DOM from values; text is always text, so a note can never become markup. */
export const $ = (selector) => document.querySelector(selector);

export function h(tag, props = {}, ...kids) {
  const el = document.createElement(tag);
  for (const [k, v] of Object.entries(props)) {
    if (v === false || v == null) continue;
    if (k.startsWith('on')) el.addEventListener(k.slice(2), v);
    else if (k === 'class') el.className = v;
    else if (k === 'data') Object.assign(el.dataset, v);
    else if (k === 'value') el.value = v;
    else el.setAttribute(k, v === true ? '' : v);
  }
  el.append(...kids.flat(3).filter((x) => x != null && x !== false));
  return el;
}

export function icon(id, cls) {
  const ns = 'http://www.w3.org/2000/svg',
    svg = document.createElementNS(ns, 'svg'),
    use = document.createElementNS(ns, 'use');
  use.setAttribute('href', `#${id}`);
  svg.setAttribute('aria-hidden', 'true');
  if (cls) svg.setAttribute('class', cls);
  svg.append(use);
  return svg;
}

const keys = new WeakMap();

/* Fills `el` only when `key` differs from the last time, and puts the focus back on the element with the same data-k. */
export function fill(el, key, build) {
  const text = JSON.stringify(key);
  if (keys.get(el) === text) return false;
  keys.set(el, text);
  const held = el.contains(document.activeElement) ? document.activeElement.dataset.k : null;
  el.replaceChildren(...[build()].flat(3).filter((x) => x != null && x !== false));
  if (held) [...el.querySelectorAll('[data-k]')].find((x) => x.dataset.k === held)?.focus({ preventScroll: true });
  return true;
}

export function toast(text, undo = null) {
  const el = h(
    'div',
    { class: 'toast' },
    h('span', {}, text),
    undo &&
      h(
        'button',
        {
          type: 'button',
          onclick: () => {
            el.remove();
            undo();
          },
        },
        'Undo',
      ),
  );
  $('#toasts').replaceChildren(el);
  setTimeout(() => el.remove(), 10_000);
}

let memory = null;
try {
  memory = window.localStorage;
  memory.getItem('iv3.unit');
} catch {
  memory = null;
}
export const recall = (name, otherwise) => memory?.getItem(`iv3.${name}`) ?? otherwise;
export function keep(name, value) {
  try {
    memory?.setItem(`iv3.${name}`, value);
  } catch {
    /* a full store only forgets a switch */
  }
}
