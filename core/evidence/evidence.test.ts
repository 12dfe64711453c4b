import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t from 'tap';
import type { Entry } from '#ledger';
import {
  commitment,
  leafHash,
  mark,
  openNote,
  openVerifier,
  parseCheckpoint,
  parseEntry,
  parseProof,
  partyMark,
  verifyInclusion,
} from '#ledger';
import type { Ledger } from '#store';
import { openAlarms } from '../db/alarms.ts';
import { endCall, setCallState } from '../db/calls.ts';
import { consentsOf } from '../db/consents.ts';
import { testDatabase } from '../db/fixture.ts';
import { addDisclosure } from '../db/index.ts';
import { changeRecording, insertRecording, recordingById } from '../db/recordings.ts';
import type { LedgerPort } from './book.ts';
import { noteText } from './book.ts';
import { coverageBytes } from './coverage.ts';
import {
  agree,
  DISCLOSURE_TEXT,
  sealedRow,
  testCall,
  testEvidence,
  testReport,
  withVerbs,
} from './fixture.ts';
import { readOpening } from './opening.ts';

const db = await testDatabase(t);

/** What the ledger holds of a recording. */
async function entriesOf(ledger: Pick<Ledger, 'entriesOf'>, recordingId: string): Promise<Entry[]> {
  return (await ledger.entriesOf(`rec:${recordingId}`)).map(({ bytes }) => parseEntry(bytes));
}

const idsOf = (entries: readonly Entry[]) => entries.map(({ id }) => id);

t.test('F35 a consent is an entry that names nobody and opens with the recording’s salt', async (t) => {
  const { evidence, ledger, paths } = await testEvidence(t, db);
  const { call, consent } = await testCall(db);
  const at = new Date('2026-02-03T04:05:06.789Z');
  const facts = { side: 'caller', device: 'ann-phone', consent, at } as const;
  const index = await evidence.consent(call, facts);
  const [entry] = await entriesOf(ledger, call.recordingId);
  const salt = Buffer.from((await readFile(paths.salt(call.recordingId), 'utf8')).trim(), 'hex');
  t.equal(salt.length, 32);
  t.equal((await stat(paths.salt(call.recordingId))).mode & 0o777, 0o600);
  const party = partyMark(salt, 'ann');
  t.match(entry, {
    t: 'call.consent',
    id: 'consent.caller',
    sub: `rec:${call.recordingId}`,
    prev: null,
    actor: { kind: 'party', party },
    d: {
      call: call.callId,
      app: call.appId,
      chat: mark(salt, 'chat', 'pair'),
      side: 'caller',
      action: 'start',
      party,
      device: mark(salt, 'device', 'ann-phone'),
      disclosure: {
        sha256: createHash('sha256').update(DISCLOSURE_TEXT).digest('hex'),
        version: 1,
        locale: 'en',
      },
      at: '2026-02-03T04:05:06.789Z',
    },
  });
  const text = (await ledger.entry(index)).toString();
  for (const secret of ['ann', 'ben', 'pair"']) t.notOk(text.includes(secret), `${secret} is not in it`);
  t.equal(await evidence.consent(call, facts), index, 'a repeated one is the same entry');
  t.equal((await entriesOf(ledger, call.recordingId)).length, 1);
});

t.test(
  'F35 the exact text of a consent is found for ever, since texts and consents cannot change',
  async (t) => {
    const { evidence } = await testEvidence(t, db);
    const made = await testCall(db);
    await agree({ evidence }, db, made);
    const { call } = made;
    await addDisclosure(db, { appId: call.appId, locale: 'en', body: 'Another text.' });
    const rows = await consentsOf(db, call.callId);
    t.match(rows, [
      { side: 'caller', version: 1, text: DISCLOSURE_TEXT },
      { side: 'callee', version: 1, text: DISCLOSURE_TEXT },
    ]);
    const refused = { code: '23001' };
    await t.rejects(db.sql`update disclosures set body = 'x' where app_id = ${call.appId}`, refused);
    await t.rejects(db.sql`delete from disclosures where app_id = ${call.appId}`, refused);
    await t.rejects(db.sql`truncate disclosures cascade`, refused);
    await t.rejects(db.sql`update consents set device = 'x' where call_id = ${call.callId}`, refused);
    await t.rejects(db.sql`delete from consents where call_id = ${call.callId}`, refused);
    await t.rejects(
      db.sql`insert into disclosures (app_id, locale, version, body, sha256) values (${call.appId}, 'de', 1, 'Ja', 'ff')`,
      { code: '23514' },
      'nor is a text taken under another hash',
    );
  },
);

t.test(
  'a secure call that was heard leaves both consents, its start and its end, as one chain',
  async (t) => {
    const { evidence, ledger, paths } = await testEvidence(t, db);
    const made = await testCall(db);
    await agree({ evidence }, db, made);
    const { call } = made;
    await insertRecording(db, call);
    await changeRecording(db, call.recordingId, { to: 'capturing', recorderId: 'r1', startedAt: new Date() });
    const activeAt = new Date();
    await setCallState(db, call.callId, 'active', activeAt);
    const starting = evidence.callStarted(call, { epoch: 1, seq: 2, head: 'cd'.repeat(32) });
    await changeRecording(db, call.recordingId, { to: 'processing', endedAt: new Date(), reason: 'hangup' });
    await endCall(db, call.callId, 'hangup', new Date(activeAt.getTime() + 61_000));
    await evidence.callEnded(call.callId);
    await starting;
    const entries = await entriesOf(ledger, call.recordingId);
    t.same(idsOf(entries), ['consent.caller', 'consent.callee', 'call.start', 'call.end']);
    const found = await ledger.entriesOf(`rec:${call.recordingId}`);
    entries.forEach((entry, at) => {
      const before = found[at - 1];
      t.equal(entry.prev, before === undefined ? null : leafHash(before.bytes).toString('hex'));
    });
    t.match(entries[2]?.d, { call: call.callId, journal: { epoch: 1, seq: 2, head: 'cd'.repeat(32) } });
    t.match(entries[3]?.d, { call: call.callId, reason: 'hangup', durationMs: 61_000 });
    t.ok((await readdir(paths.recordings)).includes(`${call.recordingId}.salt`), 'its salt stays');
    await evidence.callEnded(call.callId);
    t.equal(await evidence.sweep(), 0, 'nothing is owed');
    t.equal((await entriesOf(ledger, call.recordingId)).length, 4);
  },
);

t.test('a call that nobody was recorded in keeps its entries and loses its salt', async (t) => {
  const { evidence, ledger, paths } = await testEvidence(t, db);
  const { call, consent } = await testCall(db);
  await evidence.consent(call, { side: 'caller', device: 'ann-phone', consent, at: new Date() });
  await endCall(db, call.callId, 'declined', new Date());
  await evidence.callEnded(call.callId);
  const entries = await entriesOf(ledger, call.recordingId);
  t.same(idsOf(entries), ['consent.caller', 'call.end']);
  t.match(entries[1]?.d, { reason: 'declined', durationMs: null });
  t.same(await readdir(paths.recordings), []);
});

t.test('ends that a crash left out are entered by the next look, each once', async (t) => {
  const { evidence, ledger, paths } = await testEvidence(t, db);
  const rung = await testCall(db);
  await evidence.consent(rung.call, { side: 'caller', device: 'd', consent: rung.consent, at: new Date() });
  const refused = await testCall(db);
  const settling = await testCall(db);
  await agree({ evidence }, db, settling);
  await insertRecording(db, settling.call);
  for (const { call } of [rung, refused, settling]) await endCall(db, call.callId, 'shutdown', new Date());
  t.equal(await evidence.sweep(), 2);
  t.same(idsOf(await entriesOf(ledger, rung.call.recordingId)), ['consent.caller', 'call.end']);
  t.same(await entriesOf(ledger, refused.call.recordingId), [], 'what was never entered has no end');
  t.equal((await entriesOf(ledger, settling.call.recordingId)).length, 2, 'its recording is not settled yet');
  await changeRecording(db, settling.call.recordingId, { to: 'failed', reason: 'not_armed', detail: '' });
  t.equal(await evidence.sweep(), 1);
  t.equal((await entriesOf(ledger, settling.call.recordingId)).length, 3);
  t.same(await readdir(paths.recordings), [], 'nobody was heard in any of them');
  t.equal(await evidence.sweep(), 0);
});

t.test('F37 rec.final commits to the file without telling it, and the opening opens it', async (t) => {
  const { evidence, ledger, paths } = await testEvidence(t, db);
  const made = await testCall(db);
  await agree({ evidence }, db, made);
  const { recordingId } = made.call;
  const report = testReport();
  const row = await sealedRow(db, made.call, report);
  const index = await evidence.final(row);
  t.type(index, 'number');
  const opening = await readOpening(paths, recordingId);
  if (opening === undefined || index === null) throw new Error('no opening');
  t.match(opening, {
    recording: recordingId,
    caller: 'ann',
    callee: 'ben',
    sha256: report.sha256,
    sha512: report.sha512,
    crc32: report.crc32,
    entries: { final: index },
    disclosures: { caller: { text: DISCLOSURE_TEXT, version: 1 }, callee: { locale: 'en' } },
    verifier: null,
  });
  const { text } = openNote(opening.checkpoint, [openVerifier(ledger.vkey)]);
  const checkpoint = parseCheckpoint(text);
  t.ok(checkpoint.size > index, 'the checkpoint covers it');
  const bytes: Buffer[] = [];
  for (const each of [opening.entries.consentCaller, opening.entries.consentCallee, opening.entries.final]) {
    const proven = await evidence.reading.proven(each, opening.checkpoint);
    const proof = parseProof(proven.proof);
    t.equal(proof.checkpoint, opening.checkpoint);
    const { size, root } = checkpoint;
    verifyInclusion({ index: each, size, root, leaf: leafHash(proven.bytes), proof: proof.hashes });
    bytes.push(proven.bytes);
  }
  const final = parseEntry(bytes[2] ?? Buffer.alloc(0));
  const salt = await evidence.salts.read(recordingId);
  t.match(final.d, {
    call: made.call.callId,
    durationMs: 4_000,
    consents: bytes.slice(0, 2).map((each) => leafHash(each).toString('hex')),
    legs: [
      {
        side: 'caller',
        lost: 1,
        mutes: { count: 1, totalMs: 500, spans: [{ atMs: 10, lengthMs: 500 }] },
        reconnects: 1,
      },
      { side: 'callee', gaps: { count: 1, totalMs: 1_500 }, reconnects: 0 },
    ],
    pay: { sizeBytes: report.paySizeBytes, sha256: report.paySha256 },
    hdr: report.hdr,
    journals: report.journals,
    commitment: commitment(salt, Buffer.from(report.sha256, 'hex'), Buffer.from(report.sha512 ?? '', 'hex')),
    coverageSha256: createHash('sha256').update(coverageBytes(opening.coverage)).digest('hex'),
  });
  t.notOk(bytes[2]?.toString().includes(report.sha256), 'the hash of the file is not in the ledger');

  const before = await readFile(paths.evidence(recordingId));
  t.equal(await evidence.final(row), index, 'asked again it is the same entry');
  t.same(await readFile(paths.evidence(recordingId)), before, 'and the same opening');
  t.equal((await entriesOf(ledger, recordingId)).length, 3);
});

/** What breaks, at which step; with what is durable then. */
const CRASHES: { step: string; at: (ledger: Ledger) => Partial<LedgerPort>; left: string[] }[] = [
  {
    step: 'before rec.recovered is written',
    at: () => ({ append: () => Promise.reject(new Error('killed')) }),
    left: ['consent.caller', 'consent.callee'],
  },
  {
    step: 'after rec.recovered, before rec.final',
    at: (ledger) => ({
      append: (entry) =>
        entry.t === 'rec.final' ? Promise.reject(new Error('killed')) : ledger.append(entry),
    }),
    left: ['consent.caller', 'consent.callee', 'rec.recovered.1'],
  },
  {
    step: 'after rec.final is durable, before its answer came',
    at: (ledger) => ({
      append: async (entry) => {
        const entered = await ledger.append(entry);
        if (entry.t === 'rec.final') throw new Error('killed');
        return entered;
      },
    }),
    left: ['consent.caller', 'consent.callee', 'rec.recovered.1', 'rec.final'],
  },
  {
    step: 'before a checkpoint covers it',
    at: () => ({ covered: () => Promise.reject(new Error('killed')) }),
    left: ['consent.caller', 'consent.callee', 'rec.recovered.1', 'rec.final'],
  },
  {
    step: 'with a checkpoint that does not cover it yet',
    at: (ledger) => {
      const old = ledger.checkpoint ?? '';
      return { covered: async () => old };
    },
    left: ['consent.caller', 'consent.callee', 'rec.recovered.1', 'rec.final'],
  },
];

for (const { step, at, left } of CRASHES)
  t.test(`finishing that breaks ${step} goes on from there, and enters nothing twice`, async (t) => {
    let faults: Partial<LedgerPort> = {};
    const verbs: Partial<LedgerPort> = {};
    const real = await testEvidence(t, db, {
      through: (ledger) => {
        faults = at(ledger);
        return withVerbs(ledger, verbs);
      },
    });
    const { evidence, ledger, paths, errors } = real;
    const made = await testCall(db);
    await agree(real, db, made);
    const { recordingId } = made.call;
    const recovered = {
      epoch: 1,
      seq: 6,
      head: 'ab'.repeat(32),
      status: 'torn',
      goodBytes: 9,
      tailBytes: 3,
    } as const;
    const row = await sealedRow(db, made.call, testReport({ truncated: true, recovered: [recovered] }));
    Object.assign(verbs, faults);
    for (let time = 0; time < 2; time += 1)
      await t.rejects(evidence.final(row), { code: 'evidence_unavailable' });
    t.same(idsOf(await entriesOf(ledger, recordingId)), left);
    t.equal(await readOpening(paths, recordingId), undefined);
    for (const verb of ['append', 'covered'] as const) delete verbs[verb];
    const index = await evidence.final(row);
    t.equal(await evidence.final(row), index);
    t.same(idsOf(await entriesOf(ledger, recordingId)), [
      'consent.caller',
      'consent.callee',
      'rec.recovered.1',
      'rec.final',
    ]);
    t.match(await readOpening(paths, recordingId), { entries: { final: index } });
    t.ok(errors.length <= 1, 'the alarm was logged once');
    t.same(await openAlarms(db, 10), [], 'and is over');
  });

t.test('finishing that breaks while the opening is written leaves none of it', async (t) => {
  const real = await testEvidence(t, db);
  const { evidence, paths } = real;
  const made = await testCall(db);
  await agree(real, db, made);
  const row = await sealedRow(db, made.call);
  const path = paths.evidence(made.call.recordingId);
  // A folder in the place of the file makes every write to it fail.
  await mkdir(path);
  await t.rejects(evidence.final(row));
  await rm(path, { recursive: true });
  await evidence.final(row);
  t.ok(await readOpening(paths, made.call.recordingId));
  t.same(
    (await readdir(dirname(path))).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

t.test('a file that is not the one in rec.final never becomes provable, and raises an alarm', async (t) => {
  const real = await testEvidence(t, db);
  const made = await testCall(db);
  await agree(real, db, made);
  const row = await sealedRow(db, made.call);
  await real.evidence.final(row);
  await t.rejects(real.evidence.final({ ...row, report: testReport() }), {
    code: 'corrupt',
    message: /another pay, hdr, commitment|another/,
  });
  t.match(await openAlarms(db, 10), [{ kind: 'recording_fault', subject: made.call.recordingId, count: 1 }]);
  await real.evidence.final(row);
  t.same(await openAlarms(db, 10), [], 'the right one is still right');
});

for (const [what, spoil] of Object.entries<
  (paths: { salt(id: string): string }, id: string) => Promise<void>
>({
  'has lost its salt': (paths, id) => rm(paths.salt(id)),
  'has half a salt': (paths, id) => writeFile(paths.salt(id), 'abcd\n'),
}))
  t.test(`a recording that ${what} cannot be proven, and says so`, async (t) => {
    const first = await testEvidence(t, db);
    const made = await testCall(db);
    await agree(first, db, made);
    const row = await sealedRow(db, made.call);
    await spoil(first.paths, made.call.recordingId);
    // Another process, which has not read it before.
    const { Evidence } = await import('./evidence.ts');
    const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const { ledger, paths, alarms } = first;
    const evidence = new Evidence({ db, paths, ledger, alarms, log: silent });
    t.teardown(() => evidence.close());
    await t.rejects(evidence.final(row), { code: 'corrupt' });
    t.match(await openAlarms(db, 10), [{ kind: 'recording_fault' }]);
    await alarms.clear('recording_fault', made.call.recordingId);
  });

t.test(
  'a ledger that refuses or hangs refuses consents in bounded time, with one alarm until it is back',
  async (t) => {
    let verbs: Partial<LedgerPort> = {};
    const real = await testEvidence(t, db, {
      through: (ledger) =>
        withVerbs(ledger, { append: (entry) => (verbs.append ?? ledger.append.bind(ledger))(entry) }),
      timeoutMs: 50,
    });
    const { evidence, errors } = real;
    const { call, consent } = await testCall(db);
    const facts = { side: 'caller', device: 'd', consent, at: new Date() } as const;
    verbs = { append: () => Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' })) };
    await t.rejects(evidence.consent(call, facts), {
      code: 'evidence_unavailable',
      message: /no space left/,
    });
    verbs = { append: () => new Promise(() => undefined) };
    await t.rejects(evidence.consent(call, facts), { code: 'evidence_unavailable', message: /in time/ });
    t.match(await openAlarms(db, 10), [{ kind: 'ledger_unwritable', count: 2, detail: /in time/ }]);
    t.match(errors, [{ fields: { alarm: 'ledger_unwritable' } }]);
    verbs = {};
    t.type(await evidence.consent(call, facts), 'number');
    t.same(await openAlarms(db, 10), []);
  },
);

t.test('a read-only ledger refuses a secure call before anything is taken', async (t) => {
  const { evidence } = await testEvidence(t, db, {
    through: (ledger) => withVerbs(ledger, { state: { mode: 'read-only', problem: 'the root differs' } }),
  });
  t.throws(() => evidence.assertWritable(), { code: 'evidence_unavailable', message: /the root differs/ });
  const { call, consent } = await testCall(db);
  await t.rejects(evidence.consent(call, { side: 'caller', device: 'd', consent, at: new Date() }), {
    code: 'evidence_unavailable',
  });
});

t.test('F33 a failure is entered with its reason, once for each thing it says', async (t) => {
  const real = await testEvidence(t, db);
  const { evidence, ledger } = real;
  const made = await testCall(db);
  await agree(real, db, made);
  const { recordingId } = made.call;
  await insertRecording(db, made.call);
  await changeRecording(db, recordingId, { to: 'capturing', recorderId: 'r1', startedAt: new Date() });
  await changeRecording(db, recordingId, { to: 'processing', endedAt: new Date(), reason: 'hangup' });
  await changeRecording(db, recordingId, {
    to: 'failed',
    reason: 'no_audio',
    detail: 'no packet of either leg',
  });
  const row = await recordingById(db, recordingId);
  if (row === null) throw new Error('no row');
  await evidence.failed(row);
  const after = await recordingById(db, recordingId);
  t.type(after?.entryIndex, 'number');
  await evidence.failed(row);
  const entries = await entriesOf(ledger, recordingId);
  t.same(idsOf(entries), ['consent.caller', 'consent.callee', 'rec.failed.1']);
  t.match(entries[2]?.d, { call: made.call.callId, reason: 'no_audio', journals: [] });
});

t.test('F33 a failure that the ledger could not take is owed, and entered when it is back', async (t) => {
  let refuses = false;
  const real = await testEvidence(t, db, {
    through: (ledger) =>
      withVerbs(ledger, {
        append: (entry) =>
          refuses ? Promise.reject(new Error('read-only file system')) : ledger.append(entry),
      }),
  });
  const { evidence, ledger } = real;
  const made = await testCall(db);
  await agree(real, db, made);
  const { recordingId, callId } = made.call;
  const row = await sealedRow(db, made.call);
  await setCallState(db, callId, 'active', new Date());
  await endCall(db, callId, 'hangup', new Date());
  await evidence.callEnded(callId);
  refuses = true;
  await changeRecording(db, recordingId, { to: 'failed', reason: 'rollback_journal', detail: 'shorter' });
  const failed = await recordingById(db, row.recordingId);
  if (failed === null) throw new Error('no row');
  await evidence.failed(failed);
  t.equal((await recordingById(db, recordingId))?.entryIndex, null, 'owed');
  t.match(
    (await openAlarms(db, 10)).map(({ kind }) => kind).sort(),
    ['ledger_unwritable', 'recording_fault'],
    'and a rollback is an alarm in any case',
  );
  refuses = false;
  t.equal(await evidence.sweep(), 1);
  t.same(idsOf(await entriesOf(ledger, recordingId)).slice(-1), ['rec.failed.1']);
  t.type((await recordingById(db, recordingId))?.entryIndex, 'number');
  await real.alarms.clear('recording_fault', recordingId);
  t.same(await openAlarms(db, 10), []);
});

t.test('a call of before the ledger is finished without an entry', async (t) => {
  const { evidence, ledger } = await testEvidence(t, db);
  const { call } = await testCall(db);
  await db.sql`update calls set evidence = 'none' where id = ${call.callId}`;
  const row = await sealedRow(db, call);
  const size = ledger.size;
  t.equal(await evidence.final(row), null);
  await evidence.failed({ ...row, state: 'failed', reason: 'no_audio' });
  t.equal(ledger.size, size);
});

t.test('why a recording failed is entered without the place of the data folder', async (t) => {
  const real = await testEvidence(t, db);
  const made = await testCall(db);
  await agree(real, db, made);
  const row = await sealedRow(db, made.call);
  const detail = `EIO: i/o error, read '${real.paths.journal(made.call.recordingId, 1)}'`;
  await real.evidence.failed({ ...row, state: 'failed', reason: 'finalise_failed', detail });
  const last = (await entriesOf(real.ledger, made.call.recordingId)).at(-1);
  t.match(last, { t: 'rec.failed', d: { detail: /^EIO: i\/o error, read 'journals\// } });
});

t.test('a row that names other people than the consents becomes no entry and no opening', async (t) => {
  const real = await testEvidence(t, db);
  const made = await testCall(db);
  await agree(real, db, made);
  const row = await sealedRow(db, made.call);
  for (const changed of [{ callerId: 'eve' }, { calleeId: 'ann' }, { chatId: 'other' }])
    await t.rejects(real.evidence.final({ ...row, ...changed }), { code: 'corrupt' });
  t.same(idsOf(await entriesOf(real.ledger, made.call.recordingId)), ['consent.caller', 'consent.callee']);
  t.equal(await readOpening(real.paths, made.call.recordingId), undefined);
  await real.alarms.clear('recording_fault', made.call.recordingId);
});

t.test('a row that was changed to be of before the ledger hides no entry', async (t) => {
  const real = await testEvidence(t, db);
  const made = await testCall(db);
  await agree(real, db, made);
  const row = await sealedRow(db, made.call);
  await db.sql`update calls set evidence = 'none' where id = ${made.call.callId}`;
  t.type(await real.evidence.final(row), 'number');
  t.ok(await readOpening(real.paths, made.call.recordingId));
});

t.test('what everybody may read: heads, keys and hashes, and no entry', async (t) => {
  const real = await testEvidence(t, db);
  const { evidence, ledger } = real;
  const made = await testCall(db);
  await agree(real, db, made);
  await evidence.final(await sealedRow(db, made.call));
  const { reading } = evidence;
  const info = reading.info();
  t.equal(info?.vkey, ledger.vkey);
  const { size } = parseCheckpoint(noteText(info?.checkpoint ?? ''));
  t.match(reading.vkeys(), `${ledger.vkey}\n`);
  const tile = await reading.tile(`0/000.p/${size}`);
  t.equal(tile.bytes.length, size * 32);
  t.equal(tile.whole, false);
  for (const path of [
    'entries/000',
    `entries/000.p/${size}`,
    '../checkpoint',
    '0/../../checkpoint',
    '0/000.p/256',
    '64/000',
    '0/0',
    '',
    '0/000\0',
  ])
    await t.rejects(reading.tile(path), { code: 'not_found' }, JSON.stringify(path));
  t.match(await reading.consistency(0, size), { from: 0, to: size });
  await t.rejects(reading.consistency(2, 1), { code: 'bad_request' });
  await t.rejects(reading.consistency(1, size + 1), { code: 'bad_request' });
  const own = await reading.of(made.call.recordingId);
  t.equal(own.entries.length, 3);
  for (const { index, entry, proof } of own.entries) {
    const parsed = parseProof(proof);
    const { size, root } = parseCheckpoint(noteText(parsed.checkpoint));
    const leaf = leafHash(Buffer.from(entry, 'base64'));
    verifyInclusion({ index, size, root, leaf, proof: parsed.hashes });
  }
});

t.test('the database’s folder holds nothing of an opening but what its file says', async (t) => {
  const real = await testEvidence(t, db);
  const made = await testCall(db);
  await agree(real, db, made);
  await real.evidence.final(await sealedRow(db, made.call));
  const path = join(real.paths.recordings, `${made.call.recordingId}.evd`);
  t.equal((await stat(path)).mode & 0o777, 0o600);
  await writeFile(path, '{"v":2}');
  await t.rejects(readOpening(real.paths, made.call.recordingId), { code: 'corrupt' });
});
