import { readFileSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateX25519Identity } from 'age-encryption';
import t from 'tap';
import type { JournalBlock } from './journal-reader.ts';
import { readJournal, recordsOf, verifyJournal } from './journal-reader.ts';

/** Made by vectors/make-journal.py from FORMAT.md, without a line of this room's code. */
const vector: {
  identity: string;
  journal: string;
  heads: string[];
  blocks: { type: number; monotonicUs: number; wallMs: number; plaintext: string }[];
} = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors/journal-v1.json'), 'utf8'));
const journal = Buffer.from(vector.journal, 'base64');
const END_BLOCK_BYTES = 32 + Buffer.from(vector.blocks[3]?.plaintext ?? '', 'hex').length + 16 + 32;
const HEADER_BYTES = 12 + journal.readUInt32BE(8) + 32;

t.test('reads a journal that another implementation wrote', async (t) => {
  const reader = await readJournal(journal, { identity: vector.identity });
  t.match(reader.header, { v: 1, epoch: 2, recorder: 'vector', prev: 'ab'.repeat(32) });
  const blocks: JournalBlock[] = [];
  for await (const block of reader) blocks.push(block);
  const types = { data: 1, mark: 2, end: 3 };
  t.same(
    blocks.map((block) => ({
      type: types[block.type],
      monotonicUs: block.monotonicUs,
      wallMs: block.wallMs,
      plaintext: block.plaintext?.toString('hex'),
    })),
    vector.blocks,
  );
  t.same(
    blocks.map((block) => block.head),
    vector.heads.slice(1),
  );
  t.same(blocks[1]?.mark, { mark: 'mute', leg: 1 });
  const records = blocks.flatMap((block) => [...recordsOf(block)]);
  t.same(
    records.map(({ leg, flags, monotonicUs, packet }) => [leg, flags, monotonicUs, packet.length]),
    [
      [0, 0, 5_000_000_001, 12],
      [1, 1, 5_000_020_001, 60],
      [0, 0, 2 ** 40 + 7, 100],
      [0, 0, 2 ** 40 + 70_007, 0],
    ],
  );
  t.same(reader.result, {
    status: 'complete',
    seq: 4,
    head: vector.heads[4],
    endReason: 'hangup',
    goodBytes: journal.length,
    sizeBytes: journal.length,
  });
});

t.test('verifies the chain without any key, from memory and from a file alike', async (t) => {
  const path = join(t.testdir({ 'a.scj': journal }), 'a.scj');
  const fromFile = await verifyJournal(path);
  t.match(fromFile, { status: 'complete', seq: 4, head: vector.heads[4] });
  t.same(fromFile, await verifyJournal(journal));
});

t.test(
  'cut at any byte a journal is torn, never complete, and every whole block is still read',
  async (t) => {
    const ends = [HEADER_BYTES];
    for await (const block of await readJournal(journal)) ends.push(block.offsetBytes + block.sizeBytes);
    for (let length = 0; length < journal.length; length += 1) {
      const result = await verifyJournal(journal.subarray(0, length));
      const whole = ends.filter((end) => end <= length).length - 1;
      if (result.status !== 'torn' || result.seq !== Math.max(0, whole)) t.fail(`at ${length}`, { result });
      const rollback = await verifyJournal(journal.subarray(0, length), {
        acknowledged: { seq: 4, head: vector.heads[4] ?? '' },
      });
      if (rollback.status !== 'rollback') t.fail(`acknowledged, at ${length}`, { rollback });
    }
    t.equal(ends.length, 5);
  },
);

t.test(
  'any single flipped bit is detected without a key; before the last block it is corruption',
  async (t) => {
    const bytes = Buffer.from(journal);
    const lastBlockAt = journal.length - END_BLOCK_BYTES;
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const at = bit >> 3;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
      const { status } = await verifyJournal(bytes);
      bytes[at] = journal[at] ?? 0;
      // Behind a bad END nothing plausible follows, so that is a torn tail, which an acknowledged head tells from a
      // rollback. Only a wrong number in it says that a block is missing.
      const inSeq = at >= lastBlockAt + 8 && at < lastBlockAt + 12;
      if (status !== (at < lastBlockAt || inSeq ? 'corrupt' : 'torn')) {
        t.fail(`bit ${bit & 7} of byte ${at}: ${status}`);
      }
    }
    t.ok(bytes.equals(journal));
  },
);

t.test('the class of damage follows from what stands behind the first bad byte', async (t) => {
  const acknowledged = { seq: 4, head: vector.heads[4] ?? '' };
  const lastBlockAt = journal.length - END_BLOCK_BYTES;
  const other = Buffer.from(journal);
  other[lastBlockAt + 40] = 0xff ^ (other[lastBlockAt + 40] ?? 0);
  const cases: { what: string; bytes: Buffer; acknowledged?: typeof acknowledged; status: string }[] = [
    { what: 'untouched', bytes: journal, acknowledged, status: 'complete' },
    { what: 'without END', bytes: journal.subarray(0, lastBlockAt), status: 'torn' },
    {
      what: 'zeros behind the last whole block',
      bytes: Buffer.concat([journal.subarray(0, lastBlockAt), Buffer.alloc(8192)]),
      status: 'torn',
    },
    {
      what: 'rubbish behind the last whole block',
      bytes: Buffer.concat([journal.subarray(0, lastBlockAt), Buffer.alloc(500, 'SCB')]),
      status: 'torn',
    },
    {
      what: 'half of the first block missing, the rest moved up',
      bytes: Buffer.concat([journal.subarray(0, HEADER_BYTES + 50), journal.subarray(HEADER_BYTES + 100)]),
      status: 'corrupt',
    },
    {
      what: 'the first block left out',
      bytes: Buffer.concat([journal.subarray(0, HEADER_BYTES), journal.subarray(lastBlockAt)]),
      status: 'corrupt',
    },
    {
      what: 'END twice',
      bytes: Buffer.concat([journal, journal.subarray(lastBlockAt)]),
      status: 'corrupt',
    },
    { what: 'one byte behind END', bytes: Buffer.concat([journal, Buffer.from([0])]), status: 'corrupt' },
    {
      what: 'shorter than acknowledged',
      bytes: journal.subarray(0, lastBlockAt),
      acknowledged,
      status: 'rollback',
    },
    {
      what: 'another head than acknowledged',
      bytes: journal,
      acknowledged: { seq: 4, head: '00'.repeat(32) },
      status: 'rollback',
    },
    { what: 'a bad last block that was acknowledged', bytes: other, acknowledged, status: 'rollback' },
    { what: 'an empty file', bytes: Buffer.alloc(0), status: 'torn' },
  ];
  for (const { what, bytes, status, ...rest } of cases) {
    const path = join(t.testdir({ 'a.scj': bytes }), 'a.scj');
    for (const source of [bytes, path]) {
      const result = await verifyJournal(
        source,
        rest.acknowledged ? { acknowledged: rest.acknowledged } : {},
      );
      t.equal(result.status, status, `${what}: ${result.problem ?? 'no problem'}`);
    }
  }
});

t.test('finds a plausible block behind a bad one across a read window', async (t) => {
  const dir = t.testdir({});
  const path = join(dir, 'a.scj');
  const lastBlockAt = journal.length - END_BLOCK_BYTES;
  // The file reader looks at 4 MiB at a time: put the block's magic right across that border.
  for (const shift of [-3, -2, -1, 0]) {
    const filler = Buffer.alloc(4 * 1024 * 1024 - 1 + shift);
    await writeFile(
      path,
      Buffer.concat([journal.subarray(0, lastBlockAt), filler, journal.subarray(lastBlockAt)]),
    );
    t.match(await verifyJournal(path), { status: 'corrupt', seq: 3, goodBytes: lastBlockAt });
    await truncate(path, lastBlockAt + filler.length);
    t.match(await verifyJournal(path), { status: 'torn', seq: 3, goodBytes: lastBlockAt });
  }
});

t.test('says so when the identity is another one', async (t) => {
  const identity = await generateX25519Identity();
  await t.rejects(readJournal(journal, { identity }), { code: 'corrupt', message: /does not open/ });
});

t.test('a journal is read once, and its result is there only afterwards', async (t) => {
  const reader = await readJournal(journal);
  t.throws(() => reader.result, { code: 'internal' });
  await reader.verify();
  await t.rejects(reader.verify(), { code: 'internal' });
  await reader.close();
});
