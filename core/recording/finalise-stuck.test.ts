import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { dataPaths, generateServerIdentity, readIdentity, readRecipients } from '#store';
import { generateCall, PLAIN_LEG } from '../../recorder-worker/test/calls.ts';
import { writeJournal } from '../../recorder-worker/test/journals.ts';
import { openDatabase } from '../db/index.ts';
import type { RecordingRow } from '../db/recordings.ts';
import { changeRecording, insertRecording } from '../db/recordings.ts';
import { RecordingService } from './service.ts';
import { silent, startServers } from './test/backends.ts';
import { insertCall } from './test/call.ts';
import { noEvidence } from './test/no-evidence.ts';

/** A real finaliser process, as the daemon runs it, that stops without dying (SIGSTOP). */

t.setTimeout(120_000);
const servers = await startServers();
t.teardown(() => servers.stop());
const db = await openDatabase({ url: servers.databaseUrl, log: silent });
t.teardown(() => db.close());
const dataDir = await mkdtemp(join(tmpdir(), 'verbatim-stuck-'));
t.teardown(() => rm(dataDir, { recursive: true, force: true, maxRetries: 10 }));
const paths = dataPaths(dataDir);
for (const dir of [paths.journals, paths.wal, paths.recordings]) mkdirSync(dir, { recursive: true });
await generateServerIdentity(paths.secrets, paths.keys);
const keys = {
  identity: await readIdentity(paths.secrets),
  recipients: [...(await readRecipients(paths.keys))],
};
const call = generateCall({ seed: 1, durationMs: 3_000, legs: [PLAIN_LEG, { ...PLAIN_LEG, ssrc: 0x2000 }] });

/** A recording whose call has ended: its journal, and its row in `processing`; the finalise job is still to be made. */
async function ended(): Promise<string> {
  const recording = await insertCall(db);
  const id = recording.recordingId;
  await insertRecording(db, recording);
  await changeRecording(db, id, { to: 'capturing', recorderId: randomUUID(), startedAt: new Date() });
  await changeRecording(db, id, { to: 'processing', endedAt: new Date(), reason: 'hangup' });
  await writeJournal({ dir: paths.journals, keys, recording: id, records: call.records });
  return id;
}

/** The finalisers among this process's children, as Linux tells them. */
async function finalisers(): Promise<number[]> {
  const children = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8');
  const pids: number[] = [];
  for (const pid of children.trim().split(/\s+/).map(Number)) {
    const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (argv.includes('finalise')) pids.push(pid);
  }
  return pids;
}

t.test(
  'F23 a finaliser that stops without dying is replaced, and what it left becomes Available once',
  async (t) => {
    const [first, second] = [await ended(), await ended()];
    const told: [string, string][] = [];
    const both = Promise.withResolvers<void>();
    let available = new Set<string>();
    const service = await RecordingService.open({
      db,
      evidence: noEvidence,
      queue: { databaseUrl: servers.databaseUrl },
      dataDir,
      log: silent,
      sweepMs: 100,
      stuckMs: 4_000,
      children: {
        recorder: false,
        finaliser: true,
        env: {
          PATH: process.env.PATH,
          VERBATIM_DATA_DIR: dataDir,
          VERBATIM_DATABASE_URL: servers.databaseUrl,
          VERBATIM_LOG_LEVEL: 'silent',
        },
      },
    });
    t.teardown(() => service.close());
    service.on('changed', ({ recordingId, state }: RecordingRow) => {
      told.push([recordingId, state]);
      if (state === 'available') available = available.add(recordingId);
      if (available.size === 2) both.resolve();
    });
    const [pid] = await finalisers();
    if (pid === undefined) throw new Error('the service runs a finaliser');
    process.kill(pid, 'SIGSTOP');
    await service.recover();
    await both.promise;
    t.notOk((await finalisers()).includes(pid), 'the one that had stopped is gone');
    t.same(
      told
        .filter(([, state]) => state === 'available')
        .map(([id]) => id)
        .sort(),
      [first, second].sort(),
      'each once',
    );
    t.notOk(told.some(([, state]) => state === 'failed'));
    t.same(
      readdirSync(paths.recordings).sort(),
      [first, second].flatMap((id) => [`${id}.hdr`, `${id}.pay`]).sort(),
      'nothing temporary is left',
    );
  },
);
