import { randomUUID } from 'node:crypto';
import { copyFile, rm, writeFile } from 'node:fs/promises';
import t from 'tap';
import {
  generateLogKey,
  openNote,
  openSigner,
  openVerifier,
  parseReceipt,
  receiptText,
  signNote,
} from '#ledger';
import type { HeadReceipt } from '#protocol';
import type { DataPaths } from '#store';
import { CommitLog, generateServerIdentity, JournalWriter, readJournal, readRecipients } from '#store';
import { openAlarms } from '../db/alarms.ts';
import { testDatabase } from '../db/fixture.ts';
import type { ReceiptParties } from '../db/receipts.ts';
import { insertRecording } from '../db/recordings.ts';
import type { CallFacts, JournalHead } from './calls.ts';
import type { TestEvidence } from './fixture.ts';
import { agree, sealedRow, testCall, testEvidence, testReport } from './fixture.ts';

const db = await testDatabase(t);

const HEAD = 'ab'.repeat(32);

function told({ evidence }: TestEvidence) {
  const receipts: { receipt: HeadReceipt; to: ReceiptParties }[] = [];
  evidence.onReceipt((receipt, to) => receipts.push({ receipt, to }));
  return receipts;
}

t.test('F36 a head is signed by the log’s key, stored, and given to both parties alike', async (t) => {
  const real = await testEvidence(t, db);
  const receipts = told(real);
  const { call } = await testCall(db);
  await insertRecording(db, call);
  const { recordingId, callId } = call;
  await real.evidence.heads([{ recordingId, callId, epoch: 1, seq: 7, head: HEAD }]);
  t.equal(receipts.length, 1);
  const [{ receipt, to } = {}] = receipts;
  t.match(to, { appId: call.appId, callerId: 'ann', calleeId: 'ben' });
  t.match(receipt, { recordingId, callId, epoch: 1, seq: 7, head: HEAD });
  const opened = openNote(receipt?.note ?? '', [openVerifier(real.ledger.vkey)]);
  t.match(parseReceipt(opened.text), {
    origin: real.ledger.origin,
    recordingId,
    callId,
    epoch: 1,
    seq: 7,
    head: HEAD,
    at: receipt?.at,
  });
  t.same(await real.evidence.acknowledged(recordingId), [{ epoch: 1, seq: 7, head: HEAD }]);
});

t.test(
  'F36 of each epoch the newest head is kept; an older or repeated one changes and tells nothing',
  async (t) => {
    const real = await testEvidence(t, db);
    const receipts = told(real);
    const { call } = await testCall(db);
    await insertRecording(db, call);
    const { recordingId, callId } = call;
    const head = (epoch: number, seq: number) => ({ recordingId, callId, epoch, seq, head: HEAD });
    await Promise.all([
      real.evidence.heads([head(1, 5), head(1, 9), head(1, 8), head(2, 1)]),
      real.evidence.heads([head(1, 9)]),
      real.evidence.heads([head(1, 3), { ...head(1, 4), recordingId: randomUUID() }]),
      real.evidence.heads([head(1, 10)]),
    ]);
    t.same(
      receipts.map(({ receipt: { epoch, seq } }) => [epoch, seq]),
      [
        [1, 9],
        [2, 1],
        [1, 10],
      ],
    );
    t.same(
      (await real.evidence.acknowledged(recordingId)).map(({ epoch, seq }) => [epoch, seq]),
      [
        [1, 10],
        [2, 1],
      ],
    );
  },
);

/** A journal of some blocks, and what its heads are. */
async function journal(paths: DataPaths, call: CallFacts): Promise<JournalHead[]> {
  await generateServerIdentity(paths.secrets, paths.keys);
  const recorderId = randomUUID();
  const log = await CommitLog.open({ dir: paths.log(recorderId), journalsDir: paths.journals });
  const writer = await JournalWriter.create({
    log,
    recording: call.recordingId,
    call: call.callId,
    epoch: 1,
    recorder: recorderId,
    recipients: await readRecipients(paths.keys),
  });
  for (const leg of [0, 1] as const) writer.append(leg, 0, Buffer.alloc(60, 0x80), 1);
  await writer.end('hangup');
  await log.close();
  const heads: JournalHead[] = [];
  for await (const { seq, head } of await readJournal(paths.journal(call.recordingId, 1)))
    heads.push({ epoch: 1, seq, head });
  return heads;
}

/** A finished recording with a real journal, and a way to sign what its parties may hold. */
async function finished(t: Parameters<typeof testEvidence>[0]) {
  const real = await testEvidence(t, db);
  const made = await testCall(db);
  await agree(real, db, made);
  const { call } = made;
  const heads = await journal(real.paths, call);
  const last = heads.at(-1);
  if (last === undefined) throw new Error('an empty journal');
  const row = await sealedRow(db, call, testReport({ journals: [last] }));
  await real.evidence.final(row);
  const { recordingId, callId } = call;
  const text = (head: JournalHead) =>
    receiptText({ origin: real.ledger.origin, recordingId, callId, ...head, at: new Date().toISOString() });
  const signed = (head: JournalHead) => real.ledger.sign(text(head));
  const report = (note: string) =>
    real.evidence.mismatches.report({ id: recordingId, state: 'available' }, note);
  return { ...real, call, heads, last, text, signed, report };
}

t.test('F36 a reported head that is in the journal is not confirmed, and alarms nobody', async (t) => {
  const { heads, signed, report } = await finished(t);
  t.ok(heads.length >= 2, `${heads.length} heads`);
  for (const head of heads) t.equal(await report(signed(head)), false);
  t.same(await openAlarms(db, 10), []);
});

t.test('F36 a signed head that the journal does not hold is confirmed, and raises an alarm', async (t) => {
  const { last, signed, report, alarms, call } = await finished(t);
  const confirmed: Record<string, JournalHead> = {
    'another head of a block': { ...last, seq: 1, head: 'cd'.repeat(32) },
    'another last head': { ...last, head: 'cd'.repeat(32) },
    'a block past the end': { ...last, seq: last.seq + 1, head: 'cd'.repeat(32) },
    'an epoch that is not there': { ...last, epoch: 2 },
  };
  for (const [what, head] of Object.entries(confirmed)) {
    t.equal(await report(signed(head)), true, what);
    t.match(await openAlarms(db, 10), [{ kind: 'receipt_mismatch', subject: call.recordingId }], what);
    await alarms.clear('receipt_mismatch', call.recordingId);
  }
});

t.test(
  'F36 a journal that is gone, or was replaced by another, is confirmed by any receipt of it',
  async (t) => {
    const { paths, heads, signed, report, alarms, call } = await finished(t);
    const [first] = heads;
    if (first === undefined) throw new Error('no head');
    const path = paths.journal(call.recordingId, 1);
    await copyFile(path, `${path}.kept`);
    await rm(path);
    t.equal(await report(signed(first)), true, 'gone');
    await journal(paths, call);
    t.equal(await report(signed(first)), true, 'another one in its place');
    await copyFile(`${path}.kept`, path);
    t.equal(await report(signed(first)), false, 'back again');
    await writeFile(path, 'not a journal');
    t.equal(await report(signed(first)), true, 'garbage');
    await alarms.clear('receipt_mismatch', call.recordingId);
  },
);

t.test('only what this log signed about this recording is looked into', async (t) => {
  const { evidence, ledger, last, text, signed, report, call } = await finished(t);
  const foreign = openSigner(generateLogKey(ledger.origin).skey);
  const wrong: Record<string, string> = {
    'no note': 'hello',
    'a note of another key under the same name': signNote(text(last), [foreign]),
    'a changed text': signed(last).replace(`\n${last.seq}\n`, `\n${last.seq + 1}\n`),
    'a checkpoint': ledger.checkpoint ?? '',
    'another recording': ledger.sign(text(last).replace(call.recordingId, randomUUID())),
  };
  for (const [what, note] of Object.entries(wrong))
    await t.rejects(report(note), { code: 'bad_request' }, what);
  await t.rejects(evidence.mismatches.report({ id: call.recordingId, state: 'capturing' }, signed(last)), {
    code: 'recording_not_ready',
  });
  t.same(await openAlarms(db, 10), []);
});

t.test('F36 the light chain leads from any head to the last one', async (t) => {
  const { evidence, heads, last, call } = await finished(t);
  const [first] = heads;
  const chain = await evidence.reading.chain(call.recordingId, 1, first?.seq ?? 0);
  t.equal(Buffer.from(chain.blocks, 'base64').length, (last.seq - (first?.seq ?? 0)) * 64);
  await t.rejects(evidence.reading.chain(call.recordingId, 2, 0), { code: 'not_found' });
});
