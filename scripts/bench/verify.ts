import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { readLedger, verifyJournal } from '#store';
import { openDatabase, startEmbeddedPostgres } from '../../core/db/index.ts';
import { auditFolder } from '../../core/evidence/audit.ts';
import { digestOf } from '../../core/evidence/audit-files.ts';
import { MadeFolder } from '../../core/evidence/audit-fixture.ts';
import { Pace } from '../../core/evidence/audit-pace.ts';

const USAGE = `usage: scripts/bench/verify [--calls 4] [--minutes 20] [--entries 20000] [--seconds 15] [--rate 4]

Makes a data folder with the server's own code (generated calls, a real ledger) and measures:

  ledger    entries a second, every tile and proof of consistency included
  journals  chains verified, MB/s
  sealed    files hashed, MB/s
  verify    the whole folder as ./scripts/verify does it, without the key and with it
  scrubber  processor time of the background check at its rate (MB/s, the default of scrub.megabytesPerSecond), and
            how late timers of the same process come
`;

const MEGABYTE = 1_000_000;
/** Entries that are on their way to the disk at a time. */
const BATCH = 2_000;

const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '4' },
    minutes: { type: 'string', default: '20' },
    entries: { type: 'string', default: '20000' },
    seconds: { type: 'string', default: '15' },
    rate: { type: 'string', default: '4' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) process.stdout.write(USAGE);
else await main();

async function main(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-bench-'));
  const ignore = (): void => undefined;
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const password = randomBytes(32).toString('base64url');
  const postgres = await startEmbeddedPostgres({ dataDir: join(dir, 'db'), password, log });
  try {
    const db = await openDatabase({ url: postgres.url, log });
    const folder = await MadeFolder.open(db, join(dir, 'data'));
    const recordings = await fill(folder);
    await folder.close();
    await db.close();
    await measure(folder, recordings);
  } finally {
    await postgres.stop();
    await rm(dir, { recursive: true, force: true, maxRetries: 10 });
  }
}

async function fill(folder: MadeFolder): Promise<string[]> {
  const recordings: string[] = [];
  for (let n = 0; n < Number(values.calls); n += 1) {
    const { call } = await folder.call({ durationMs: Number(values.minutes) * 60_000, payloadBytes: 80 });
    recordings.push(call.recordingId);
  }
  for (let from = 0; from < Number(values.entries); from += BATCH) {
    const appended = Array.from({ length: BATCH }, (_, n) =>
      folder.ledger.append({
        t: 'config.change',
        id: `n.${from + n}`,
        sub: `bench:${Math.floor((from + n) / 5)}`,
        actor: { kind: 'server' },
        // About as long as the entries of a call are on average.
        d: { what: 'x'.repeat(500) },
      }),
    );
    await Promise.all(appended);
  }
  return recordings;
}

async function measure(
  { paths, signerDir, identity }: MadeFolder,
  recordings: readonly string[],
): Promise<void> {
  const journals = recordings.map((id) => paths.journal(id, 1));
  const sealed = recordings.map((id) => paths.pay(id));
  const pace = new Pace({});
  const reader = readLedger(paths, { signerDir });
  let entryBytes = 0;
  const ledger = await timed(async () => {
    for await (const { bytes } of reader.entries()) entryBytes += bytes?.length ?? 0;
  });
  const entries = reader.result.size;
  row(
    'ledger',
    `${(entries / ledger.seconds).toFixed(0)} entries/s`,
    `${entries} entries, ${mb(entryBytes)} MB`,
  );
  const chains = await timed(async () => {
    for (const path of journals) await verifyJournal(path);
  });
  speed('journals', await bytesOf(journals), chains.seconds);
  const hashes = await timed(async () => {
    for (const path of sealed) await digestOf(path, pace);
  });
  speed('sealed', await bytesOf(sealed), hashes.seconds);
  const { dataDir } = paths;
  for (const [name, more] of [
    ['verify', {}],
    ['verify --with-key', { identity }],
  ] as const) {
    const { seconds, result, cpuSeconds } = await timed(() => auditFolder({ dataDir, signerDir, ...more }));
    if (!result.ok) throw new Error(JSON.stringify(result.findings[0]));
    speed(name, result.counts.bytes, seconds, `processor ${cpuSeconds.toFixed(2)} s`);
  }
  await measureScrubber(dataDir, signerDir);
}

async function measureScrubber(dataDir: string, signerDir: string): Promise<void> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), Number(values.seconds) * 1000);
  const delays = monitorEventLoopDelay({ resolution: 10 });
  delays.enable();
  let doneBytes = 0;
  const { seconds, cpuSeconds } = await timed(() =>
    auditFolder({
      dataDir,
      signerDir,
      bytesPerSecond: Number(values.rate) * MEGABYTE,
      signal: stop.signal,
      onProgress: (progress) => {
        doneBytes = progress.doneBytes;
      },
    }).catch((error: unknown) => {
      if (!stop.signal.aborted) throw error;
    }),
  );
  clearTimeout(timer);
  delays.disable();
  const share = ((100 * cpuSeconds) / seconds).toFixed(1);
  const waits = `a timer of 10 ms comes after: median ${ms(delays.percentile(50))}, p99 ${ms(delays.percentile(99))}, most ${ms(delays.max)} ms`;
  row(
    'scrubber',
    `${share} % of a processor`,
    `${(doneBytes / MEGABYTE / seconds).toFixed(1)} MB/s; ${waits}`,
  );
}

async function timed<T>(work: () => Promise<T>): Promise<{ seconds: number; cpuSeconds: number; result: T }> {
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const result = await work();
  const { user, system } = process.cpuUsage(cpu);
  return { seconds: (performance.now() - startedMs) / 1000, cpuSeconds: (user + system) / 1e6, result };
}

async function bytesOf(files: readonly string[]): Promise<number> {
  let bytes = 0;
  for (const path of files) bytes += (await stat(path)).size;
  return bytes;
}

function speed(name: string, bytes: number, seconds: number, more = ''): void {
  row(
    name,
    `${(bytes / MEGABYTE / seconds).toFixed(0)} MB/s`,
    `${mb(bytes)} MB in ${seconds.toFixed(2)} s${more ? `; ${more}` : ''}`,
  );
}

function row(name: string, figure: string, more: string): void {
  console.log(`${name.padEnd(20)}${figure.padStart(22)}   ${more}`);
}

function mb(bytes: number): string {
  return (bytes / MEGABYTE).toFixed(1);
}

function ms(nanoseconds: number): string {
  return (nanoseconds / 1e6).toFixed(1);
}
