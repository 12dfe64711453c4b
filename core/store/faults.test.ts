import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { readJournal, recordsOf, verifyJournal } from './journal-reader.ts';
import type { Acknowledged, JournalWriter } from './journal-writer.ts';
import { listJournals, recoverLogs } from './log-recovery.ts';
import type { Store } from './testing.ts';
import { diskError, FailingFiles, makeStore, packetOf } from './testing.ts';

/** Numbers of the packets of a recording, over all its epochs, in order; each epoch names the end of the one before. */
async function packetsOf(store: Store, recording: string): Promise<number[]> {
  const numbers: number[] = [];
  let prev: string | null = null;
  for (const { path } of await listJournals(store.paths.journals, recording)) {
    const reader = await readJournal(path, { identity: store.identity });
    for await (const block of reader) {
      for (const { packet } of recordsOf(block)) numbers.push(packet.readUInt32BE(8));
    }
    // Created when the power went: nobody ever heard of it.
    if (reader.header === undefined) continue;
    if (reader.header.prev !== prev) throw new Error(`${path} does not follow the epoch before it`);
    prev = reader.result.head;
  }
  return numbers;
}

interface Call {
  writer: JournalWriter;
  sent: number;
  /** Packets that were acknowledged, and the last head that was, by epoch. */
  safe: number;
  heads: Map<number, Acknowledged>;
  ending: boolean;
  ended: boolean;
}

/** Every promise that was made must be kept by what is on disk. */
async function check(store: Store, calls: Call[]): Promise<void> {
  for (const { writer, sent, safe, heads, ended } of calls) {
    const numbers = await packetsOf(store, writer.recording);
    if (numbers.some((number, n) => number !== n))
      throw new Error('packets are missing, doubled or out of order');
    if (numbers.length < safe || numbers.length > sent)
      throw new Error(`${numbers.length} of ${safe}-${sent}`);
    if (ended && numbers.length !== sent) throw new Error('ended, but not whole');
    for (const acknowledged of heads.values()) {
      const path = store.paths.journal(writer.recording, acknowledged.epoch);
      const { status, problem } = await verifyJournal(path, { acknowledged });
      if (status === 'corrupt' || status === 'rollback') throw new Error(`${status}: ${problem}`);
    }
    const last = (await listJournals(store.paths.journals, writer.recording)).at(-1);
    if (ended && (await verifyJournal(last?.path ?? '')).status !== 'complete') throw new Error('no END');
  }
}

/**
 * The disk as a crash would leave it now: of every file what was synced and any part of what was only written.
 * The log is copied first, as its segments go when the journals have what was in them.
 */
function crash(from: Store, to: Store, files: FailingFiles, calls: Call[], keep: number): Call[] {
  const then = calls.map((call) => ({ ...call, heads: new Map(call.heads) }));
  const ending = calls.filter((call) => call.ending).map(({ writer }) => writer.recording);
  for (const dir of ['wal', 'journals'] as const) {
    for (const name of readdirSync(from.paths[dir], { recursive: true, encoding: 'utf8' })) {
      const source = join(from.paths[dir], name);
      const target = join(to.paths[dir], name);
      if (!/\.(wal|scj)$/.test(name)) continue;
      mkdirSync(dirname(target), { recursive: true });
      const bytes = readFileSync(source);
      const durable = files.durableBytes.get(source) ?? bytes.length;
      // A journal at its END may just have been made anew, which is synced in its own way.
      const whole = ending.some((recording) => name.startsWith(recording));
      const left = whole ? bytes.length : durable + Math.floor((bytes.length - durable) * keep);
      writeFileSync(target, bytes.subarray(0, left));
    }
  }
  return then;
}

const fault = fc.record({
  where: fc.constantFrom('journal', 'log'),
  verb: fc.constantFrom('create', 'write', 'datasync'),
  /** Which operation of that kind fails, and how many after it. */
  after: fc.nat(12),
  count: fc.integer({ min: 1, max: 3 }),
  tornBytes: fc.constantFrom(0, 1, 100, 5000),
  code: fc.constantFrom('EIO', 'ENOSPC'),
});
const plan = fc.record({
  faults: fc.array(fault, { maxLength: 3 }),
  crashAfterCommits: fc.integer({ min: 1, max: 25 }),
  keep: fc.constantFrom(0, 0.3, 0.9, 1),
});

t.test(
  'F23 whatever fails or crashes whenever, what was acknowledged is there and nothing is invented',
  async (t) => {
    const dir = t.testdir({});
    let run = 0;
    let failures = 0;
    let switches = 0;
    let lost = 0;
    let crashes = 0;
    await fc.assert(
      fc.asyncProperty(plan, async ({ faults, crashAfterCommits, keep }) => {
        run += 1;
        const store = await makeStore(join(dir, `${run}-live`));
        const crashed: Store = {
          ...(await makeStore(join(dir, `${run}-crashed`))),
          identity: store.identity,
        };
        const files = new FailingFiles();
        // Small segments and no patience: journals are written and synced, segments removed all the time.
        const log = await store.openLog({ files, tickMs: 2, segmentBytes: 8192, maxLogBytes: 0 });
        const calls: Call[] = [];
        for (let n = 0; n < 3; n += 1) {
          const writer = await store.create(log, {
            onEpoch: () => (switches += 1),
            onFailed: () => (lost += 1),
          });
          calls.push({ writer, sent: 0, safe: 0, heads: new Map(), ending: false, ended: false });
        }
        let atCrash: Call[] | undefined;
        let operations = 0;
        const seen = faults.map(() => 0);
        files.before = (verb, path) => {
          const where = path.endsWith('.wal') ? 'log' : 'journal';
          operations += 1;
          if (operations === crashAfterCommits * 3) {
            atCrash = crash(store, crashed, files, calls, keep);
            crashes += 1;
          }
          for (const [n, one] of faults.entries()) {
            if (one.verb !== verb || one.where !== where) continue;
            seen[n] = (seen[n] ?? 0) + 1;
            if ((seen[n] ?? 0) <= one.after || (seen[n] ?? 0) > one.after + one.count) continue;
            failures += 1;
            files.tornBytes = one.tornBytes;
            throw diskError(one.code);
          }
        };
        const speak = async (call: Call) => {
          try {
            for (let round = 0; round < 8; round += 1) {
              for (let n = 0; n < 120; n += 1) {
                if (!call.writer.append(0, 0, packetOf(call.sent, 60), call.sent)) return;
                call.sent += 1;
              }
              const { sent } = call;
              const acknowledged = await call.writer.flush({ urgent: round % 2 === 0 });
              call.safe = sent;
              call.heads.set(acknowledged.epoch, acknowledged);
            }
            call.ending = true;
            const end = await call.writer.end('hangup');
            call.heads.set(end.epoch, end);
            call.ended = true;
          } catch {
            // The recording failed, which the disk may make it do; what it acknowledged before is looked at below.
          }
        };
        await Promise.all(calls.map(speak));
        files.before = () => {};
        await log.close();
        await recoverLogs({ walRoot: store.paths.wal, journalsDir: store.paths.journals });
        await check(store, calls);
        const left = readdirSync(store.paths.wal);
        if (left.length > 0) throw new Error(`a log is left: ${left}`);
        if (atCrash !== undefined) {
          await recoverLogs({ walRoot: crashed.paths.wal, journalsDir: crashed.paths.journals });
          await check(crashed, atCrash);
        }
        await rm(dir, { recursive: true });
      }),
      { numRuns: Number(process.env.RUNS ?? 30) },
    );
    t.ok(
      failures > 0 && crashes > 0,
      `${failures} failures, ${crashes} crashes, ${switches} next epochs, ${lost} lost`,
    );
  },
);
