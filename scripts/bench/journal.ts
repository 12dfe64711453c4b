// Cost of the journal alone: generated packets for N calls straight into the writers, no network.
//   node scripts/bench/journal.ts [calls] [seconds] [directory]
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import {
  CommitLog,
  dataPaths,
  generateServerIdentity,
  JournalWriter,
  monotonicUs,
  readRecipients,
  verifyJournal,
} from '#store';

const PACKET_BYTES = 100;
const PACKETS_PER_SECOND = 50;

const calls = Number(process.argv[2] ?? 200);
const seconds = Number(process.argv[3] ?? 10);
const dir = mkdtempSync(join(process.argv[4] ?? tmpdir(), 'verbatim-bench-'));
const paths = dataPaths(dir);
mkdirSync(paths.journals);
await generateServerIdentity(paths.secrets, paths.keys);
const recipients = await readRecipients(paths.keys);
const log = await CommitLog.open({
  dir: paths.log('bench'),
  journalsDir: paths.journals,
  onError: (error) => console.error(error),
});

try {
  const emptyBytes = process.memoryUsage.rss();
  const openedAt = performance.now();
  const writers: JournalWriter[] = [];
  for (let n = 0; n < calls; n += 1) {
    const ids = { recording: crypto.randomUUID(), call: crypto.randomUUID(), epoch: 1, recorder: 'bench' };
    writers.push(await JournalWriter.create({ log, recipients, ...ids }));
  }
  const openMs = (performance.now() - openedAt) / calls;

  const packet = Buffer.alloc(PACKET_BYTES, 0x5a);
  let packets = 0;
  let appendMs = 0;
  let lateMs = 0;
  const before = log.stats();
  const cpu = process.cpuUsage();
  const started = performance.now();
  const rounds = seconds * PACKETS_PER_SECOND;
  for (let round = 0; round < rounds; round += 1) {
    const due = started + (round * 1000) / PACKETS_PER_SECOND;
    const wait = due - performance.now();
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, wait)));
    const now = performance.now();
    lateMs = Math.max(lateMs, now - due);
    for (const writer of writers) {
      // The clock is read for each packet, as the socket does it.
      writer.append(0, 0, packet, monotonicUs());
      writer.append(1, 0, packet, monotonicUs());
    }
    appendMs += performance.now() - now;
    packets += writers.length * 2;
  }
  const { user, system } = process.cpuUsage(cpu);
  const ranMs = performance.now() - started;
  const rss = process.memoryUsage.rss();
  const after = log.stats();
  const endAt = performance.now();
  await Promise.all(writers.map((writer) => writer.end('bench')));
  const endMs = performance.now() - endAt;
  const ended = log.stats();
  let complete = 0;
  for (const writer of writers) if ((await verifyJournal(writer.path)).status === 'complete') complete += 1;
  console.table({
    calls,
    packets,
    'us a packet, append': round((appendMs * 1000) / packets),
    'us a packet, all CPU': round((user + system) / packets),
    'of which system': round(system / packets),
    'core used, %': round((user + system) / 10 / ranMs),
    'MB a call': round((rss - emptyBytes) / calls / 1e6, 3),
    'RSS, MB': round(rss / 1e6),
    'arena, MB': round(after.arenaBytes / 1e6),
    'commit median, ms': round(after.commitMsMedian),
    'commit max, ms': round(after.commitMsMax),
    'commits a second': round(((after.commits - before.commits) * 1000) / ranMs),
    'journal writes a second': round((after.journalWrites * 1000) / ranMs),
    'journal syncs': after.journalSyncs,
    'event loop late, max ms': round(lateMs),
    'opening a journal, ms': round(openMs),
    'ending all, ms': round(endMs),
    acknowledged: ended.acknowledged - calls,
    complete,
  });
} finally {
  await log.close();
  rmSync(dir, { recursive: true });
}

function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}
