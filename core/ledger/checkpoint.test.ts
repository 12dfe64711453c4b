import t from 'tap';
import { formatCheckpoint, parseCheckpoint } from './checkpoint.ts';
import { LedgerError } from './error.ts';
import { verifyConsistency } from './proofs.ts';
import { completeLevels } from './testing.ts';
import { emptyRoot, rootOf } from './tree.ts';

const ROOT = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=';

t.test('F33: a checkpoint is origin, size and root, at every border of tiles', async (t) => {
  const [leaves = []] = completeLevels(65_537);
  for (const size of [0, 1, 255, 256, 257, 65_535, 65_536, 65_537]) {
    const root = rootOf(leaves.slice(0, size));
    const text = formatCheckpoint({ origin: 'a.example/log', size, root });
    t.equal(text, `a.example/log\n${size}\n${root.toString('base64')}\n`);
    t.strictSame(parseCheckpoint(text), { origin: 'a.example/log', size, root });
  }
});

t.test('a checkpoint that is not written as it must be is refused', async (t) => {
  const good = `a.example/log\n5\n${ROOT}\n`;
  const wrong: [what: string, text: string][] = [
    ['nothing', ''],
    ['newlines', '\n\n\n'],
    ['no origin', good.replace('a.example/log', '')],
    ['the first line of a receipt', good.replace('a.example/log', 'verbatim/head-receipt/v1')],
    ['two origins', `a.example/log\n${good}`],
    ['two lines', 'a.example/log\n5\n'],
    ['no last newline', good.slice(0, -1)],
    ['an empty line at the end', `${good}\n`],
    ['an extension line', `${good}more\n`],
    ['CRLF', good.replaceAll('\n', '\r\n')],
    ['CRLF after the size', good.replace('5\n', '5\r\n')],
    ['a size with a leading zero', good.replace('5', '05')],
    ['a size with a sign', good.replace('5', '+5')],
    ['a negative size', good.replace('5', '-5')],
    ['minus zero', `a.example/log\n-0\n${emptyRoot().toString('base64')}\n`],
    ['half a size', good.replace('5', '5.5')],
    ['a size with an exponent', good.replace('5', '5e0')],
    ['a size in hex', good.replace('5', '0x5')],
    ['a size with a space', good.replace('5', ' 5')],
    ['a size in other digits', good.replace('5', '٥')],
    ['an empty size', good.replace('5', '')],
    ['a size past 2^53', good.replace('5', '9007199254740992')],
    ['a size that rounds', good.replace('5', '9007199254740993')],
    ['a size of 20 digits', good.replace('5', '18446744073709551615')],
    ['a root without padding', good.replace('=', '')],
    ['a root with loose last bits', good.replace('q2I=', 'q2J=')],
    ['a root of 31 bytes', good.replace(ROOT, Buffer.alloc(31).toString('base64'))],
    ['a root of 33 bytes', good.replace(ROOT, Buffer.alloc(33).toString('base64'))],
    ['a root in the base64 of URLs', good.replace('/X', '_X')],
    ['a root with a space', good.replace(ROOT, `${ROOT} `)],
    ['a root in hex', good.replace(ROOT, Buffer.from(ROOT, 'base64').toString('hex'))],
    ['a root of something for size 0', good.replace('5', '0')],
  ];
  t.doesNotThrow(() => parseCheckpoint(good));
  for (const [what, text] of wrong) t.throws(() => parseCheckpoint(text), LedgerError, what);
});

t.test('a checkpoint that could not be read is not written', async (t) => {
  const root = Buffer.from(ROOT, 'base64');
  for (const change of [
    { origin: '' },
    { origin: 'a\nb' },
    { origin: 'verbatim/head-receipt/v1' },
    { size: -1 },
    { size: 1.5 },
    { size: Number.NaN },
    { size: 2 ** 53 },
    { size: 0 },
    { root: root.subarray(1) },
  ])
    t.throws(() => formatCheckpoint({ origin: 'a', size: 5, root, ...change }), LedgerError);
});

t.test('F33: two checkpoints of one size with two roots are never consistent', async (t) => {
  const [one, two] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  for (const size of [1, 255, 256, 257, 65_535, 65_536, 65_537]) {
    const claim = { from: size, to: size, fromRoot: one, proof: [] };
    t.throws(() => verifyConsistency({ ...claim, toRoot: two }), /two different roots/);
    t.doesNotThrow(() => verifyConsistency({ ...claim, toRoot: one }));
  }
});
