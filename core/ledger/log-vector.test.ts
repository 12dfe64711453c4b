import { readFileSync } from 'node:fs';
import t from 'tap';
import { formatCheckpoint, parseCheckpoint } from './checkpoint.ts';
import { encodeEntry, parseEntry } from './entry.ts';
import { LedgerError } from './error.ts';
import { commitment, mark, partyMark } from './marks.ts';
import { openNote, openSigner, openVerifier, signNote } from './note.ts';
import { verifyInclusion } from './proofs.ts';
import { parseReceipt, receiptText } from './receipt.ts';
import { at, flipped } from './testing.ts';
import { decodeEntryBundle, encodeEntryBundle } from './tiles.ts';
import { formatProof, parseProof } from './tlog-proof.ts';
import { leafHash, rootOf } from './tree.ts';

// Made by vectors/make-log.py from FORMAT.md alone.
const vector = JSON.parse(readFileSync(new URL('./vectors/log-v1.json', import.meta.url), 'utf8')) as {
  skey: string;
  vkey: string;
  origin: string;
  recording: string;
  call: string;
  entries: string[];
  leaves: string[];
  root: string;
  bundle: string;
  checkpoint: string;
  proofs: string[];
  head: string;
  receipt: string;
  salt: string;
  marks: Record<string, { value: string; mark: string }>;
  sha256: string;
  sha512: string;
  commitment: string;
};
const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const entries = vector.entries.map((entry) => Buffer.from(entry));
const leaves = vector.leaves.map(hex);
const verifier = openVerifier(vector.vkey);
const salt = hex(vector.salt);

t.test('F33: a log that another program made is read, and made alike', async (t) => {
  t.equal(openSigner(vector.skey).vkey, vector.vkey);
  for (const [n, bytes] of entries.entries()) {
    t.equal(encodeEntry(parseEntry(bytes)).toString(), at(vector.entries, n));
    t.equal(leafHash(bytes).toString('hex'), at(vector.leaves, n));
  }
  const bundle = Buffer.from(vector.bundle, 'base64');
  t.ok(encodeEntryBundle(entries).equals(bundle));
  t.strictSame(decodeEntryBundle(bundle, entries.length), entries);
  const root = rootOf(leaves);
  t.equal(root.toString('hex'), vector.root);
  const text = formatCheckpoint({ origin: vector.origin, size: entries.length, root });
  t.equal(signNote(text, [openSigner(vector.skey)]), vector.checkpoint);
  t.equal(openNote(vector.checkpoint, [verifier]).text, text);
  for (const [index, proof] of vector.proofs.entries()) {
    const { hashes, checkpoint } = parseProof(proof);
    t.equal(formatProof({ index, hashes, checkpoint }), proof);
    const head = parseCheckpoint(openNote(checkpoint, [verifier]).text);
    t.doesNotThrow(() =>
      verifyInclusion({ index, size: head.size, leaf: at(leaves, index), proof: hashes, root: head.root }),
    );
  }
});

t.test('F36: a receipt that another program made is read, and made alike', async (t) => {
  const { text } = openNote(vector.receipt, [verifier]);
  const facts = {
    origin: vector.origin,
    recordingId: vector.recording,
    callId: vector.call,
    epoch: 1,
    seq: 60,
    head: vector.head,
    at: '2030-01-02T03:04:05.678Z',
  };
  t.strictSame(parseReceipt(text), facts);
  t.equal(receiptText(facts), text);
  t.throws(() => parseCheckpoint(text), LedgerError, 'a receipt is no checkpoint');
  t.throws(() => parseReceipt(openNote(vector.checkpoint, [verifier]).text), LedgerError);

  const lines = text.split('\n');
  const wrong: [what: string, text: string][] = [
    ['nothing', ''],
    ['no last newline', text.slice(0, -1)],
    ['a line more', `${text}x\n`],
    ['an empty line more', `${text}\n`],
    ['CRLF', text.replaceAll('\n', '\r\n')],
    ['another version', text.replace('/v1', '/v2')],
    ['no origin', lines.with(1, '').join('\n')],
    ['its own name for an origin', lines.with(1, at(lines, 0)).join('\n')],
    ['another id of a recording', lines.with(2, 'x').join('\n')],
    ['an id in capitals', lines.with(3, at(lines, 3).toUpperCase()).join('\n')],
    ['a negative epoch', lines.with(4, '-1').join('\n')],
    ['an epoch with a leading zero', lines.with(4, '01').join('\n')],
    ['half a seq', lines.with(5, '1.5').join('\n')],
    ['no seq', lines.with(5, '').join('\n')],
    ['a short head', lines.with(6, vector.head.slice(1)).join('\n')],
    ['a head in capitals', lines.with(6, vector.head.toUpperCase()).join('\n')],
    ['another way to write the time', lines.with(7, '2030-01-02T03:04:05Z').join('\n')],
    ['a time that does not exist', lines.with(7, '2030-02-30T03:04:05.678Z').join('\n')],
    ['no time', lines.with(7, '').join('\n')],
    ...lines
      .slice(0, 8)
      .map((_, n): [string, string] => [`line ${n} missing`, lines.toSpliced(n, 1).join('\n')]),
  ];
  for (const [what, text] of wrong) t.throws(() => parseReceipt(text), LedgerError, what);
  for (const change of [
    { epoch: -1 },
    { seq: 0.5 },
    { head: 'x' },
    { origin: 'a\nb' },
    { recordingId: 'x' },
    { at: '' },
  ])
    t.throws(() => receiptText({ ...facts, ...change }), LedgerError, JSON.stringify(change));
});

t.test('F34: marks and the commitment are those of another program', async (t) => {
  for (const [kind, { value, mark: expected }] of Object.entries(vector.marks))
    t.equal(mark(salt, kind, value), expected, kind);
  const party = at(Object.values(vector.marks), 0);
  t.equal(partyMark(salt, party.value), party.mark);
  const [sha256, sha512] = [hex(vector.sha256), hex(vector.sha512)];
  t.equal(commitment(salt, sha256, sha512), vector.commitment);

  const others = new Set([
    commitment(flipped(salt), sha256, sha512),
    commitment(salt, flipped(sha256), sha512),
    commitment(salt, sha256, flipped(sha512)),
    mark(flipped(salt), 'party', party.value),
    mark(salt, 'party', `${party.value} `),
    mark(salt, 'device', party.value),
    vector.commitment,
    party.mark,
  ]);
  t.equal(others.size, 8, 'another salt, kind, value or digest gives another one');
  for (const wrong of [salt.subarray(1), Buffer.concat([salt, salt]), Buffer.alloc(0)]) {
    t.throws(() => mark(wrong, 'party', 'x'), LedgerError);
    t.throws(() => commitment(wrong, sha256, sha512), LedgerError);
  }
  t.throws(() => commitment(salt, sha512, sha256), LedgerError);
  t.throws(() => commitment(salt, sha256.subarray(1), sha512), LedgerError);
});
