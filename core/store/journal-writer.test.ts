import { createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { Decrypter } from 'age-encryption';
import fc from 'fast-check';
import t from 'tap';
import { FLAG_RTCP } from './journal-format.ts';
import { readJournal, recordsOf, verifyJournal } from './journal-reader.ts';
import { diskError, FailingFiles, makeStore, packetOf } from './testing.ts';

interface PlainRecord {
  leg: number;
  flags: number;
  us: number;
  packet: string;
}

/**
 * A second reader, from FORMAT.md and with none of the room's code, so that writer and reader cannot share a
 * mistake. Returns every record and the JSON of every other block; throws at the first thing that is not right.
 */
async function readByHand(
  path: string,
  identity: string,
): Promise<{ records: PlainRecord[]; notes: unknown[] }> {
  const b = readFileSync(path);
  const sha = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
  if (b.toString('latin1', 0, 8) !== 'SCJRNL1\n') throw new Error('magic');
  let at = 12 + b.readUInt32BE(8);
  const header = JSON.parse(b.toString('utf8', 12, at));
  let chain = sha(b.subarray(0, at));
  if (!chain.equals(b.subarray(at, at + 32))) throw new Error('c[0]');
  at += 32;
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  const fileKey = await decrypter.decryptHeader(Buffer.from(header.age, 'base64'));
  const key = Buffer.from(hkdfSync('sha256', fileKey, header.recording, 'verbatim/journal/v1', 32));
  const records: PlainRecord[] = [];
  const notes: unknown[] = [];
  for (let seq = 1; at < b.length; seq += 1) {
    const head = b.subarray(at, at + 32);
    if (head.toString('latin1', 0, 4) !== 'SCB1' || head.readUInt32BE(8) !== seq)
      throw new Error(`block ${seq}`);
    if (head.readUIntBE(5, 3) !== 0) throw new Error('zeros');
    const length = head.readUInt32BE(12);
    const sealed = b.subarray(at + 32, at + 32 + length);
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32BE(seq, 8);
    const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
    decipher.setAAD(Buffer.concat([chain, head]), { plaintextLength: length - 16 });
    decipher.setAuthTag(sealed.subarray(length - 16));
    const plain = Buffer.concat([decipher.update(sealed.subarray(0, length - 16)), decipher.final()]);
    chain = sha(Buffer.from([2]), chain, head, sha(sealed));
    if (!chain.equals(b.subarray(at + 32 + length, at + 64 + length))) throw new Error(`c[${seq}]`);
    at += 64 + length;
    if (head[4] !== 1) {
      notes.push(JSON.parse(plain.toString('utf8')));
      continue;
    }
    const blockUs = Number(head.readBigUInt64BE(16));
    for (let p = 0; p < plain.length; ) {
      const end = p + 8 + plain.readUInt16BE(p + 2);
      records.push({
        leg: plain.readUInt8(p),
        flags: plain.readUInt8(p + 1),
        us: blockUs + plain.readUInt32BE(p + 4),
        packet: plain.toString('hex', p + 8, end),
      });
      p = end;
    }
  }
  return { records, notes };
}

t.test('F21 a second reader, written from the format alone, finds every packet bit for bit', async (t) => {
  const store = await makeStore(t.testdir({}));
  const log = await store.openLog();
  t.teardown(() => log.close());
  const packet = fc.record({
    leg: fc.constantFrom<0 | 1>(0, 1),
    flags: fc.constantFrom(0, FLAG_RTCP),
    // Ordinary packets, and sometimes the largest that the field can say.
    bytes: fc.oneof(
      { weight: 20, arbitrary: fc.uint8Array({ minLength: 0, maxLength: 300 }) },
      { weight: 1, arbitrary: fc.integer({ min: 1200, max: 65_535 }).map((n) => new Uint8Array(n).fill(n)) },
    ),
    stepUs: fc.nat(50_000),
    after: fc.constantFrom('nothing', 'nothing', 'nothing', 'flush', 'mark'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(packet, { maxLength: 120 }), async (packets) => {
      const writer = await store.create(log);
      const wanted: PlainRecord[] = [];
      const notes: unknown[] = [];
      let us = 7_000_000_000_000;
      for (const { leg, flags, bytes, stepUs, after } of packets) {
        us += stepUs;
        if (!writer.append(leg, flags, bytes, wanted.length % 2 === 0 ? us : BigInt(us)))
          throw new Error('refused');
        wanted.push({ leg, flags, us, packet: Buffer.from(bytes).toString('hex') });
        if (after === 'flush') await writer.flush({ urgent: true });
        if (after === 'mark') {
          writer.mark({ mark: 'mute', leg });
          notes.push({ mark: 'mute', leg });
        }
      }
      const { seq, head } = await writer.end('hangup');
      const result = await verifyJournal(writer.path, { acknowledged: { seq, head } });
      if (result.status !== 'complete' || result.seq !== seq) throw new Error(JSON.stringify(result));
      const found = await readByHand(writer.path, store.identity);
      return (
        JSON.stringify(found) === JSON.stringify({ records: wanted, notes: [...notes, { reason: 'hangup' }] })
      );
    }),
    { numRuns: 40 },
  );
  t.equal(log.stats().errors, 0);
  t.equal(log.stats().writers, 0);
});

t.test('blocks are cut at 32 KiB and stay below it unless one packet is larger', async (t) => {
  const store = await makeStore(t.testdir({}));
  const log = await store.openLog();
  t.teardown(() => log.close());
  const writer = await store.create(log);
  for (let n = 0; n < 3000; n += 1) writer.append(0, 0, packetOf(n), n);
  writer.append(1, 0, packetOf(0, 65_535), 3001);
  t.equal(writer.append(1, 0, Buffer.alloc(65_536), 3002), false, 'longer than the field can say');
  await writer.end('hangup');
  const sizes: number[] = [];
  let packets = 0;
  for await (const block of await readJournal(writer.path, { identity: store.identity })) {
    if (block.type === 'data') sizes.push(block.plaintext?.length ?? 0);
    packets += [...recordsOf(block)].length;
  }
  t.equal(packets, 3001);
  t.ok(
    sizes.slice(0, -1).every((size) => size <= 32 * 1024),
    'ordinary blocks',
  );
  t.equal(sizes.at(-1), 65_535 + 8);
});

t.test('a second writer of the same epoch is refused and the first goes on', async (t) => {
  const store = await makeStore(t.testdir({}));
  const log = await store.openLog();
  t.teardown(() => log.close());
  const recording = crypto.randomUUID();
  const first = await store.create(log, { recording });
  await t.rejects(store.create(log, { recording }), { code: 'conflict' });
  first.append(0, 0, packetOf(1), 1);
  await first.end('hangup');
  t.match(await verifyJournal(first.path), { status: 'complete' });
  await t.rejects(store.create(log, { recording }), { code: 'conflict' }, 'not even when it has ended');
  t.equal(statSync(first.path).mode & 0o777, 0o600);
  await t.rejects(store.create(log, { recording: '../../etc/passwd' }), { code: 'bad_request' });
  t.same(readdirSync(store.paths.journals), [`${recording}-1.scj`]);
});

t.test('END closes: it is synced, nothing can follow, and asking twice gives one answer', async (t) => {
  const store = await makeStore(t.testdir({}));
  const files = new FailingFiles();
  const log = await store.openLog({ files });
  t.teardown(() => log.close());
  const writer = await store.create(log);
  writer.append(0, 0, packetOf(1), 1);
  await writer.flush({ urgent: true });
  const verbs: string[] = [];
  files.before = (verb, path) => verbs.push(`${path.endsWith('.wal') ? 'log' : 'journal'} ${verb}`);
  const [one, two] = await Promise.all([writer.end('hangup'), writer.end('again')]);
  t.same(
    verbs,
    ['log write', 'log datasync', 'journal write', 'journal datasync'],
    'the log first, then the journal',
  );
  t.same(one, two);
  t.same(writer.acknowledged, one);
  t.equal(writer.append(0, 0, packetOf(2), 2), false);
  t.equal(writer.mark({ mark: 'gap' }), false);
  await writer.close();
  t.match(await verifyJournal(writer.path), { status: 'complete', seq: one.seq, head: one.head });
});

t.test('closed without END a journal holds everything that was appended', async (t) => {
  const store = await makeStore(t.testdir({}));
  const log = await store.openLog();
  const writer = await store.create(log);
  for (let n = 0; n < 100; n += 1) writer.append(0, 0, packetOf(n), n);
  await log.close();
  await log.close();
  t.equal(writer.append(0, 0, packetOf(1), 1), false);
  const { records } = await readByHand(writer.path, store.identity);
  t.equal(records.length, 100);
  t.match(await verifyJournal(writer.path), { status: 'torn', problem: 'the journal stops without END' });
  t.notOk(
    readdirSync(store.paths.dataDir).includes('wal') && readdirSync(store.paths.wal).length > 0,
    'no log is left',
  );
  await t.rejects(store.create(log), { code: 'shutting_down' });
});

for (const [what, verb] of [
  ['a write to the journal', 'write'],
  ['syncing the journal', 'datasync'],
] as const) {
  t.test(`${what} that fails opens the next epoch, and nothing is lost`, async (t) => {
    const store = await makeStore(t.testdir({}));
    const files = new FailingFiles();
    // A log that must be trimmed at once syncs journals while they are written.
    const log = await store.openLog({ files, segmentBytes: 4096, maxLogBytes: 0 });
    t.teardown(() => log.close());
    const epochs: number[] = [];
    const switched = Promise.withResolvers<void>();
    const writer = await store.create(log, {
      onEpoch: (epoch) => {
        epochs.push(epoch);
        switched.resolve();
      },
      onFailed: (error) => switched.reject(error),
    });
    const firstPath = writer.path;
    let failed = false;
    files.tornBytes = 333;
    files.before = (which, path) => {
      if (path !== firstPath || which !== verb) return;
      failed = true;
      throw diskError('EIO');
    };
    let sent = 0;
    const send = (count: number) => {
      for (let n = 0; n < count; n += 1) {
        if (!writer.append(0, 0, packetOf(sent), sent * 20_000)) t.fail('refused');
        sent += 1;
      }
    };
    let last = writer.acknowledged;
    for (let round = 0; round < 3; round += 1) {
      send(400);
      const acknowledged = await writer.flush({ urgent: true });
      if (acknowledged.epoch === 1) last = acknowledged;
    }
    while (epochs.length === 0) {
      send(50);
      await Promise.race([switched.promise, writer.flush()]);
      if (writer.epoch === 1) last = writer.acknowledged;
    }
    send(100);
    const end = await writer.end('hangup');
    t.ok(failed);
    t.same(epochs, [2]);
    t.equal(end.epoch, 2);
    // The broken file was made anew from the log: both epochs verify and hold every packet once, in order.
    const numbers: number[] = [];
    let lastHead = '';
    for (const path of [firstPath, writer.path]) {
      const reader = await readJournal(path, { identity: store.identity });
      if (path === writer.path)
        t.equal(reader.header?.prev, lastHead, 'the second names the first one’s last head');
      for await (const block of reader) {
        for (const { packet } of recordsOf(block)) numbers.push(packet.readUInt32BE(8));
      }
      t.match(reader.result, { status: path === firstPath ? 'torn' : 'complete' });
      t.equal(reader.result.goodBytes, reader.result.sizeBytes);
      lastHead = reader.result.head;
    }
    t.same(
      numbers,
      Array.from({ length: sent }, (_, n) => n),
    );
    t.match(await verifyJournal(firstPath, { acknowledged: last }), { status: 'torn' }, 'no rollback');
  });
}

t.test(
  'when the next epoch cannot be opened either the recording has failed, once, and says why',
  async (t) => {
    const store = await makeStore(t.testdir({}));
    const files = new FailingFiles();
    const errors: string[] = [];
    const log = await store.openLog({ files, onError: (error) => errors.push(error.code) });
    const failed = Promise.withResolvers<string>();
    let calls = 0;
    const writer = await store.create(log, {
      onFailed: (error) => {
        calls += 1;
        failed.resolve(error.code);
      },
    });
    files.before = (_verb, path) => {
      if (path.endsWith('.scj')) throw diskError('ENOSPC');
    };
    for (let n = 0; n < 400; n += 1) writer.append(0, 0, packetOf(n), n);
    const acknowledged = await writer.flush({ urgent: true });
    t.equal(await failed.promise, 'no_space');
    t.equal(writer.append(0, 0, packetOf(1), 1), false);
    await t.rejects(writer.flush(), { code: 'no_space' });
    await t.rejects(writer.end('hangup'), { code: 'no_space' });
    t.equal(calls, 1);
    files.before = () => {};
    await log.close();
    t.ok(errors.length > 0);
    // What was acknowledged was in the log, and the writer put it into the journal when the disk was back.
    t.match(await verifyJournal(writer.path, { acknowledged }), { status: 'torn', seq: acknowledged.seq });
  },
);

t.test('the log that fails goes on in a new segment with the same bytes', async (t) => {
  for (const verb of ['write', 'datasync'] as const) {
    const store = await makeStore(t.testdir({}));
    const files = new FailingFiles();
    const log = await store.openLog({ files });
    const writer = await store.create(log);
    writer.append(0, 0, packetOf(0), 0);
    await writer.flush({ urgent: true });
    let failures = 0;
    files.tornBytes = 50;
    files.before = (which, path) => {
      if (which !== verb || !path.endsWith('000000000001.wal')) return;
      failures += 1;
      throw diskError('EIO');
    };
    for (let n = 1; n < 500; n += 1) writer.append(0, 0, packetOf(n), n);
    await writer.flush({ urgent: true });
    writer.append(0, 0, packetOf(500), 500);
    const end = await writer.end('hangup');
    t.equal(failures, 1, 'the broken segment is not touched again');
    t.equal(end.epoch, 1);
    t.equal((await readByHand(writer.path, store.identity)).records.length, 501);
    await log.close();
  }
});

t.test('when the new segment fails too every call of that commit is told and the rest goes on', async (t) => {
  const store = await makeStore(t.testdir({}));
  const files = new FailingFiles();
  const log = await store.openLog({ files });
  t.teardown(() => log.close());
  const failed: string[] = [];
  const lost = await store.create(log, { onFailed: (error) => failed.push(error.code) });
  lost.append(0, 0, packetOf(0), 0);
  const kept = await lost.flush({ urgent: true });
  const other = await store.create(log, { onFailed: () => t.fail('had nothing in that commit') });
  files.before = (verb, path) => {
    if (verb === 'datasync' && path.endsWith('.wal')) throw diskError('EIO');
  };
  lost.append(0, 0, packetOf(1), 1);
  await t.rejects(lost.flush({ urgent: true }), { code: 'recording_lost' });
  t.same(failed, ['recording_lost']);
  files.before = () => {};
  other.append(1, 0, packetOf(7), 7);
  await other.end('hangup');
  t.equal((await readByHand(other.path, store.identity)).records.length, 1);
  await lost.close();
  t.match(await verifyJournal(lost.path, { acknowledged: kept }), { seq: kept.seq });
});

t.test('a log that stands still loses the recording instead of eating memory', async (t) => {
  const store = await makeStore(t.testdir({}));
  const files = new FailingFiles();
  const log = await store.openLog({ files });
  const failed = Promise.withResolvers<string>();
  const writer = await store.create(log, { onFailed: (error) => failed.resolve(error.code) });
  // No turn of the event loop, so no commit: the limit is what stops this loop.
  let appended = 0;
  while (writer.append(0, 0, packetOf(appended, 1000), appended)) appended += 1;
  t.equal(await failed.promise, 'recording_lost');
  t.ok(appended > 400 && appended < 700, `${appended} kB were kept`);
  await log.close();
});

t.test('a journal that breaks only at END is made anew from the log, and END is acknowledged', async (t) => {
  for (const verb of ['write', 'datasync'] as const) {
    const dir = t.testdir({});
    const store = await makeStore(dir);
    const files = new FailingFiles();
    const log = await store.openLog({ files });
    const writer = await store.create(log, { onEpoch: () => t.fail('no epoch for END alone') });
    for (let n = 0; n < 50; n += 1) writer.append(0, 0, packetOf(n), n);
    await writer.flush({ urgent: true });
    files.tornBytes = 700;
    files.before = (which, path) => {
      if (which === verb && path === writer.path) throw diskError('EIO');
    };
    const acknowledged = await writer.end('hangup');
    t.match(await verifyJournal(writer.path, { acknowledged }), { status: 'complete' }, verb);
    t.equal((await readByHand(writer.path, store.identity)).records.length, 50);
    t.same(
      readdirSync(store.paths.journals).filter((name) => name.endsWith('.tmp')),
      [],
    );
    await log.close();
    t.same(readdirSync(store.paths.wal), [], 'nothing needs the log any more');
  }
});

t.test(
  'without a free descriptor a journal is refused as unavailable, and the next try may succeed',
  async (t) => {
    const store = await makeStore(t.testdir({}));
    const files = new FailingFiles();
    const log = await store.openLog({ files });
    t.teardown(() => log.close());
    files.before = (verb) => {
      if (verb === 'create') throw diskError('EMFILE');
    };
    const recording = crypto.randomUUID();
    await t.rejects(store.create(log, { recording }), { code: 'unavailable' });
    files.before = (verb) => {
      if (verb === 'datasync') throw diskError('ENOSPC');
    };
    await t.rejects(store.create(log, { recording }), { code: 'no_space' });
    files.before = () => {};
    const writer = await store.create(log, { recording });
    await writer.end('hangup');
    t.equal(log.stats().writers, 0);
  },
);
