/* The one dialog of the page: opened with a content, closed by Escape, the cross or a tap beside it. */
import { $, h, icon } from '../core/dom.js';

export const sheetOpen = () => $('#sheet').open;
export function closeSheet() {
  if ($('#sheet').open) $('#sheet').close();
}
export function showSheet(content, focus = null) {
  const sheet = $('#sheet');
  sheet.replaceChildren(content);
  if (!sheet.open) sheet.showModal();
  (focus ?? sheet.querySelector('h2')).focus();
}
export const sheetHead = (title) =>
  h(
    'div',
    { class: 'sheet-head' },
    h('h2', { id: 'sheet-h', tabindex: '-1' }, title),
    h('button', { class: 'icon-btn', type: 'button', 'aria-label': 'Close', onclick: closeSheet }, icon('i-x')),
  );
export function wireSheet() {
  const sheet = $('#sheet');
  sheet.addEventListener('click', (e) => {
    if (e.target === sheet) closeSheet();
  });
  sheet.addEventListener('close', () => sheet.replaceChildren());
}
