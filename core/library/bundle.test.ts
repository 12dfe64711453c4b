import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { generalVerify, importJWK } from 'jose';
import t from 'tap';
import { generateLogKey, openSigner, signNote } from '#ledger';
import { beginAnew } from '#store';
import { verifyBundle } from '../../client/verify/index.ts';
import { testDatabase } from '../db/fixture.ts';
import { BundleFolder, pack, unpack } from './bundle-fixture.ts';
import { bundleReadme } from './bundle-readme.ts';

const ignore = (): void => undefined;
const db = await testDatabase(t);
const ours = await BundleFolder.open(db, t.testdir());
t.teardown(() => ours.close());
const first = (await ours.call()).call;
const second = (await ours.call()).call;
const good = await ours.bundle(first.recordingId);
const other = await ours.bundle(second.recordingId);

/** The words of the checks that failed. */
async function failing(zip: Buffer<ArrayBuffer>): Promise<string[]> {
  const report = await verifyBundle(zip);
  const failed = report.checks.filter(({ ok }) => !ok).map(({ check }) => check);
  if (report.ok !== (failed.length === 0)) throw new Error('the verdict does not fit the checks');
  return failed;
}

t.test('F38: a bundle proves its recording to a verifier that shares no code with the server', async (t) => {
  const report = await verifyBundle(good);
  t.same(
    report.checks.filter(({ ok }) => !ok),
    [],
  );
  t.equal(report.ok, true);
  t.match(report.facts, {
    recording: first.recordingId,
    caller: 'ann',
    callee: 'ben',
    origin: ours.folder.ledger.origin,
    vkeys: [ours.folder.ledger.vkey],
  });
  t.equal(report.checks.length, 17, 'every check was made');
});

t.test('F38: every download is the same bytes, also when the server was upgraded in between', async (t) => {
  t.ok((await ours.bundle(first.recordingId)).equals(good));
  const folder = await BundleFolder.open(db, t.testdir());
  t.teardown(() => folder.close());
  const { call } = await folder.call();
  const before = await folder.bundle(call.recordingId);
  await folder.upgrade();
  const later = (await folder.call()).call;
  t.ok((await folder.bundle(call.recordingId)).equals(before));
  t.equal(unpack(before).get('verify.mjs')?.toString(), 'console.log(1);\n');
  t.ok(unpack(await folder.bundle(later.recordingId)).get('verify.mjs')?.length);
});

t.test('F38: the words that every bundle carries are fixed, since a bundle never changes', (t) => {
  const facts = { recordingId: '00000000-0000-4000-8000-000000000000', origin: 'verbatim-0' };
  const hashOf = (verifier: boolean): string =>
    createHash('sha256')
      .update(bundleReadme({ ...facts, verifier }))
      .digest('hex');
  // Another text needs a version in the opening, and this one for those that were made before.
  t.same(
    [hashOf(true), hashOf(false)],
    [
      '177ffcb20010fcf34414cfffb2ccf2a05424035556efd2b2654a605853c19154',
      '1c9de5701922f5fe627fe434ddeba4f7323838eb3c0bbd695e82f0273902df5f',
    ],
  );
  t.end();
});

t.test('F38: a bundle stays the same bytes whatever becomes of the rows of its receipts', async (t) => {
  t.ok(unpack(other).has('receipts/epoch-1'));
  await db.sql`delete from head_receipts where recording_id = ${second.recordingId}`;
  t.ok((await ours.bundle(second.recordingId)).equals(other));
});

t.test('F38: a bundle stays the same bytes when the log’s key was replaced', async (t) => {
  const folder = await BundleFolder.open(db, t.testdir());
  t.teardown(() => folder.close());
  const { call } = await folder.call();
  const before = await folder.bundle(call.recordingId);
  await folder.folder.ledger.rotateKey('a test');
  t.ok((await folder.bundle(call.recordingId)).equals(before));
  const later = (await folder.call()).call;
  const report = await verifyBundle(await folder.bundle(later.recordingId));
  t.equal(report.ok, true, 'a recording of after it names both keys');
  t.same(report.facts?.vkeys, [folder.folder.ledger.vkey]);
});

t.test('any part of a bundle can be read on its own', async (t) => {
  const source = await ours.bundles.open(first.recordingId);
  t.teardown(() => source.close());
  t.equal(source.sizeBytes, good.length);
  const { length } = good;
  for (const [from, to] of [
    [0, 1],
    [29, 31],
    [1000, 70_000],
    [length - 1, length],
    [length - 70_000, length - 10],
    [0, length],
  ] as const) {
    const start = Math.max(0, from);
    const part = await buffer(source.stream(start, Math.min(to, length)));
    t.ok(part.equals(good.subarray(start, Math.min(to, length))), `${from} to ${to}`);
  }
});

t.test('a recording without an opening has no bundle', async (t) => {
  const { call } = await ours.folder.capture();
  t.equal(await ours.bundles.has(call.recordingId), false);
  await t.rejects(ours.bundles.open(call.recordingId), { code: 'no_evidence' });
});

t.test('F38: a recording of a ledger that was given up has no bundle any more', async (t) => {
  const dir = t.testdir();
  const before = await BundleFolder.open(db, dir);
  const { call } = await before.call();
  t.equal(await before.bundles.has(call.recordingId), true);
  const { paths, signerDir } = before.folder;
  await before.close();
  await rm(paths.ledger, { recursive: true });
  const said = { info: ignore, warn: ignore, error: ignore };
  await beginAnew({ paths, signerDir, version: '0', log: said, onAlarm: ignore, reason: 'a lost disk' });
  const after = await BundleFolder.open(db, dir);
  t.teardown(() => after.close());
  t.equal(await after.bundles.has(call.recordingId), false);
  await t.rejects(after.bundles.open(call.recordingId), { code: 'no_evidence' });
  const later = (await after.call()).call;
  t.equal((await verifyBundle(await after.bundle(later.recordingId))).ok, true);
});

t.test('the vCon is a JSON Web Signature that another library verifies', async (t) => {
  const jws = JSON.parse(String(unpack(good).get('vcon.json')));
  const raw = Buffer.from(ours.folder.ledger.vkey.split('+').slice(2).join('+'), 'base64').subarray(1);
  const key = await importJWK({ kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') }, 'EdDSA');
  const { payload } = await generalVerify(jws, key);
  const vcon = JSON.parse(new TextDecoder().decode(payload));
  t.match(vcon, { uuid: first.recordingId, parties: [{ name: 'ann' }, { name: 'ben' }] });
  jws.payload = `${jws.payload.slice(0, -2)}AA`;
  await t.rejects(generalVerify(jws, key));
});

t.test('F38: a byte changed in any file is found, by the manifest or by what it hides', async (t) => {
  const files = unpack(good);
  for (const [name, bytes] of files) {
    const at = name === 'manifest.json' ? bytes.indexOf('"sha256": "') + 15 : Math.floor(bytes.length / 2);
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    const zip = pack(new Map([...files, [name, changed]]), { manifest: false });
    t.not((await failing(zip)).length, 0, name);
  }
});

t.test(
  'F38: every forgery that keeps the manifest right is found by the check that it is about',
  async (t) => {
    const files = unpack(good);
    const swapped = unpack(other);
    const from = (name: string) => swapped.get(name) ?? Buffer.alloc(0);
    const json = (name: string, change: (value: Record<string, unknown>) => unknown): Buffer => {
      const value = JSON.parse(String(files.get(name)));
      change(value);
      return Buffer.from(JSON.stringify(value));
    };
    const note = String(files.get('checkpoint'));
    const forged = openSigner(generateLogKey(ours.folder.ledger.origin).skey);
    const text = note.slice(0, note.lastIndexOf('\n\n') + 1);
    const resigned = Buffer.from(signNote(text, [forged]));
    const webm = files.get('recording.webm') ?? Buffer.alloc(0);
    const cut = (name: string, bytes: number) => files.get(name)?.subarray(0, -bytes) ?? Buffer.alloc(0);
    const lastBit = (bytes: Buffer): Buffer => {
      const changed = Buffer.from(bytes);
      changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
      return changed;
    };
    const table: [string, Record<string, Buffer>, string[]][] = [
      ['audio changed', { 'recording.webm': lastBit(webm) }, ['recording']],
      ['audio of another call', { 'recording.webm': from('recording.webm') }, ['recording']],
      [
        'salt changed',
        { 'opening.json': json('opening.json', (o) => Object.assign(o, { salt: 'ab'.repeat(32) })) },
        ['recording', 'party-caller', 'party-callee'],
      ],
      [
        'caller renamed',
        { 'opening.json': json('opening.json', (o) => Object.assign(o, { caller: 'eve' })) },
        ['party-caller', 'vcon'],
      ],
      [
        'callee renamed',
        { 'opening.json': json('opening.json', (o) => Object.assign(o, { callee: 'eve' })) },
        ['party-callee', 'vcon'],
      ],
      ['opening of another recording', { 'opening.json': from('opening.json') }, ['opening']],
      [
        'size changed',
        { 'opening.json': json('opening.json', (o) => Object.assign(o, { sizeBytes: 1 })) },
        ['recording'],
      ],
      [
        'coverage changed',
        { 'coverage.json': json('coverage.json', (c) => Object.assign(c, { durationMs: 1 })) },
        ['coverage'],
      ],
      [
        'disclosure changed',
        { 'disclosure-callee.txt': Buffer.from('Nothing is recorded.') },
        ['disclosure-callee'],
      ],
      [
        'entry changed',
        {
          'entries/rec-final.json': json('entries/rec-final.json', (e) =>
            Object.assign(e, { ts: '2020-01-01T00:00:00.000Z' }),
          ),
        },
        ['rec-final'],
      ],
      [
        'entry of another recording',
        { 'entries/rec-final.json': from('entries/rec-final.json') },
        ['rec-final'],
      ],
      [
        'entry and proof of another recording',
        {
          'entries/rec-final.json': from('entries/rec-final.json'),
          'proofs/rec-final.tlog-proof': from('proofs/rec-final.tlog-proof'),
        },
        ['rec-final'],
      ],
      [
        'consent of another call',
        { 'entries/consent-caller.json': from('entries/consent-caller.json') },
        ['consent-caller'],
      ],
      [
        'consents exchanged',
        { 'entries/consent-caller.json': files.get('entries/consent-callee.json') ?? Buffer.alloc(0) },
        ['consent-caller'],
      ],
      [
        'consents exchanged with their proofs',
        {
          'entries/consent-caller.json': files.get('entries/consent-callee.json') ?? Buffer.alloc(0),
          'proofs/consent-caller.tlog-proof':
            files.get('proofs/consent-callee.tlog-proof') ?? Buffer.alloc(0),
        },
        ['party-caller'],
      ],
      [
        'proof for another index',
        {
          'proofs/rec-final.tlog-proof': Buffer.from(
            String(files.get('proofs/rec-final.tlog-proof')).replace(
              /index (\d+)/,
              (_, n) => `index ${Number(n) - 1}`,
            ),
          ),
        },
        ['rec-final'],
      ],
      ['checkpoint signed by somebody else', { checkpoint: resigned }, ['checkpoint']],
      [
        'checkpoint and key of somebody else',
        { checkpoint: resigned, 'ledger.vkeys': Buffer.from(`${forged.vkey}\n`) },
        ['consent-caller'],
      ],
      ['checkpoint of another time', { checkpoint: from('checkpoint') }, ['consent-caller']],
      ['chain cut', { 'chain/epoch-1': cut('chain/epoch-1', 64) }, ['chain', 'receipts']],
      [
        'chain changed',
        { 'chain/epoch-1': lastBit(files.get('chain/epoch-1') ?? Buffer.alloc(0)) },
        ['chain', 'receipts'],
      ],
      ['chain of another recording', { 'chain/epoch-1': from('chain/epoch-1') }, ['chain', 'receipts']],
      ['a chain too many', { 'chain/epoch-2': files.get('chain/epoch-1') ?? Buffer.alloc(0) }, ['chain']],
      ['receipt of another recording', { 'receipts/epoch-1': from('receipts/epoch-1') }, ['receipts']],
      [
        'receipt signed by somebody else',
        {
          'receipts/epoch-1': Buffer.from(
            signNote(`${String(files.get('receipts/epoch-1')).split('\n\n')[0]}\n`, [forged]),
          ),
        },
        ['receipts'],
      ],
      ['vCon of another recording', { 'vcon.json': from('vcon.json') }, ['vcon']],
      [
        'vCon without signature',
        { 'vcon.json': json('vcon.json', (v) => Object.assign(v, { signatures: [] })) },
        ['vcon'],
      ],
      ['a file that does not belong', { 'extra.txt': Buffer.from('x') }, ['zip']],
      [
        'two keys of different logs',
        { 'ledger.vkeys': Buffer.from(`${generateLogKey('elsewhere').vkey}\n${ours.folder.ledger.vkey}\n`) },
        ['log-key'],
      ],
    ];
    for (const [what, changes, expected] of table) {
      t.same(await failing(pack(new Map([...files, ...Object.entries(changes)]))), expected, what);
    }
    for (const name of files.keys()) {
      if (name === 'manifest.json' || name.startsWith('verify.') || name.startsWith('receipts/')) continue;
      const fewer = new Map([...files].filter(([each]) => each !== name));
      t.not((await failing(pack(fewer))).length, 0, `without ${name}`);
    }
  },
);

t.test('a zip that is not exactly what a bundle is, is refused', async (t) => {
  const files = unpack(good);
  const renamed = (to: string) =>
    pack(new Map([...files].map(([name, bytes]) => [name === 'README.txt' ? to : name, bytes])));
  const local = Buffer.from(good);
  local[14] = (local[14] ?? 0) ^ 1;
  // In the last central header and in both headers of the last file.
  const central = good.lastIndexOf('PK\x01\x02');
  const link = Buffer.from(good);
  link.writeUInt32LE(0o120777 * 0x10000, central + 38);
  const locked = Buffer.from(good);
  locked.writeUInt16LE(1, central + 8);
  locked.writeUInt16LE(1, good.readUInt32LE(central + 42) + 6);
  const table: [string, Buffer<ArrayBuffer>][] = [
    ['a link', link],
    ['an encrypted file', locked],
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('This is not a zip file, but a letter that is long enough.')],
    ['cut off', good.subarray(0, -1)],
    ['cut in half', good.subarray(0, good.length / 2)],
    ['bytes behind it', Buffer.concat([good, Buffer.alloc(1)])],
    ['bytes before it', Buffer.concat([Buffer.alloc(1), good])],
    ['a path that leads out', renamed('../README.txt')],
    ['an absolute path', renamed('/README.txt')],
    ['a backslash', renamed('a\\README.txt')],
    ['headers that differ', local],
    ['another zip behind it', Buffer.concat([good, other])],
  ];
  for (const [what, zip] of table) t.same(await failing(zip), ['zip'], what);
});
