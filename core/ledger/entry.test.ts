import fc from 'fast-check';
import t from 'tap';
import type { Entry, Json, JsonObject } from './entry.ts';
import { ENTRY_TYPES, encodeEntry, MAX_ENTRY_BYTES, parseEntry } from './entry.ts';
import { LedgerError } from './error.ts';
import { sampleEntry } from './testing.ts';

const good = encodeEntry(sampleEntry()).toString();
const parse = (text: string): Entry => parseEntry(Buffer.from(text));

t.test('an entry is its JSON without spaces, its members in one order', async (t) => {
  t.equal(
    good,
    '{"v":1,"t":"call.start","id":"call.start","ts":"2030-01-02T03:04:05.678Z",' +
      '"boot":"99999999-8888-4777-8666-555544443333","mono":12,' +
      '"sub":"rec:0d3c4f5e-1111-4222-8333-444455556666","prev":null,"actor":{"kind":"server"},' +
      '"d":{"call":"7a7a7a7a-aaaa-4bbb-8ccc-ddddeeeeffff","n":1}}',
  );
  t.strictSame(parse(good), sampleEntry());
  for (const type of ENTRY_TYPES) t.equal(parseEntry(encodeEntry(sampleEntry({ t: type }))).t, type);
  const { d, v, actor, ...rest } = sampleEntry();
  t.equal(encodeEntry({ d, ...rest, actor, v }).toString(), good, 'whatever order it is given in');
});

t.test('an entry that is written in any other way is refused', async (t) => {
  const wrong: [what: string, text: string][] = [
    ['nothing', ''],
    ['null', 'null'],
    ['a list', `[${good}]`],
    ['a string', JSON.stringify(good)],
    ['a number', '1'],
    ['cut', good.slice(0, -1)],
    ['a newline at the end', `${good}\n`],
    ['a space at the end', `${good} `],
    ['a space before', ` ${good}`],
    ['a space within', good.replace('"v":1', '"v": 1')],
    ['a newline within', good.replace(',"t"', ',\n"t"')],
    ['a byte order mark', `\ufeff${good}`],
    ['a second entry', good + good],
    ['a comment', good.replace('"v":1', '/**/"v":1')],
    ['a comma too many', good.replace('}}', '},}')],
    ['another member', good.replace('{"v":1', '{"v":1,"x":1')],
    ['another member at the end', good.replace(/}$/, ',"x":1}')],
    ['__proto__', good.replace('{"v":1', '{"v":1,"__proto__":{}')],
    ['a member twice', good.replace('{"v":1', '{"v":1,"v":1')],
    ['a member twice, differently', good.replace('"mono":12', '"mono":13,"mono":12')],
    ['a member of d twice', good.replace('"n":1', '"n":2,"n":1')],
    ['a member missing', good.replace('"mono":12,', '')],
    ['no prev', good.replace('"prev":null,', '')],
    ['two members swapped', good.replace('"v":1,"t":"call.start"', '"t":"call.start","v":1')],
    ['d before actor', good.replace(/("actor":.*),("d":.*})}$/, '$2,$1}')],
    ['1.0', good.replace('"n":1', '"n":1.0')],
    ['1e0', good.replace('"n":1', '"n":1e0')],
    ['minus zero', good.replace('"n":1', '"n":-0')],
    ['an integer that rounds', good.replace('"n":1', '"n":9007199254740993')],
    ['a fraction that rounds', good.replace('"n":1', '"n":0.1000000000000000055')],
    ['infinity', good.replace('"n":1', '"n":1e999')],
    ['an escape where none is needed', good.replace('"kind"', '"\\u006bind"')],
    ['a slash with an escape', good.replace('"n":1', '"n":"\\/"')],
    ['an escape in capitals', good.replace('"n":1', '"n":"\\u001F"')],
    ['members named 2 and 1', good.replace('"n":1', '"2":0,"1":0')],
    ['a member named 1 after another', good.replace('"n":1', '"n":1,"1":0')],
    ['version 2', good.replace('"v":1', '"v":2')],
    ['version "1"', good.replace('"v":1', '"v":"1"')],
    ['a type that nobody knows', good.replace('"t":"call.start"', '"t":"call.stop"')],
    ['a type that is no string', good.replace('"t":"call.start"', '"t":["call.start"]')],
    ['an empty id', good.replace('"id":"call.start"', '"id":""')],
    ['an id with a space', good.replace('"id":"call.start"', '"id":"call start"')],
    ['an id that is a number', good.replace('"id":"call.start"', '"id":1')],
    ['an id of 129 characters', good.replace('"id":"call.start"', `"id":"${'x'.repeat(129)}"`)],
    ['an id with another letter', good.replace('"id":"call.start"', '"id":"é"')],
    ['a time without milliseconds', good.replace('05.678Z', '05Z')],
    ['a time of another zone', good.replace('.678Z', '.678+00:00')],
    ['a time with six digits of a second', good.replace('.678Z', '.678000Z')],
    ['a time that does not exist', good.replace('2030-01-02', '2030-02-30')],
    ['a leap second', good.replace('03:04:05', '23:59:60')],
    ['hour 24', good.replace('03:04:05.678', '24:00:00.000')],
    ['a year of six digits', good.replace('2030-', '+012030-')],
    ['a time as a number', good.replace('"2030-01-02T03:04:05.678Z"', '1893553445678')],
    ['a boot in capitals', good.replace('99999999-8888', 'AAAAAAAA-8888')],
    ['a boot that is none', good.replace('99999999-8888', '99999999.8888')],
    ['a negative mono', good.replace('"mono":12', '"mono":-1')],
    ['half a mono', good.replace('"mono":12', '"mono":1.5')],
    ['a mono as a string', good.replace('"mono":12', '"mono":"12"')],
    ['a mono past 2^53', good.replace('"mono":12', '"mono":9007199254740992')],
    ['an empty sub', good.replace(/"sub":"[^"]*"/, '"sub":""')],
    ['a sub with a newline', good.replace(/"sub":"[^"]*"/, '"sub":"a\\nb"')],
    ['prev as false', good.replace('"prev":null', '"prev":false')],
    ['a short prev', good.replace('"prev":null', `"prev":"${'a'.repeat(63)}"`)],
    ['a long prev', good.replace('"prev":null', `"prev":"${'a'.repeat(65)}"`)],
    ['prev in capitals', good.replace('"prev":null', `"prev":"${'A'.repeat(64)}"`)],
    ['actor as null', good.replace('{"kind":"server"}', 'null')],
    ['actor as a list', good.replace('{"kind":"server"}', '[]')],
    ['actor as a string', good.replace('{"kind":"server"}', '"server"')],
    ['d as a list', good.replace(/"d":{.*}}$/, '"d":[]}')],
    ['d as null', good.replace(/"d":{.*}}$/, '"d":null}')],
  ];
  for (const [what, text] of wrong) {
    t.not(text, good, `${what} is another text`);
    t.throws(() => parse(text), LedgerError, what);
  }
});

t.test('bytes that are no UTF-8 are refused', async (t) => {
  const place = good.indexOf('server');
  for (const [what, bytes] of [
    ['a lone continuation', [0x80]],
    ['a cut sequence', [0xc3]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['half a surrogate pair', [0xed, 0xa0, 0x80]],
    ['past U+10FFFF', [0xf5, 0x80, 0x80, 0x80]],
  ] as const) {
    const wrong = Buffer.concat([
      Buffer.from(good.slice(0, place)),
      Buffer.from(bytes),
      Buffer.from(good.slice(place)),
    ]);
    t.throws(() => parseEntry(wrong), LedgerError, what);
  }
});

t.test('an entry has at most 16,384 bytes and 32 levels', async (t) => {
  const space = MAX_ENTRY_BYTES - encodeEntry(sampleEntry({ d: { x: '' } })).length;
  const most = encodeEntry(sampleEntry({ d: { x: 'x'.repeat(space) } }));
  t.equal(most.length, MAX_ENTRY_BYTES);
  t.doesNotThrow(() => parseEntry(most));
  t.throws(() => encodeEntry(sampleEntry({ d: { x: 'x'.repeat(space + 1) } })), LedgerError);
  t.throws(
    () => encodeEntry(sampleEntry({ d: { x: `${'x'.repeat(space - 1)}é` } })),
    LedgerError,
    'bytes count',
  );
  t.throws(() => parseEntry(Buffer.concat([most, Buffer.from(' ')])), /at most 16384/);

  const nested = (depth: number): string =>
    good.replace('"n":1', `"n":${'['.repeat(depth)}${']'.repeat(depth)}`);
  t.doesNotThrow(() => parse(nested(30)));
  for (const depth of [31, 100, 1000, 4000, 8000])
    t.throws(() => parse(nested(depth)), LedgerError, `${depth} lists`);
  const endless: JsonObject = {};
  endless.self = endless;
  t.throws(() => encodeEntry(sampleEntry({ d: endless })), LedgerError);
});

t.test('what could not be read is not written', async (t) => {
  for (const change of [
    { id: '' },
    { ts: 'now' },
    { boot: 'x' },
    { mono: -1 },
    { mono: Number.NaN },
    { sub: 'a b' },
    { prev: 'x' },
    { d: { n: Number.NaN } },
    { d: { n: -0 } },
  ] satisfies Partial<Entry>[]) {
    const name = JSON.stringify(change);
    // Not a number has no JSON and becomes null, minus zero becomes zero: then they are entered as that.
    if ('d' in change) t.doesNotThrow(() => encodeEntry(sampleEntry(change)), name);
    else t.throws(() => encodeEntry(sampleEntry(change)), LedgerError, name);
  }
});

t.test(
  'any entry comes back, and no byte of it can be changed to another valid way of saying the same',
  async (t) => {
    const values = fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.parse(JSON.stringify(value)) as Json);
    const objects = fc
      .dictionary(fc.string({ maxLength: 12, unit: 'binary' }), values, { maxKeys: 6 })
      .map((value) => JSON.parse(JSON.stringify(value)) as JsonObject);
    fc.assert(
      fc.property(objects, fc.nat(), fc.integer({ min: 1, max: 255 }), (d, where, by) => {
        const entry = sampleEntry({ d });
        const bytes = encodeEntry(entry);
        t.strictSame(parseEntry(bytes), entry);
        const changed = Buffer.from(bytes);
        const place = where % bytes.length;
        changed.writeUInt8((changed.readUInt8(place) + by) % 256, place);
        try {
          t.notSame(JSON.stringify(parseEntry(changed)), JSON.stringify(entry));
        } catch (error) {
          t.type(error, LedgerError);
        }
      }),
      { numRuns: 500 },
    );
  },
);
