import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { dataPaths, generateServerIdentity, openSealed, readIdentity, readRecipients } from '#store';
import { generateCall, PLAIN_LEG } from '../../recorder-worker/test/calls.ts';
import { writeJournal } from '../../recorder-worker/test/journals.ts';
import type { Database } from '../db/index.ts';
import { openDatabase } from '../db/index.ts';
import type { RecordingRow } from '../db/recordings.ts';
import { changeRecording, insertRecording, recordingById } from '../db/recordings.ts';
import type { FaultRule } from '../test/fault-plan.ts';
import { faultPlan } from '../test/fault-plan.ts';
import { RecorderQueue } from './queue.ts';
import { RecordingService } from './service.ts';
import { silent, startServers } from './test/backends.ts';
import { insertCall } from './test/call.ts';
import { noEvidence } from './test/no-evidence.ts';

// A real finaliser process on a real queue, killed and failed at every step. What is left of a dead one the queue hands
// on after 20 s, so all recordings go through it side by side.
t.setTimeout(240_000);

const WORKER = fileURLToPath(new URL('../../recorder-worker/main.ts', import.meta.url));
const servers = await startServers();
t.teardown(() => servers.stop());
const db: Database = await openDatabase({ url: servers.databaseUrl, log: silent });
t.teardown(() => db.close());

const dataDir = await mkdtemp(join(tmpdir(), 'verbatim-finalise-'));
t.teardown(() => rm(dataDir, { recursive: true, force: true, maxRetries: 10 }));
const paths = dataPaths(dataDir);
for (const dir of [paths.journals, paths.wal, paths.recordings]) mkdirSync(dir, { recursive: true });
await generateServerIdentity(paths.secrets, paths.keys);
const keys = {
  identity: await readIdentity(paths.secrets),
  recipients: [...(await readRecipients(paths.keys))],
};
const call = generateCall({ seed: 1, durationMs: 3_000, legs: [PLAIN_LEG, { ...PLAIN_LEG, ssrc: 0x2000 }] });

interface Case {
  name: string;
  /** The rules for the finaliser that works on this recording. */
  rules: (id: string) => FaultRule[];
  /** What the rules must have done at least. */
  acted: number;
  ends: 'available' | 'finalise_failed' | 'corrupt_journal';
}

const argv = 'main\\.ts finalise$';
const disk =
  (op: FaultRule['op'], part: string, rest: Pick<FaultRule, 'act'> & Partial<FaultRule>) =>
  (id: string): FaultRule[] => [{ op, path: `${id}${part}`, argv, ...rest }];
const pay = '\\.pay\\.tmp$';
const hdr = '\\.hdr\\.tmp$';
const report = (id: string): FaultRule => ({ op: 'send', path: `finalised.{1,200}${id}`, argv, act: 'kill' });
/** The directory has no name of a recording: it is the one whose header has just got its name. */
const directory = (id: string): FaultRule => ({
  op: 'sync',
  path: 'recordings$',
  argv,
  act: 'kill',
  whileExists: paths.hdr(id),
});
const full = join(dataDir, 'full');
writeFileSync(full, '');
const kill = (name: string, rules: Case['rules']): Case => ({ name, rules, acted: 1, ends: 'available' });

const cases: Case[] = [
  kill('nothing happens', () => []),
  kill('killed before the payload is made', disk('create', pay, { act: 'kill' })),
  kill('killed after the payload was made', disk('create', pay, { act: 'kill', when: 'after' })),
  kill('killed in the middle of the payload', disk('write', pay, { act: 'kill', when: 'half', nth: 2 })),
  kill('killed before the payload is synced', disk('sync', pay, { act: 'kill' })),
  kill('killed after the payload was synced', disk('sync', pay, { act: 'kill', when: 'after' })),
  kill('killed in the middle of the header', disk('write', hdr, { act: 'kill', when: 'half' })),
  kill('killed while the copy is read back', disk('read', pay, { act: 'kill', nth: 2 })),
  kill('killed before the payload is renamed', disk('rename', '\\.pay$', { act: 'kill' })),
  kill('killed after the payload was renamed', disk('rename', '\\.pay$', { act: 'kill', when: 'after' })),
  kill('killed before the header is renamed', disk('rename', '\\.hdr$', { act: 'kill' })),
  kill('killed after the header was renamed', disk('rename', '\\.hdr$', { act: 'kill', when: 'after' })),
  kill('killed before the directory is synced', (id) => [directory(id)]),
  kill('killed after the directory was synced', (id) => [{ ...directory(id), when: 'after' }]),
  kill('killed before it reports', (id) => [report(id)]),
  kill('killed after it reported', (id) => [{ ...report(id), when: 'after' }]),
  kill('the payload cannot be synced once', disk('sync', pay, { act: 'EIO' })),
  kill('the disk is full once', disk('write', hdr, { act: 'ENOSPC', when: 'half' })),
  kill('there is no descriptor once', disk('open', '-1\\.scj$', { act: 'EMFILE' })),
  {
    name: 'the disk stays full',
    rules: disk('write', pay, { act: 'ENOSPC', when: 'half', always: true, whileExists: full }),
    acted: 5,
    ends: 'finalise_failed',
  },
  { name: 'the journal contradicts itself', rules: () => [], acted: 0, ends: 'corrupt_journal' },
  { name: 'the commit log says otherwise', rules: () => [], acted: 0, ends: 'corrupt_journal' },
];

interface Prepared extends Case {
  id: string;
  journal: string;
  sha256: string;
}

const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** A recording whose call has ended: its journal, and its row in `processing`. */
async function prepare(one: Case): Promise<Prepared> {
  const recording = await insertCall(db);
  const id = recording.recordingId;
  await insertRecording(db, recording);
  await changeRecording(db, id, { to: 'capturing', recorderId: randomUUID(), startedAt: new Date() });
  await changeRecording(db, id, { to: 'processing', endedAt: new Date(), reason: 'hangup' });
  const { path } = await writeJournal({ dir: paths.journals, keys, recording: id, records: call.records });
  if (one.name === 'the commit log says otherwise') {
    const dir = join(dataDir, 'other');
    const other = await writeJournal({ dir, keys, recording: id, records: call.records });
    mkdirSync(paths.log('gone'));
    writeFileSync(join(paths.log('gone'), '000000000001.wal'), segmentOf(id, readFileSync(other.path)));
  } else if (one.ends === 'corrupt_journal') {
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(path, bytes);
  }
  return { ...one, id, journal: path, sha256: sha256(path) };
}

/** A commit log that holds the first block of a journal. */
function segmentOf(recording: string, journal: Buffer): Buffer {
  const start = 12 + journal.readUInt32BE(8) + 32;
  const block = journal.subarray(start, start + 32 + journal.readUInt32BE(start + 12) + 32);
  const segment = Buffer.alloc(Math.ceil((24 + block.length) / 4096) * 4096);
  segment.writeUInt32BE(20 + block.length, 0);
  segment.write(recording.replaceAll('-', ''), 4, 'hex');
  segment.writeUInt32BE(1, 20);
  block.copy(segment, 24);
  return segment;
}

const prepared: Prepared[] = [];
for (const one of cases) prepared.push(await prepare(one));
await rm(join(paths.journals, 'wal'), { recursive: true });

const planned = prepared.flatMap((one) => one.rules(one.id).map((rule) => ({ id: one.id, rule })));
const planDir = t.testdir({});
const plan = faultPlan(
  planDir,
  planned.map(({ rule }) => rule),
);
const acted = (id: string) => planned.reduce((sum, rule, i) => sum + (rule.id === id ? plan.acted(i) : 0), 0);

/** The finaliser, started again whenever it dies, as the daemon does it. */
class Finalisers {
  deaths = 0;
  #child: ChildProcess | undefined;
  #over = false;

  start(): void {
    const child = spawn(process.execPath, [WORKER, 'finalise'], {
      env: {
        PATH: process.env.PATH,
        VERBATIM_DATA_DIR: dataDir,
        VERBATIM_DATABASE_URL: servers.databaseUrl,
        VERBATIM_LOG_LEVEL: process.env.WORKER_LOG ?? 'silent',
        ...plan.env,
      },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    this.#child = child;
    child.on('exit', (_code, signal) => {
      if (this.#over) return;
      if (signal === 'SIGKILL') this.deaths += 1;
      this.start();
    });
  }

  async stop(): Promise<void> {
    this.#over = true;
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await gone;
  }
}

const open = () =>
  RecordingService.open({
    db,
    evidence: noEvidence,
    queue: { databaseUrl: servers.databaseUrl },
    dataDir,
    log: silent,
  });

t.test(
  'F23 F33 whenever the finaliser dies or fails, each recording becomes Available once, or Failed with a reason',
  async (t) => {
    const ended = new Map<string, string[]>();
    const service = await open();
    t.teardown(() => service.close());
    const done = Promise.withResolvers<void>();
    service.on('changed', ({ recordingId, state }: RecordingRow) => {
      ended.set(recordingId, [...(ended.get(recordingId) ?? []), state]);
      if (ended.size === prepared.length) done.resolve();
    });
    const finalisers = new Finalisers();
    t.teardown(() => finalisers.stop());
    await service.recover();
    finalisers.start();
    await done.promise;

    // A finaliser that died after its report has a job that is run once more, which must change nothing.
    const queue = await RecorderQueue.open({ databaseUrl: servers.databaseUrl }, silent);
    t.teardown(() => queue.close());
    for (const { id } of prepared) while ((await queue.finaliseState(id)).state !== 'none') await delay(200);
    await finalisers.stop();
    await service.close();

    const rows = new Map<string, RecordingRow>();
    for (const { id } of prepared) {
      const row = await recordingById(db, id);
      if (row !== null) rows.set(id, row);
    }
    const model = rows.get(prepared[0]?.id ?? '')?.sha256;
    t.match(model, /^[0-9a-f]{64}$/);
    const kills = prepared.filter((one) => one.name.startsWith('killed')).length;
    t.equal(finalisers.deaths, kills, 'each rule killed one finaliser');
    for (const { id, name, ends, journal, sha256: before, acted: least } of prepared) {
      const row = rows.get(id);
      t.equal(row?.state, ends === 'available' ? 'available' : 'failed', name);
      if (name !== 'nothing happens' && least > 0) t.ok(acted(id) >= least, `${name}: it happened`);
      t.same(ended.get(id), [row?.state], `${name}: it was told once`);
      const files = readdirSync(paths.recordings)
        .filter((file) => file.startsWith(id))
        .sort();
      if (ends !== 'available') {
        t.equal(row?.reason, ends, name);
        t.same(files, [], `${name}: no file`);
      } else {
        t.same(files, [`${id}.hdr`, `${id}.pay`], `${name}: nothing temporary`);
        t.equal(
          row?.report?.paySha256,
          sha256(paths.pay(id)),
          `${name}: the payload is the one that was reported`,
        );
        t.equal(row?.report?.hdr?.sha256, sha256(paths.hdr(id)), `${name}: and so is the header`);
        const sealed = await openSealed({ pay: paths.pay(id), hdr: paths.hdr(id), identity: keys.identity });
        const bytes = await sealed.read(0, sealed.sizeBytes);
        await sealed.close();
        t.equal(createHash('sha256').update(bytes).digest('hex'), model, `${name}: the same bytes`);
      }
      if (ends === 'finalise_failed') t.match(row?.detail, /ENOSPC: no space left on device/);
      if (ends !== 'corrupt_journal') t.equal(sha256(journal), before, `${name}: the journal is as it was`);
      else t.notOk(existsSync(journal), `${name}: it is no longer among the journals`);
    }

    for (const corrupt of prepared.filter(({ ends }) => ends === 'corrupt_journal')) {
      const folders = readdirSync(paths.quarantine).filter((name) => name.startsWith(`${corrupt.id}-`));
      t.equal(folders.length, 1, `${corrupt.name}: it is in quarantine`);
      const folder = join(paths.quarantine, folders[0] ?? '');
      t.equal(sha256(join(folder, `${corrupt.id}-1.scj`)), corrupt.sha256, 'as it was found');
      const note = JSON.parse(readFileSync(join(folder, 'why.json'), 'utf8'));
      t.match(note, { subject: corrupt.id, why: /^corrupt_journal: / });
      const log = join(folder, 'gone', '000000000001.wal');
      t.equal(existsSync(log), corrupt.name === 'the commit log says otherwise', 'with the log that says so');
    }
    t.same(readdirSync(paths.wal), [], 'which no later start replays again');
  },
);

t.test(
  'F33 what failed although its capture is intact is made when an operator asks for it again',
  async (t) => {
    const service = await open();
    t.teardown(() => service.close());
    const finalisers = new Finalisers();
    t.teardown(() => finalisers.stop());
    const changed = new Map<string, string>();
    const done = Promise.withResolvers<void>();
    service.on('changed', ({ recordingId, state, reason }: RecordingRow) => {
      changed.set(state, `${recordingId} ${reason}`);
      if (state === 'available' || state === 'failed') done.resolve();
    });
    const failed = prepared.find(({ ends }) => ends === 'finalise_failed');
    const id = failed?.id ?? '';
    await rm(full);
    await service.retry(id);
    t.equal(changed.get('processing'), `${id} retried`);
    await t.rejects(service.retry(id), { code: 'conflict' }, 'it is under way');
    finalisers.start();
    await done.promise;
    const row = await recordingById(db, id);
    t.match(row, { state: 'available', sha256: (await recordingById(db, prepared[0]?.id ?? ''))?.sha256 });
    t.same(
      readdirSync(paths.recordings)
        .filter((file) => file.startsWith(id))
        .sort(),
      [`${id}.hdr`, `${id}.pay`],
    );
    for (const { ends, id: other } of prepared)
      if (ends !== 'finalise_failed') await t.rejects(service.retry(other), { code: 'conflict' }, ends);
    await t.rejects(service.retry(randomUUID()), { code: 'conflict' });
  },
);
