import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { parseCheckpoint } from './checkpoint.ts';
import { LedgerError } from './error.ts';
import type { NoteSigner } from './note.ts';
import { generateLogKey, openNote, openSigner, openVerifier, signNote } from './note.ts';
import { at } from './testing.ts';

const vectors = JSON.parse(readFileSync(new URL('./vectors/notes.json', import.meta.url), 'utf8')) as {
  go: {
    skey: string;
    vkey: string;
    otherVkey: string;
    text: string;
    signature: string;
    otherSignature: string;
    badVkeys: Record<string, string>;
  };
  sumdb: {
    vkey: string;
    origin: string;
    heads: { size: number; root: string; signatures: string }[];
  };
  c2sp: { note: string; checkpoint: string };
};
const { go, sumdb, c2sp } = vectors;
const peter = openVerifier(go.vkey);
const enoch = openVerifier(go.otherVkey);

/** A signer that signs whatever it is told to with whatever it is told to sign with. */
function forged(name: string, keyHash: string, signature: Buffer): NoteSigner {
  return { name, keyHash, vkey: '', sign: () => signature };
}

t.test('F33: a note is signed and opened as by Go’s sumdb/note', async (t) => {
  t.equal(signNote(go.text, [openSigner(go.skey)]), `${go.text}\n${go.signature}`);
  t.equal(openSigner(go.skey).vkey, go.vkey);
  const both = `${go.text}\n${go.signature}${go.otherSignature}`;
  t.strictSame(openNote(both, [peter]), { text: go.text, verified: [peter] }, 'the other key is ignored');
  t.strictSame(openNote(both, [enoch]).verified, [enoch]);
  t.strictSame(openNote(both, [enoch, peter]).verified, [peter, enoch], 'in the order of the lines');
  t.throws(() => openNote(both, []), LedgerError, 'no key, no text');
});

t.test('F33: heads of a real log are accepted, and no other text under their signatures', async (t) => {
  const verifier = openVerifier(sumdb.vkey);
  t.equal(verifier.name, 'sum.golang.org');
  for (const { size, root, signatures } of sumdb.heads) {
    const text = `${sumdb.origin}\n${size}\n${root}\n`;
    const opened = openNote(`${text}\n${signatures}`, [verifier]);
    t.equal(opened.text, text);
    const head = parseCheckpoint(opened.text);
    t.strictSame([head.origin, head.size, head.root.toString('base64')], [sumdb.origin, size, root]);
    const wrong = text.replace(String(size), String(size + 1));
    t.throws(() => openNote(`${wrong}\n${signatures}`, [verifier]), LedgerError);
  }
});

t.test(
  'the examples of C2SP signed-note and tlog-checkpoint are notes, by keys that nobody gave us',
  async (t) => {
    for (const note of [c2sp.note, c2sp.checkpoint])
      t.throws(() => openNote(note, [peter, enoch]), /no known key/);
    const [text = ''] = c2sp.checkpoint.split('\n\n');
    t.equal(parseCheckpoint(`${text}\n`).size, 20852163);
  },
);

t.test('keys: what Go refuses is refused, every part and every change of one character', async (t) => {
  for (const [what, vkey] of Object.entries(go.badVkeys))
    t.throws(() => openVerifier(vkey), LedgerError, what);
  for (const [key, open] of [
    [go.vkey, openVerifier],
    [go.skey, openSigner],
  ] as const) {
    let tried = 0;
    for (let from = 0; from < key.length; from += 1) {
      for (let to = from + 1; to <= key.length; to += 1) {
        if (to - from === key.length) continue;
        t.throws(() => open(key.slice(from, to)), LedgerError);
        tried += 1;
      }
      const changed = `${key.slice(0, from)}${String.fromCharCode(key.charCodeAt(from) + 1)}${key.slice(from + 1)}`;
      t.throws(() => open(changed), LedgerError, `character ${from}`);
    }
    t.ok(tried > 2000);
    for (const wrong of ['', ` ${key}`, `${key}\n`, `${key}=`, key.replace('+', ' ')])
      t.throws(() => open(wrong), LedgerError, JSON.stringify(wrong));
  }
});

t.test('a private key is never quoted in what is said about it', async (t) => {
  for (const wrong of [`${go.skey}x`, go.skey.replace('c74f20a3', 'c74f20a4'), go.skey.slice(8)]) {
    const secret = go.skey.split('+')[4]?.slice(0, 20) ?? '';
    try {
      openSigner(wrong);
      t.fail('opened');
    } catch (error) {
      t.type(error, LedgerError);
      t.notMatch(String(error), secret);
    }
  }
  t.notMatch(JSON.stringify(openSigner(go.skey)), 'AYEKFALVFGyNhPJEMzD1QIDr');
});

t.test('a new key signs what its public half verifies, and no two are alike', async (t) => {
  const [one, two] = [generateLogKey('a.example/log'), generateLogKey('a.example/log')];
  t.not(one.skey, two.skey);
  const signer = openSigner(one.skey);
  t.equal(signer.vkey, one.vkey);
  // The base64 itself may have plus signs.
  const [name = '', hash = '', ...body] = one.vkey.split('+');
  const typed = Buffer.from(body.join('+'), 'base64');
  const input = Buffer.concat([Buffer.from(`${name}\n`), typed]);
  t.equal(hash, createHash('sha256').update(input).digest('hex').slice(0, 8));
  t.equal(typed.length, 33);
  t.equal(typed[0], 1);
  const note = signNote('x\n', [signer]);
  t.strictSame(openNote(note, [openVerifier(one.vkey)]).text, 'x\n');
  t.throws(() => openNote(note, [openVerifier(two.vkey)]), LedgerError);
  const keys = Array.from({ length: 60 }, () => generateLogKey('a.example/log'));
  // About half of all keys have a plus sign in their base64: with this many there are always some of each kind.
  t.ok(
    keys.some(({ vkey }) => vkey.split('+').length > 3) &&
      keys.some(({ vkey }) => vkey.split('+').length === 3),
  );
  for (const { skey, vkey } of keys) t.equal(openVerifier(openSigner(skey).vkey).vkey, vkey);
  for (const name of ['', 'a b', 'a+b', 'a\nb', 'a\u00a0b', 'a\u2003b', 'a\u0085b', 'a\u0007b', '\ud800'])
    t.throws(() => generateLogKey(name), LedgerError, JSON.stringify(name));
});

t.test('a note that is not written as it must be is refused', async (t) => {
  const good = `${go.text}\n${go.signature}`;
  const [, , body = ''] = go.signature.trimEnd().split(' ');
  const line = (text: string): string => `${go.text}\n${text}`;
  const wrong: [what: string, note: string][] = [
    ['nothing', ''],
    ['a text alone', go.text],
    ['no signature line', `${go.text}\n`],
    ['no empty line', `${go.text}${go.signature}`],
    ['no last newline', good.slice(0, -1)],
    ['CRLF everywhere', good.replaceAll('\n', '\r\n')],
    ['CRLF in the text', good.replace('\n', '\r\n')],
    ['CRLF at the end', `${good.slice(0, -1)}\r\n`],
    ['a tab in the text', good.replace(' ', '\t')],
    ['a zero in the text', `\0${good}`],
    ['an escape in the text', `\u001b${good}`],
    ['half a surrogate pair', `\ud800${good}`],
    ['something after the signatures', `${good}more\n`],
    ['an empty line after the signatures', `${good}\n`],
    ['a hyphen for the em dash', line(go.signature.replace('—', '-'))],
    ['an en dash for the em dash', line(go.signature.replace('—', '–'))],
    ['no space after the em dash', line(go.signature.replace('— ', '—'))],
    ['two spaces', line(go.signature.replace('— ', '—  '))],
    ['a space at the end of the line', line(go.signature.replace('\n', ' \n'))],
    ['no name', line(`— ${body}\n`)],
    ['an empty name', line(`—  ${body}\n`)],
    ['a name with a space', line(`— Peter Neumann ${body}\n`)],
    ['a name with a plus', line(`— Peter+Neumann ${body}\n`)],
    ['a name with a narrow space', line(`— Peter\u202fNeumann ${body}\n`)],
    ['no signature', line('— PeterNeumann \n')],
    ['a key hash alone', line('— PeterNeumann x08gow==\n')],
    ['a short key hash', line('— Somebody x08g\n')],
    ['base64 without padding', line(go.signature.replace('=', ''))],
    ['base64 with too much padding', line(go.signature.replace('=', '=='))],
    ['base64 with loose last bits', line(go.signature.replace('AM=', 'AN='))],
    ['base64 of URLs', line(go.signature.replace('/', '_'))],
    ['base64 with a space', line(go.signature.replace('x08go', 'x08 go'))],
    ['base64 with a newline', line(go.signature.replace('x08go', 'x08\ngo'))],
    ['another line that is not base64', `${good}— Somebody !!!!!!!!\n`],
    [
      'a known key with a short signature',
      line(`— PeterNeumann ${Buffer.from(body, 'base64').subarray(0, 67).toString('base64')}\n`),
    ],
    [
      'a known key with a long signature',
      line(
        `— PeterNeumann ${Buffer.concat([Buffer.from(body, 'base64'), Buffer.of(0)]).toString('base64')}\n`,
      ),
    ],
    ['a known key that signed twice', `${good}${go.signature}`],
    [
      'a text without its last newline',
      `${go.text.slice(0, -1)}\n\n${go.signature}`.replace('is.\n\n', 'is\n\n'),
    ],
    ['more than 65,536 characters', `${'x'.repeat(65536)}\n${good}`],
  ];
  t.doesNotThrow(() => openNote(good, [peter]));
  for (const [what, note] of wrong) t.throws(() => openNote(note, [peter]), LedgerError, what);
});

t.test(
  'up to 16 signatures: those of others are ignored, a wrong one by a known key refuses the note',
  async (t) => {
    const others = Array.from({ length: 16 }, (_, n) => openSigner(generateLogKey(`other-${n}`).skey));
    const signer = openSigner(go.skey);
    const note = signNote(go.text, [...others.slice(1), signer]);
    t.strictSame(openNote(note, [peter]).verified, [peter]);
    t.throws(() => openNote(signNote(go.text, [...others, signer]), [peter]), /at most 16/);

    const bad = Buffer.alloc(64, 7);
    const wrongPeter = forged(peter.name, peter.keyHash, bad);
    const good = at(others, 0);
    t.throws(
      () => openNote(signNote(go.text, [good, wrongPeter]), [peter, openVerifier(good.vkey)]),
      /is wrong/,
    );
    t.strictSame(
      openNote(signNote(go.text, [good, wrongPeter]), [openVerifier(good.vkey)]).verified.length,
      1,
    );
    // Only name and hash together say which key it is.
    for (const [name, hash] of [
      [peter.name, 'c74f20a4'],
      ['PeterNeuman', peter.keyHash],
    ] as const) {
      const lookalike = forged(name, hash, bad);
      t.strictSame(openNote(signNote(go.text, [lookalike, signer]), [peter]).verified, [peter]);
      t.throws(() => openNote(signNote(go.text, [lookalike]), [peter]), /no known key/);
    }
    t.strictSame(
      openNote(signNote(go.text, [signer, forged('long.example', '00000001', Buffer.alloc(3000))]), [peter])
        .verified,
      [peter],
      'signatures of other algorithms may have any length',
    );
  },
);

t.test(
  'the last empty line parts text from signatures, so a text may hold some, and signature lines too',
  async (t) => {
    const signer = openSigner(go.skey);
    for (const text of [
      '\n',
      '\n\n\n',
      'a\n\nb\n',
      `${go.text}\n${go.signature}`,
      '— a b\n',
      'é 録 🎙\u2028\u007f\n',
    ])
      t.equal(openNote(signNote(text, [signer]), [peter]).text, text);
    // What was a signature line becomes part of the text, and then nobody signed it.
    t.throws(() => openNote(`${go.text}\n${go.signature}\n${go.otherSignature}`, [peter]), LedgerError);
  },
);

t.test('what cannot be opened is not signed', async (t) => {
  const signer = openSigner(go.skey);
  for (const text of ['', 'x', 'x\r\n', '\tx\n', '\0\n', '\ud800\n'])
    t.throws(() => signNote(text, [signer]), LedgerError, JSON.stringify(text));
  t.throws(() => signNote('x\n', []), LedgerError);
});

t.test('any text comes back, and any change of one character is refused', async (t) => {
  const signer = openSigner(go.skey);
  const texts = fc
    .string({ unit: 'grapheme', maxLength: 200 })
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what a note may not hold.
    .map((text) => `${text.replace(/[\x00-\x09\x0b-\x1f]/g, '')}\n`);
  fc.assert(
    fc.property(texts, fc.nat(), fc.nat({ max: 0xfff }), (text, where, by) => {
      const note = signNote(text, [signer]);
      t.equal(openNote(note, [peter]).text, text);
      const place = where % note.length;
      const code = (note.charCodeAt(place) + 1 + by) % 0x10000;
      const changed = note.slice(0, place) + String.fromCharCode(code) + note.slice(place + 1);
      if (changed !== note) t.throws(() => openNote(changed, [peter]), LedgerError);
    }),
    { numRuns: 300 },
  );
});
