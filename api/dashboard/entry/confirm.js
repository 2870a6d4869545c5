/* The question before a dose that looks like a mistake: the fact, by whom, how long ago; the safe answer first and focused. */
import { h, icon } from '../core/dom.js';
import { when } from '../core/clock.js';
import { showSheet, sheetHead } from './frame.js';
import { amount } from '../core/units.js';
import { ICON, long, roleOf } from '../core/words.js';

/* Where the entry as such is in doubt, saying no ends it; otherwise the amount can be changed. */
export const ends = (facts) => ['double_long', 'recent_rapid', 'unknown_insulin'].includes(facts.reason);
/* `facts` are the server's; `back` is the safe way out, `yes` sends the same entry again, confirmed. */
export function confirmView({ facts, body, back, yes }) {
  const earlier = facts.reason === 'double_long' || facts.reason === 'recent_rapid';
  const unknown = facts.reason === 'unknown_insulin';
  const role = roleOf({ kind: 'insulin', insulin: facts.insulin ?? body.insulin });
  const fact = [
    [facts.insulin ?? body.insulin, `${amount(facts.units ?? body.units)} U`].filter(Boolean).join(' '),
    facts.time_ms != null && when(facts.time_ms),
  ]
    .filter(Boolean)
    .join(' ');
  const by = [facts.by && `logged by ${facts.by}`, facts.minutes_ago != null && `${long(facts.minutes_ago * 60_000)} ago`]
    .filter(Boolean)
    .join(', ');
  const safe = h('button', { class: 'btn primary big', type: 'button', onclick: back }, ends(facts) ? 'Do not log' : 'Change the amount');
  showSheet(
    h(
      'div',
      { class: 'sheet-in confirm' },
      sheetHead(facts.title || 'Check this entry'),
      h('p', { class: 'big-line' }, facts.line),
      h('div', { class: `fact c-${role}` }, icon(ICON[role]), h('b', {}, fact), earlier && by && h('span', {}, by)),
      h(
        'p',
        { class: 'muted' },
        earlier
          ? 'If this is the same injection, do not log it again. A second entry counts both.'
          : unknown
            ? 'Logged like this it is in the list, and in no sum: iv3 does not know how it acts.'
            : 'Nothing is logged until you answer.',
      ),
      safe,
      h(
        'button',
        { class: 'btn quiet', type: 'button', onclick: yes },
        earlier ? `Log a second dose, ${amount(body.units)} U` : unknown ? `Log ${body.insulin} ${amount(body.units)} U` : `Log ${amount(body.units)} U`,
      ),
    ),
    safe,
  );
}
