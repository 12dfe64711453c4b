import { readFileSync } from 'node:fs';
import t from 'tap';
import { parseCheckpoint } from './checkpoint.ts';
import { LedgerError } from './error.ts';
import { inclusionProof, verifyInclusion } from './proofs.ts';
import { at, completeLevels, memoryReader } from './testing.ts';
import { formatProof, parseProof } from './tlog-proof.ts';
import { rootOf } from './tree.ts';

const { c2sp } = JSON.parse(readFileSync(new URL('./vectors/notes.json', import.meta.url), 'utf8')) as {
  c2sp: {
    proof: { index: number; extra: string; hashes: string[]; origin: string; size: number; root: string };
  };
};
const { index, extra, hashes, origin, size, root } = c2sp.proof;
// The specification leaves out the middle of its signatures, so these are any.
const checkpoint = `${origin}\n${size}\n${root}\n\n— ${origin} AAAAAAAA\n— witness1.example AAAAAAAA\n`;
const example = `c2sp.org/tlog-proof@v1\nindex ${index}\n${hashes.join('\n')}\n\n${checkpoint}`;

t.test('F33: the example of C2SP tlog-proof is read and written, but for its extra line', async (t) => {
  const proof = parseProof(example);
  t.equal(proof.index, 73894);
  t.strictSame(
    proof.hashes.map((hash) => hash.toString('base64')),
    hashes,
  );
  t.equal(proof.checkpoint, checkpoint);
  t.equal(formatProof(proof), example);
  const [text = ''] = proof.checkpoint.split('\n\n');
  t.equal(parseCheckpoint(`${text}\n`).size, 109482);
  t.throws(() => parseProof(example.replace('index', `${extra}\nindex`)), LedgerError, 'an extra line');
});

t.test('F33: a proof comes back whole for trees at the borders of tiles', async (t) => {
  const most = 65_537;
  const levels = completeLevels(most);
  const leaves = at(levels, 0);
  for (const size of [1, 255, 256, 257, 65_535, 65_536, 65_537]) {
    for (const index of new Set([0, size >> 1, size - 1])) {
      const made = await inclusionProof(index, size, memoryReader(levels, size));
      const { hashes, ...read } = parseProof(formatProof({ index, hashes: made, checkpoint: 'a\n' }));
      t.strictSame(read, { index, checkpoint: 'a\n' });
      const root = rootOf(leaves.slice(0, size));
      t.doesNotThrow(() => verifyInclusion({ index, size, leaf: at(leaves, index), proof: hashes, root }));
    }
  }
});

t.test('a proof that is not written as it must be is refused', async (t) => {
  const [hash = ''] = hashes;
  const wrong: [what: string, text: string][] = [
    ['nothing', ''],
    ['a checkpoint alone', checkpoint],
    ['another version', example.replace('@v1', '@v2')],
    ['something before', `\n${example}`],
    ['a byte order mark', `\ufeff${example}`],
    ['CRLF', example.replaceAll('\n', '\r\n')],
    ['CRLF after the index', example.replace('73894\n', '73894\r\n')],
    ['no index', example.replace('index 73894\n', '')],
    ['an empty index', example.replace('73894', '')],
    ['two indexes', example.replace('index', 'index 1\nindex')],
    ['an index with a leading zero', example.replace('73894', '073894')],
    ['a negative index', example.replace('73894', '-5')],
    ['an index with a sign', example.replace('73894', '+5')],
    ['an index with two spaces', example.replace('index ', 'index  ')],
    ['an index past 2^53', example.replace('73894', '9007199254740992')],
    ['an index that is no number', example.replace('73894', 'notanumber')],
    ['Index', example.replace('index', 'Index')],
    ['a hash that is no base64', example.replace(hash, '!!notbase64!!')],
    ['a hash without padding', example.replace(hash, hash.slice(0, -1))],
    ['a hash with loose last bits', example.replace('dPlQ=', 'dPlR=')],
    ['a hash of 31 bytes', example.replace(hash, Buffer.alloc(31).toString('base64'))],
    ['a hash of 64 bytes', example.replace(hash, Buffer.alloc(64).toString('base64'))],
    ['two hashes on a line', example.replace(`${hash}\n`, hash)],
    ['a space after a hash', example.replace(hash, `${hash} `)],
    ['65 hashes', example.replace(hash, Array(61).fill(hash).join('\n'))],
    ['no empty line', example.replace('\n\n', '\n')],
    ['no checkpoint', example.slice(0, example.indexOf('\n\n') + 2)],
  ];
  for (const [what, text] of wrong) t.throws(() => parseProof(text), LedgerError, what);
  t.equal(parseProof(example.replace(hash, Array(60).fill(hash).join('\n'))).hashes.length, 64);
});

t.test('a proof that could not be read is not written', async (t) => {
  const good = { index: 5, hashes: [Buffer.alloc(32)], checkpoint: 'a\n' };
  t.doesNotThrow(() => formatProof(good));
  for (const change of [
    { index: -1 },
    { index: 0.5 },
    { index: Number.NaN },
    { hashes: [Buffer.alloc(31)] },
    { hashes: Array.from({ length: 65 }, () => Buffer.alloc(32)) },
    { checkpoint: '' },
  ])
    t.throws(() => formatProof({ ...good, ...change }), LedgerError);
});
