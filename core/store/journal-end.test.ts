import { readFileSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { endsWithEnd } from './journal-end.ts';
import { verifyJournal } from './journal-reader.ts';
import { makeStore, packetOf } from './testing.ts';

/** Made by vectors/make-journal.py from FORMAT.md; its fourth and last block is END. */
const vector: { journal: string; blocks: { plaintext: string }[] } = JSON.parse(
  readFileSync(join(import.meta.dirname, 'vectors/journal-v1.json'), 'utf8'),
);
const journal = Buffer.from(vector.journal, 'base64');
const END_BLOCK_BYTES = 32 + Buffer.from(vector.blocks[3]?.plaintext ?? '', 'hex').length + 16 + 32;

t.test(
  'END of a journal that another implementation wrote is found, and of nothing less than all of it',
  async (t) => {
    const path = join(t.testdir({}), 'journal');
    const ends = async (bytes: Buffer): Promise<boolean> => {
      await writeFile(path, bytes);
      return endsWithEnd(path);
    };
    t.equal(await ends(journal), true);
    t.equal(await ends(Buffer.concat([journal, Buffer.of(0)])), false, 'something stands behind it');
    t.equal(await ends(Buffer.alloc(0)), false);
    for (let bytes = 0; bytes < journal.length; bytes += bytes > journal.length - 300 ? 1 : 37)
      if (await ends(journal.subarray(0, bytes))) t.fail(`cut at ${bytes}`);
    // END itself, and the 32 bytes of chain before it.
    for (let back = 1; back <= END_BLOCK_BYTES + 32; back += 1) {
      const flipped = Buffer.from(journal);
      flipped[journal.length - back] = 1 ^ (journal[journal.length - back] ?? 0);
      if (await ends(flipped)) t.fail(`a bit flipped ${back} bytes from the end`);
    }
  },
);

t.test('a journal that is being written has no END until it has', async (t) => {
  const store = await makeStore(t.testdir({}));
  const log = await store.openLog();
  t.teardown(() => log.close());
  const [writer, other] = [await store.create(log), await store.create(log)];
  t.equal(await endsWithEnd(writer.path), false);
  for (const one of [writer, other]) one.append(0, 0, packetOf(1), 1);
  await writer.end('x'.repeat(4_000));
  t.equal(await endsWithEnd(writer.path), true, 'also with the longest of reasons');
  await other.flush({ urgent: true });
  await log.close();
  t.match(await verifyJournal(other.path), { status: 'torn', seq: 1 });
  t.equal(await endsWithEnd(other.path), false, 'blocks without END at their end');
});

t.test('however long a journal is, only its end is read', async (t) => {
  const path = join(t.testdir({}), 'journal');
  const file = await open(path, 'w');
  const tail = journal.subarray(-(END_BLOCK_BYTES + 32));
  // A hole that nobody reads within the time of a test.
  await file.write(tail, 0, tail.length, 2 ** 41);
  await file.close();
  t.equal(await endsWithEnd(path), true);
});
