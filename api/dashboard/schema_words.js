/* JSON Schema in words: what a value may be, the fields of an object, and an example of it. */

/* The schema that a reference names, with what stands beside the reference. */
export function resolve(schema, doc) {
  if (!schema?.$ref) return schema ?? {};
  const { $ref, ...beside } = schema,
    found = $ref
      .replace(/^#\//, '')
      .split('/')
      .reduce((at, part) => at?.[part], doc);
  return { ...resolve(found, doc), ...beside };
}

/* Without the null that only says that a field may be left out. */
function plain(schema, doc) {
  const s = resolve(schema, doc);
  if (!s.anyOf) return { s, optional: false };
  const some = s.anyOf.filter((x) => x.type !== 'null');
  const optional = some.length < s.anyOf.length;
  if (some.length !== 1) return { s: { ...s, anyOf: some }, optional };
  const { anyOf, ...beside } = s;
  return { s: { ...plain(some[0], doc).s, ...beside }, optional };
}

const BEYOND = 1e12; // a bound of epoch milliseconds says nothing to a reader
function bounds(s) {
  const low = s.minimum ?? s.ge,
    high = s.maximum ?? s.le,
    told = [];
  if (s.exclusiveMinimum != null) told.push(`above ${s.exclusiveMinimum}`);
  if (low != null && high != null && high < BEYOND) told.push(`${low} to ${high}`);
  else if (high != null && high < BEYOND) told.push(`at most ${high}`);
  else if (low != null && high == null) told.push(`at least ${low}`);
  if (s.maxLength != null) told.push(s.minLength ? `${s.minLength} to ${s.maxLength} characters` : `at most ${s.maxLength} characters`);
  if (s.maxItems != null) told.push(s.minItems ? `${s.minItems} to ${s.maxItems} of them` : `at most ${s.maxItems} of them`);
  return told;
}

/* "number, above 0, at most 300": what one value may be. */
export function words(schema, doc) {
  const { s } = plain(schema, doc);
  let what;
  if (s.const != null) what = [JSON.stringify(s.const)];
  else if (s.enum) what = [`one of ${s.enum.join(', ')}`];
  else if (s.anyOf) what = [[...new Set(s.anyOf.map((x) => words(x, doc)))].join(' or ')];
  else if (s.type === 'array') what = [`list of ${s.items ? listed(s.items, doc) : 'values'}`];
  else what = [s.type ?? 'any value'];
  what.push(...bounds(s));
  const usual = s.default;
  if (usual != null && typeof usual !== 'object') what.push(`default ${usual === '' ? 'empty' : usual}`);
  return what.join(', ');
}
function listed(items, doc) {
  const s = resolve(items, doc);
  return s.properties ? 'objects' : words(items, doc);
}
export const saysOf = (schema, doc) => plain(schema, doc).s.description ?? '';

/* The kinds of a body: one, or several told apart by a field. */
export function variants(schema, doc) {
  const s = resolve(schema, doc);
  return (s.oneOf ?? [s]).map((x) => resolve(x, doc));
}

/* The fields of an object, and below them those of objects inside. */
export function fields(schema, doc, prefix = '') {
  const s = resolve(schema, doc),
    needed = new Set(s.required ?? []);
  return Object.entries(s.properties ?? {}).flatMap(([name, shape]) => {
    const inner = plain(shape, doc).s,
      of = inner.type === 'array' ? resolve(inner.items, doc) : inner,
      path = prefix + name;
    const type = of.properties && inner.type !== 'array' ? 'object' : words(shape, doc);
    const inside = of.properties ? fields(of, doc, `${path}${inner.type === 'array' ? '[].' : '.'}`) : [];
    return [{ name: path, required: needed.has(name), type, says: saysOf(shape, doc) }, ...inside];
  });
}

const LIKE = {
  insulin: 'Humalog',
  units: 4.5,
  grams: 45,
  text: 'Played football',
  name: 'Kitchen tablet',
  minutes: 30,
  revision: 1,
  duration_min: 300,
};
function exampleOf(name, schema, doc) {
  const { s } = plain(schema, doc);
  if (name in LIKE) return LIKE[name];
  if (s.const != null) return s.const;
  if (s.enum) return s.enum[0];
  if (s.type === 'array') return [exampleOf('', s.items ?? {}, doc)];
  if (resolve(s, doc).properties) return example(s, doc);
  if (/time|expires/.test(name)) return '2026-11-24T12:00:00Z';
  if (s.type === 'boolean') return true;
  return s.type === 'string' ? 'text' : Math.max(1, s.minimum ?? 1);
}
/* The least that is accepted. */
export function example(schema, doc) {
  const s = resolve(schema, doc),
    out = {};
  for (const name of s.required ?? []) out[name] = exampleOf(name, s.properties?.[name], doc);
  if (s.properties?.glucose_mmol && !('revision' in (s.properties ?? {}))) out.glucose_mmol = 5.8; // one of the two units is needed
  return out;
}
