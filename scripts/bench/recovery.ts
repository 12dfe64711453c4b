import { fork } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { dataPaths, generateServerIdentity, mkdirDurable, readRecipients, verifyJournal } from '#store';
import type { Database } from '../../core/db/index.ts';
import { openDatabase, startEmbeddedPostgres } from '../../core/db/index.ts';
import type { NewRecording } from '../../core/db/recordings.ts';
import { changeRecording, insertRecording, setRecorder } from '../../core/db/recordings.ts';
import { RecordingService } from '../../core/recording/index.ts';
import { insertCall } from '../../core/recording/test/call.ts';
import { noEvidence } from '../../core/recording/test/no-evidence.ts';
import type { OpenJournalsOrder, OpenJournalsReport } from './open-journals.ts';

const USAGE = `usage: scripts/bench/recovery [--journals 1000] [--seconds 20] [--finalise]

How long a server needs, after a crash of itself and its recorder in the middle of many calls, until every one of them
is taken up. Works in a temporary folder, which it removes.

Real: the recording service with its embedded PostgreSQL and queue, the rows, and the files: so many journals that one
recorder process writes at once through its commit log (50 packets a second a leg), until it is killed by kill -9 with
all of them open.
Not in it: starting PostgreSQL, the ledger's entries.

  --journals N  recordings that were running
  --seconds N   of audio in each
  --finalise    go on until every recording is Available, with one finaliser process
`;

const MAX_JOURNALS = 4_000;
const MAX_SECONDS = 600;
const ROWS_AT_ONCE = 50;
const WAIT_MS = 20;
const FINALISE_TIMEOUT_MS = 1_800_000;

const log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields: object, message: string) => console.error(message, fields),
  error: (fields: object, message: string) => console.error(message, fields),
};

const { values } = parseArgs({
  options: {
    journals: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '20' },
    finalise: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

async function main(journals: number, seconds: number, finalise: boolean): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-bench-'));
  const password = randomBytes(32).toString('base64url');
  const postgres = await startEmbeddedPostgres({ dataDir: dir, password, log });
  const db = await openDatabase({ url: postgres.url, log });
  let service: RecordingService | undefined;
  try {
    const paths = dataPaths(dir);
    await generateServerIdentity(paths.secrets, paths.keys);
    for (const folder of [paths.journals, paths.wal, paths.recordings]) await mkdirDurable(folder);
    const recorderId = randomUUID();
    const calls = await insertRunning(db, journals, recorderId);
    const order: OpenJournalsOrder = {
      journalsDir: paths.journals,
      logDir: paths.log(recorderId),
      recorderId,
      recipients: await readRecipients(paths.keys),
      recordings: calls.map(({ recordingId, callId }) => ({ recordingId, callId })),
      seconds,
    };
    const { acknowledged } = await crash(order);
    const journalMiB = await sizeOf(paths.journals);
    const logMiB = await sizeOf(paths.log(recorderId));
    const load = loadavg()[0] ?? 0;

    const began = performance.now();
    service = await RecordingService.open({
      db,
      evidence: noEvidence,
      queue: { databaseUrl: postgres.url },
      dataDir: dir,
      log,
      children: { recorder: false, finaliser: finalise, env: childEnv(dir, postgres.url) },
    });
    const opened = performance.now();
    const report = await service.recover();
    const recovered = performance.now();

    let intact = 0;
    for (const { recordingId, seq, head } of acknowledged) {
      const { status } = await verifyJournal(paths.journal(recordingId, 1), { acknowledged: { seq, head } });
      if (status === 'torn') intact += 1;
    }
    const [open] = await db.sql<{ count: number }[]>`
      select count(*)::int as count from recordings where state in ('armed', 'capturing')`;
    row('recordings that were running', String(journals));
    row('audio in each', `${seconds} s`);
    row('journals / commit log', `${journalMiB.toFixed(0)} MiB / ${logMiB.toFixed(0)} MiB`);
    row('load of the machine before', load.toFixed(1));
    row('queue and service open', `${(opened - began).toFixed(0)} ms`);
    row('recover(): log replayed, all taken up', `${(recovered - opened).toFixed(0)} ms`);
    row('  for each recording', `${((recovered - opened) / journals).toFixed(2)} ms`);
    row('taken up / still open', `${report.recordings} / ${open?.count}`);
    row('journals that hold all acknowledged', `${intact} of ${acknowledged.length}`);
    if (!finalise) return;
    const available = await allAvailable(db, journals);
    row('until all are Available', `${((available - began) / 1000).toFixed(1)} s`);
  } finally {
    await service?.close();
    await db.close();
    await postgres.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

/** Rows as of calls that run. */
async function insertRunning(db: Database, count: number, recorderId: string): Promise<NewRecording[]> {
  const calls: NewRecording[] = [];
  for (let at = 0; at < count; at += ROWS_AT_ONCE)
    calls.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(ROWS_AT_ONCE, count - at) }, async () => {
          const call = await insertCall(db);
          await insertRecording(db, call);
          await setRecorder(db, call.recordingId, 1, recorderId);
          const startedAt = new Date();
          await changeRecording(db, call.recordingId, { to: 'capturing', recorderId, startedAt });
          return call;
        }),
      )),
    );
  return calls;
}

/** Writes the journals in a process of their own and kills it while all are open. */
async function crash(order: OpenJournalsOrder): Promise<OpenJournalsReport> {
  const recorder = fork(fileURLToPath(new URL('./open-journals.ts', import.meta.url)));
  const exited = once(recorder, 'exit');
  try {
    const reported = once(recorder, 'message') as Promise<[OpenJournalsReport]>;
    recorder.send(order);
    const early = exited.then(() => Promise.reject(new Error('the journals could not be written')));
    const [report] = await Promise.race([reported, early]);
    return report;
  } finally {
    recorder.kill('SIGKILL');
    await exited;
  }
}

async function allAvailable(db: Database, count: number): Promise<number> {
  const until = performance.now() + FINALISE_TIMEOUT_MS;
  for (;;) {
    const [done] = await db.sql<{ available: number; failed: number }[]>`
      select count(*) filter (where state = 'available')::int as available,
             count(*) filter (where state = 'failed')::int as failed from recordings`;
    if (Number(done?.failed) > 0) throw new Error(`${done?.failed} recordings failed`);
    if (done?.available === count) return performance.now();
    if (performance.now() > until) throw new Error(`only ${done?.available} are Available`);
    await delay(WAIT_MS);
  }
}

async function sizeOf(dir: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(dir)) bytes += (await stat(join(dir, name))).size;
  return bytes / 1024 / 1024;
}

function childEnv(dataDir: string, databaseUrl: string): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    VERBATIM_DATA_DIR: dataDir,
    VERBATIM_DATABASE_URL: databaseUrl,
    VERBATIM_LOG_LEVEL: process.env.WORKER_LOG ?? 'warn',
  };
}

const row = (name: string, value: string): void => console.log(name.padEnd(40) + value.padStart(24));

function whole(name: string, value: string, most: number): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= 1 && number <= most) return number;
  process.stderr.write(`--${name}: expected a whole number from 1 to ${most}, got ${value}\n${USAGE}`);
  process.exit(2);
}

if (values.help) process.stdout.write(USAGE);
else
  await main(
    whole('journals', values.journals, MAX_JOURNALS),
    whole('seconds', values.seconds, MAX_SECONDS),
    values.finalise,
  );
