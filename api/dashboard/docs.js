/* The API in words, made from the document that the server states about itself; nothing here knows a route by name. */
import { hearDemo, wearMark } from './core/demo.js';
import { $, h } from './core/dom.js';
import { example, fields, resolve, saysOf, variants, words } from './schema_words.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
const MAY = {
  now: 'any token',
  reader: 'reader, writer or owner',
  writer: 'writer or owner',
  uploader: 'uploader or owner',
  owner: 'owner',
};

/* `code` in a sentence is set as code. */
const prose = (text) => text.split('`').map((part, i) => (i % 2 ? h('code', {}, part) : part));

function operations(doc) {
  return Object.entries(doc.paths).flatMap(([path, by]) =>
    METHODS.filter((m) => by[m]).map((m) => ({ method: m.toUpperCase(), path, tag: by[m].tags?.[0] ?? 'other', ...by[m] })),
  );
}
const anchor = (op) => op.operationId ?? `${op.method}${op.path}`.replace(/\W+/g, '-');

function fieldList(rows) {
  return h(
    'ul',
    { class: 'fields' },
    rows.map((r) =>
      h(
        'li',
        {},
        h('div', {}, h('code', {}, r.name), ' ', h('span', { class: r.required ? 'needed' : 'muted' }, r.required ? 'needed' : 'optional')),
        h('div', { class: 'kind' }, r.place && `${r.place}; `, r.type),
        r.says && h('div', { class: 'says' }, prose(r.says)),
      ),
    ),
  );
}

function parameters(op, doc) {
  if (!op.parameters?.length) return null;
  const rows = op.parameters.map((p) => ({
    name: p.name,
    required: p.required,
    place: { path: 'in the path', query: 'in the query', header: 'a header' }[p.in],
    type: words(p.schema, doc),
    says: p.description || saysOf(p.schema, doc),
  }));
  return [h('h4', {}, 'Parameters'), fieldList(rows)];
}

const bodyOf = (op) => op.requestBody?.content?.['application/json']?.schema;
function body(op, doc) {
  const schema = bodyOf(op);
  if (!schema) return null;
  const kinds = variants(schema, doc);
  return [
    h('h4', {}, 'Body'),
    kinds.map((k) => [
      k.description && h('p', { class: 'variant' }, kinds.length > 1 ? h('b', {}, prose(k.description)) : prose(k.description)),
      fieldList(fields(k, doc)),
    ]),
  ];
}

function answers(op, doc) {
  const rows = Object.entries(op.responses ?? {});
  const item = ([status, r]) => {
    const json = resolve(r.content?.['application/json']?.schema, doc),
      said = fields(json, doc);
    return h('li', {}, h('code', {}, status), ` ${r.description}`, said.length > 0 && fieldList(said));
  };
  const good = rows.filter(([s]) => s < '400'),
    bad = rows.filter(([s]) => s >= '400');
  return [
    h('h4', {}, 'Answers'),
    h('ul', { class: 'answers' }, good.map(item)),
    bad.length > 0 &&
      h('p', { class: 'muted' }, 'Or a problem: ', bad.map(([s, r], i) => [i ? ', ' : '', h('code', {}, s), ` ${r.description}`]), '.'),
  ];
}

/* A request as it is typed in a shell: the least that the server accepts. */
function curl(op, doc) {
  const needed = (op.parameters ?? []).filter((p) => p.required),
    filled = (p) => words(p.schema, doc).match(/^one of ([^,]+)/)?.[1] ?? p.name.toUpperCase();
  const path = needed.filter((p) => p.in === 'path').reduce((at, p) => at.replace(`{${p.name}}`, filled(p)), op.path),
    query = needed.filter((p) => p.in === 'query').map((p) => `${p.name}=${filled(p)}`);
  const schema = bodyOf(op),
    streams = /event-stream|server-sent/i.test(JSON.stringify([op.summary, op.responses]));
  const lines = [
    `curl${streams ? ' -N' : ''}${op.method === 'GET' ? '' : ` -X ${op.method}`} '${location.origin}${path}${query.length ? `?${query.join('&')}` : ''}'`,
    `  -H 'Authorization: Bearer YOUR_TOKEN'`,
    ...needed.filter((p) => p.in === 'header').map((p) => `  -H "${p.name}: $(uuidgen)"`),
    ...(schema
      ? [`  -H 'Content-Type: application/json'`, `  -d '${JSON.stringify(example(variants(schema, doc)[0], doc)).replaceAll("'", '\u2019')}'`]
      : []),
  ];
  return [h('h4', {}, 'Example'), h('pre', {}, h('code', {}, lines.join(' \\\n')))];
}

function operation(op, doc) {
  return h(
    'article',
    { class: 'op', id: anchor(op), 'aria-labelledby': `${anchor(op)}-h` },
    h('h3', { id: `${anchor(op)}-h` }, h('span', { class: 'method', data: { m: op.method } }, op.method), ' ', h('code', {}, op.path)),
    h('p', { class: 'sum' }, prose(op.summary ?? '')),
    op.description && h('p', {}, prose(op.description)),
    h('p', { class: 'muted' }, `For ${MAY[op['x-role']] ?? op['x-role'] ?? 'everybody'}.`),
    parameters(op, doc),
    body(op, doc),
    answers(op, doc),
    curl(op, doc),
  );
}

function show(doc) {
  const ops = operations(doc),
    tags = [...new Set(ops.map((op) => op.tag))],
    title = (tag) => tag[0].toUpperCase() + tag.slice(1);
  const of = (tag) => ops.filter((op) => op.tag === tag);
  $('#groups').replaceChildren(
    ...tags.map((tag) =>
      h(
        'section',
        { class: 'card group', 'aria-labelledby': `tag-${tag}` },
        h('h2', { id: `tag-${tag}` }, title(tag)),
        of(tag).map((op) => operation(op, doc)),
      ),
    ),
  );
  const link = (op) =>
    h('li', {}, h('a', { href: `#${anchor(op)}` }, h('span', { class: 'method', data: { m: op.method } }, op.method), h('code', {}, op.path)));
  const contents = $('#contents');
  contents.open = matchMedia('(min-width: 1000px)').matches; // on a phone the text comes first
  contents.append(
    h('p', { class: 'muted' }, `${doc.info?.title ?? 'iv3'} ${doc.info?.version ?? ''}, ${ops.length} operations`),
    ...tags.map((tag) => h('div', {}, h('a', { class: 'tag', href: `#tag-${tag}` }, title(tag)), h('ul', {}, of(tag).map(link)))),
  );
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

async function load() {
  const says = $('#docs-says');
  try {
    const answer = await fetch('/openapi.json', { cache: 'no-store' });
    hearDemo(answer);
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
  } catch {
    says.textContent = 'The description could not be fetched from this iv3. Reload the page to try again.';
  }
}

wearMark($('#bars'));
load();
