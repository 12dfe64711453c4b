import { createHash } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import t from 'tap';
import { readJournal } from './journal-reader.ts';
import { foldChain, lightChain } from './light-chain.ts';
import { makeStore, packetOf } from './testing.ts';

/** A journal of some blocks, and its heads as the file itself has them: the last 32 bytes of header and blocks. */
async function makeJournal(t: Test, blocks: number) {
  const store = await makeStore(t.testdir({}));
  const log = await store.openLog();
  const writer = await store.create(log);
  for (let n = 0; n < blocks; n += 1) {
    writer.append(0, 0, packetOf(n), n);
    await writer.flush({ urgent: true });
  }
  await writer.end('hangup');
  await log.close();
  const bytes = readFileSync(writer.path);
  const heads: Buffer[] = [];
  const starts: number[] = [];
  let at = 12 + bytes.readUInt32BE(8) + 32;
  for (;;) {
    heads.push(bytes.subarray(at - 32, at));
    if (at >= bytes.length) break;
    starts.push(at);
    at += 32 + bytes.readUInt32BE(at + 12) + 32;
  }
  return { store, path: writer.path, bytes, heads, starts };
}

t.test('F36 the light chain of a journal gives every head of it, and nothing that was said', async (t) => {
  const { path, bytes, heads, starts } = await makeJournal(t, 70);
  const chain = await lightChain(path);
  t.equal(chain.status, 'complete');
  t.equal(chain.seq, heads.length - 1);
  t.equal(chain.head, heads.at(-1)?.toString('hex'));
  t.equal(chain.blocks.length, 64 * chain.seq);
  t.ok(bytes.subarray(0, chain.header.length).equals(chain.header), 'the header as it is stored');
  const c0 = createHash('sha256').update(chain.header).digest();
  t.equal(chain.c0, c0.toString('hex'));
  t.ok(c0.equals(heads[0] ?? Buffer.alloc(0)));
  // By the words of the format, without our own code.
  let head = c0;
  for (const [i, start] of starts.entries()) {
    const ciphertext = bytes.subarray(start + 32, start + 32 + bytes.readUInt32BE(start + 12));
    const digest = createHash('sha256').update(ciphertext).digest();
    const light = chain.blocks.subarray(64 * i, 64 * (i + 1));
    if (!light.equals(Buffer.concat([bytes.subarray(start, start + 32), digest])))
      t.fail(`light block ${i + 1}`);
    head = createHash('sha256')
      .update(Buffer.from([2]))
      .update(head)
      .update(light)
      .digest();
    if (!head.equals(heads[i + 1] ?? Buffer.alloc(0))) t.fail(`head ${i + 1}`);
  }
  const folded = [...foldChain(c0, chain.blocks)].map((one) => one.toString('hex'));
  t.same(
    folded,
    heads.slice(1).map((one) => one.toString('hex')),
  );
});

t.test(
  'F36 from a head that somebody kept, the rest of the chain leads to the end of the journal',
  async (t) => {
    const { path, heads } = await makeJournal(t, 8);
    const last = heads.length - 1;
    for (let after = 0; after <= last + 1; after += 1) {
      const chain = await lightChain(path, { after });
      t.equal(chain.blocks.length, 64 * Math.max(0, last - after), `after ${after}`);
      t.equal(chain.head, heads[last]?.toString('hex'));
      const kept = heads[Math.min(after, last)] ?? Buffer.alloc(0);
      const end = [...foldChain(kept, chain.blocks)].at(-1) ?? kept;
      t.ok(end.equals(heads[last] ?? Buffer.alloc(0)), `from block ${after}`);
    }
    const { blocks } = await lightChain(path, { after: 2 });
    const [wrong] = foldChain(heads[1] ?? Buffer.alloc(0), blocks);
    t.notOk(wrong?.equals(heads[3] ?? Buffer.alloc(0)), 'another head leads elsewhere');
    t.throws(() => [...foldChain(Buffer.alloc(31), blocks)], RangeError);
    t.throws(() => [...foldChain(Buffer.alloc(32), blocks.subarray(1))], RangeError);
  },
);

t.test(
  'only verified blocks are in it: of a torn journal, of a damaged one, of one without a header',
  async (t) => {
    const { store, path, bytes, heads, starts } = await makeJournal(t, 6);
    const other = join(store.paths.journals, 'copy.scj');
    for (let size = starts[3] ?? 0; size < (starts[5] ?? 0); size += 7) {
      writeFileSync(other, bytes);
      truncateSync(other, size);
      const chain = await lightChain(other);
      const seq = starts.filter((_, i) => (starts[i + 1] ?? bytes.length) <= size).length;
      if (chain.seq !== seq || chain.blocks.length !== 64 * seq || chain.status !== 'torn')
        t.fail(`cut at ${size}: ${chain.seq} of ${seq} blocks, ${chain.status}`);
    }
    const damaged = Buffer.from(bytes);
    damaged[(starts[2] ?? 0) + 40] = (damaged[(starts[2] ?? 0) + 40] ?? 0) ^ 1;
    writeFileSync(other, damaged);
    const chain = await lightChain(other);
    t.match(chain, { status: 'corrupt', seq: 2, head: heads[2]?.toString('hex') });
    t.equal(chain.blocks.length, 128);
    writeFileSync(other, bytes.subarray(0, 40));
    t.match(await lightChain(other), { status: 'torn', seq: 0, c0: '', head: '' });
    t.equal((await lightChain(other)).header.length, 0);
    await t.rejects(lightChain(join(store.paths.journals, 'nowhere.scj')), { code: 'ENOENT' });
    t.equal((await readJournal(path)).header?.epoch, 1, 'the journal itself is as it was');
  },
);
