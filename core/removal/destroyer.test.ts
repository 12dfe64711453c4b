import { randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { quarantine } from '#store';
import { testDatabase, testDir } from '../db/fixture.ts';
import { recordingById } from '../db/recordings.ts';
import { putTranscript } from '../db/timelines.ts';
import { auditFolder } from '../evidence/audit.ts';
import { MadeFolder } from '../evidence/audit-fixture.ts';
import { keptRecording, tracesOf } from './fixture.ts';
import { Removal } from './index.ts';

// The whole of a removal on real files, a real ledger and a real database; a kill at every step is in crash-table.test.ts.
t.setTimeout(240_000);

const db = await testDatabase(t);
const root = await testDir(t);
const folder = await MadeFolder.open(db, join(root, 'data'));
t.teardown(() => folder.close());
const { paths, signerDir, ledger } = folder;
const alarms: string[] = [];
const changed: string[] = [];
const released: string[] = [];
let releaseError: Error | undefined;
let clock = { wallMs: Date.now(), monoMs: 0 };
const ignore = (): void => undefined;
const silent = { info: ignore, warn: ignore, error: ignore };

function openRemoval(enabled = true): Removal {
  return new Removal({
    db,
    paths,
    ledger,
    alarms: {
      raise: async (kind, subject, problem) => void alarms.push(`${kind} ${subject}: ${problem}`),
      clear: async () => undefined,
    },
    log: silent,
    enabled,
    release: async (id) => {
      released.push(id);
      if (releaseError !== undefined) throw releaseError;
    },
    onChanged: ({ recordingId, state, reason }) => void changed.push(`${recordingId} ${state} ${reason}`),
    wallMs: () => clock.wallMs,
    monoMs: () => clock.monoMs,
  });
}

const removal = openRemoval();
t.teardown(() => removal.close());

const keepFor = (appId: string, days: number | null) =>
  db.sql`update apps set retention_days = ${days} where id = ${appId}`;
const aged = (recordingId: string, days: number) =>
  db.sql`update recordings set ended_at = now() - ${days} * interval '1 day' where id = ${recordingId}`;
const tracesIn = (needles: ReadonlyMap<string, Buffer>) =>
  tracesOf(needles, { dirs: [paths.dataDir, signerDir], db });
const verify = () => auditFolder({ dataDir: paths.dataDir, signerDir, identity: folder.identity });
const faultsOf = async () => (await verify()).findings.filter(({ severity }) => severity === 'fault');
const entriesOf = async (sub: string): Promise<{ t: string; d: Record<string, unknown>; actor: unknown }[]> =>
  (await ledger.entriesOf(sub)).map(({ bytes }) => JSON.parse(bytes.toString()));

t.test(
  'F32 a recording whose period is over expires without a trace of its content, and the tree verifies',
  async (t) => {
    const { call, needles } = await keptRecording(db, folder);
    const stays = await keptRecording(db, folder);
    const { recordingId, appId } = call;
    // What a crash or an operator may have left beside it.
    await writeFile(`${paths.journal(recordingId, 1)}.tail`, 'torn');
    await writeFile(`${paths.hdr(recordingId)}.tmp`, await readFile(paths.hdr(recordingId)));
    await writeFile(join(paths.recordings, `${recordingId}.salt.0123456789ab.tmp`), 'salt');
    const aside = `${paths.journal(recordingId, 2)}.tail2`;
    await writeFile(aside, await readFile(paths.journal(recordingId, 1)));
    await quarantine(paths, { subject: recordingId, files: [aside], why: 'corrupt_journal' });
    const before = await tracesIn(needles);
    for (const name of [
      'the header',
      'its SHA-256, hex',
      'the transcript',
      'the salt',
      'the journal’s header',
    ])
      t.ok(
        before.some((trace) => trace.startsWith(name)),
        `${name} is there before`,
      );

    await keepFor(appId, 30);
    await aged(recordingId, 29);
    t.equal(await removal.retention.run(), 0, 'not a day too early');
    await aged(recordingId, 31);
    t.equal(await removal.retention.run(), 1);
    t.same(await tracesIn(needles), []);
    t.match(await recordingById(db, recordingId), {
      state: 'expired',
      reason: 'retention',
      sha256: null,
      report: null,
      sizeBytes: null,
    });
    t.ok(changed.includes(`${recordingId} expired retention`), 'its parties are told');
    const events = await db.sql<{ type: string; data: object }[]>`
    select type, data from webhook_events where app_id = ${appId} order by at`;
    t.same(
      events.map(({ type }) => type),
      ['recording.available', 'recording.expired'],
      'and so is the app',
    );
    const history = await entriesOf(`rec:${recordingId}`);
    t.match(history.slice(-2), [
      { t: 'removal.exec', d: { cause: 'retention', days: 30 } },
      { t: 'expired', d: { cause: 'retention', absent: { files: 0 } } },
    ]);
    t.same(await faultsOf(), []);
    t.ok((await tracesIn(stays.needles)).length > 5, 'other recordings stay as they are');
    await putTranscript(db, appId, call.callId, {
      segments: [{ side: 'caller', startMs: 0, text: 'said too late' }],
    });
    t.same(
      await db.sql`select 1 from timelines where call_id = ${call.callId}`,
      [],
      'no late transcript comes in',
    );
  },
);

t.test('F32 without a period recordings stay for ever, and a hold stops one that has a period', async (t) => {
  const { call } = await keptRecording(db, folder);
  const { recordingId, appId, chatId } = call;
  await aged(recordingId, 36_000);
  t.equal(await removal.retention.run(), 0);
  await keepFor(appId, 1);
  const hold = { id: randomUUID(), appId, scope: 'chat', target: chatId, reason: 'a lawsuit' } as const;
  await removal.holds.set('ada', hold);
  t.equal(await removal.retention.run(), 0, 'a hold on the whole chat');
  t.match(await removal.holds.on(recordingId), [{ id: hold.id }]);
  t.match(await removal.holds.release('ada', hold.id, 'settled'), { releasedAt: null });
  t.match(await removal.holds.release('ada', hold.id, 'settled'), { releasedAt: null }, 'one alone cannot');
  t.equal(await removal.retention.run(), 0);
  t.match(await removal.holds.release('bob', hold.id, 'settled'), { releasedBy: 'bob' });
  t.equal(await removal.retention.run(), 1, 'after its hold');
  t.match(
    (await entriesOf(`hold:${hold.id}`)).map(({ t, actor }) => [t, actor]),
    [
      ['hold.set', { kind: 'admin', id: 'ada' }],
      ['hold.release', { kind: 'admin', id: 'ada' }],
      ['hold.release', { kind: 'admin', id: 'bob' }],
    ],
  );
  const late = { ...hold, id: randomUUID(), scope: 'recording', target: recordingId } as const;
  await t.rejects(removal.holds.set('ada', late), { code: 'conflict' }, 'there is nothing left to hold');
  await t.rejects(removal.holds.set('ada', { ...hold, id: randomUUID(), target: 'nowhere' }), {
    code: 'not_found',
  });
});

t.test('F32 a clock that is years ahead expires nothing, until somebody says that it is right', async (t) => {
  const { call } = await keptRecording(db, folder);
  const { recordingId, appId } = call;
  await keepFor(appId, 30);
  alarms.length = 0;
  const rightMs = clock.wallMs;
  clock = { wallMs: rightMs + 5 * 365 * 86_400_000, monoMs: clock.monoMs + 1_000 };
  t.equal(await removal.retention.run(), 0);
  t.match(alarms, [/^clock_jump retention: the clock is 1825\.0 days ahead/]);
  // A new process knows of no monotonic clock before it.
  const again = openRemoval();
  t.equal(await again.retention.run(), 0, 'nor after a restart');
  await again.close();
  clock = { wallMs: rightMs + 3_600_000, monoMs: clock.monoMs + 3_600_000 };
  alarms.length = 0;
  t.equal(await removal.retention.run(), 0);
  t.same(alarms, [], 'the clock is right again');
  clock = { wallMs: rightMs + 40 * 86_400_000, monoMs: clock.monoMs };
  t.equal(await removal.retention.run(), 0);
  await removal.retention.confirmClock('ada');
  t.match((await entriesOf('log')).at(-1), { t: 'config.change', d: { what: 'retention.clock' } });
  t.equal(await removal.retention.run(), 1, 'forty days have really gone by');
  t.match(await recordingById(db, recordingId), { state: 'expired' });
  await db.sql`delete from retention_clock`;
  clock = { wallMs: Date.now(), monoMs: 0 };
});

t.test(
  'F32 what cannot be let go is told, does not keep others from going, and goes the next time',
  async (t) => {
    const { call, needles } = await keptRecording(db, folder);
    await keepFor(call.appId, 1);
    await aged(call.recordingId, 2);
    alarms.length = 0;
    releaseError = new Error('a finaliser still works on it');
    t.equal(await removal.retention.run(), 0);
    t.match(alarms, [new RegExp(`removal_fault ${call.recordingId}: a finaliser still works`)]);
    t.match(await recordingById(db, call.recordingId), { state: 'available' });
    t.same(await faultsOf(), [], 'nothing is missing without a reason');
    releaseError = undefined;
    t.equal(await removal.retention.run(), 1);
    t.same(await tracesIn(needles), []);
  },
);

t.test(
  'F41 files of a recording that is gone, put back from a backup, are found, told and destroyed',
  async (t) => {
    const { call, needles } = await keptRecording(db, folder);
    const { recordingId, appId } = call;
    const header = await readFile(paths.hdr(recordingId));
    await keepFor(appId, 1);
    await aged(recordingId, 2);
    t.equal(await removal.retention.run(), 1);
    await writeFile(paths.hdr(recordingId), header);
    await mkdir(paths.journals, { recursive: true });
    await writeFile(paths.journal(recordingId, 1), needles.get('the journal’s header') ?? '');
    await writeFile(`${paths.hdr(recordingId)}.tmp`, header);
    const aside = paths.journal(recordingId, 2);
    await writeFile(aside, header);
    const { dir } = await quarantine(paths, { subject: recordingId, files: [aside], why: 'corrupt_journal' });
    t.same(
      (await faultsOf()).map(({ kind, file }) => [kind, file]).sort(),
      [
        ['not_removed', `journals/${recordingId}-1.scj`],
        ['not_removed', `${dir.slice(paths.dataDir.length + 1)}/${recordingId}-2.scj`],
        ['not_removed', `recordings/${recordingId}.hdr`],
        ['not_removed', `recordings/${recordingId}.hdr.tmp`],
      ],
      'the check of the folder tells of all of them',
    );
    alarms.length = 0;
    await removal.retention.run();
    t.match(alarms, [new RegExp(`removal_fault ${recordingId}: files .* were there again`)]);
    t.same(await tracesIn(needles), []);
    t.same(await faultsOf(), []);
  },
);

t.test(
  'F41 the check tells of a recording that is gone without a tombstone, or whose removal nobody ordered',
  async (t) => {
    const { call } = await keptRecording(db, folder);
    const sub = `rec:${call.recordingId}`;
    const server = { kind: 'server' };
    await ledger.append({
      t: 'removal.done',
      id: 'removal.done',
      sub,
      actor: server,
      d: { cause: 'order', removal: 'none' },
    });
    const kinds = async () =>
      new Set((await faultsOf()).map(({ kind, recording }) => `${kind} ${recording}`));
    t.ok((await kinds()).has(`removal ${call.recordingId}`), 'a tombstone without the entry before it');
    const other = await keptRecording(db, folder);
    await ledger.append({
      t: 'removal.exec',
      id: 'removal.exec',
      sub: `rec:${other.call.recordingId}`,
      actor: server,
      d: { cause: 'order', removal: 'r1' },
    });
    t.ok((await kinds()).has(`removal ${other.call.recordingId}`), 'an order that is not in the ledger');
  },
);
