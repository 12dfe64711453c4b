import { readFile } from 'node:fs/promises';
import type { Test } from 'tap';
import { dataPaths, openSealed, readIdentity, readLedger, verifyJournal } from '#store';
import { compareFrames } from '../../scripts/lib/proof.ts';
import { receiptsOf } from '../db/receipts.ts';
import type { RecordingRow } from '../db/recordings.ts';
import { auditFolder } from '../evidence/audit.ts';
import type { JournalHead } from '../evidence/index.ts';
import type { FaultStage } from './fault-stage.ts';

/** What came of a row. */
export interface Outcome {
  recordingId: string;
  callId: string;
  ended: RecordingRow | null;
  /** Heads that the daemon said to be acknowledged. */
  heads: readonly JournalHead[];
  /** Packets of each leg that were sent, where none may be missing. */
  sentPerLeg: number | undefined;
}

/**
 * What holds of a recording and its call whatever the fault: nothing acknowledged is missing, nothing is doubled. Others may
 * be under way.
 */
export async function assertRecording(t: Test, stage: FaultStage, outcome: Outcome): Promise<void> {
  const { recordingId, callId, ended } = outcome;
  const isAvailable = ended?.state === 'available';
  if (isAvailable) await assertAudio(t, stage, outcome);
  const entered = await entriesOf(t, stage, recordingId);
  t.equal(new Set(entered).size, entered.length, `nothing is entered twice: ${entered}`);
  if (entered.length > 0) t.ok(entered.includes('call.end'), `the call's end is entered: ${entered}`);
  t.equal(entered.includes('rec.final'), isAvailable, 'rec.final belongs to a recording');
  const [call] = await stage.db.sql<{ state: string }[]>`select state from calls where id = ${callId}`;
  t.equal(call?.state, 'ended');
}

/** That the whole folder verifies. With the key: sealed files are decrypted and held against the entries as well. */
export async function assertFolder(t: Test, stage: FaultStage): Promise<void> {
  const report = await auditFolder({
    dataDir: stage.dataDir,
    signerDir: `${stage.dataDir}.signer`,
    identity: await readIdentity(dataPaths(stage.dataDir).secrets),
  });
  const faults = report.findings.filter(({ severity }) => severity === 'fault');
  t.same(faults, [], 'the folder verifies');
}

/** Journals and sealed file against what was acknowledged: by the daemon, by receipts, and as the disk was seen. */
async function assertAudio(t: Test, stage: FaultStage, outcome: Outcome): Promise<void> {
  const { recordingId, sentPerLeg } = outcome;
  const { dataDir } = stage;
  const paths = dataPaths(dataDir);
  const receipts = await receiptsOf(stage.db, recordingId);
  t.not(receipts.length, 0, 'heads left the server');
  t.not(outcome.heads.length, 0, 'and the daemon said one');
  for (const { epoch, seq, head } of [...receipts, ...outcome.heads]) {
    const journal = await verifyJournal(paths.journal(recordingId, epoch), { acknowledged: { seq, head } });
    t.match(
      journal.status,
      /^(complete|torn)$/,
      `what was acknowledged of epoch ${epoch} up to ${seq} is there`,
    );
  }
  const blocks = stage.synced.flatMap((segment) => blocksOf(segment, recordingId));
  t.not(blocks.length, 0, 'blocks were synced');
  const journals = new Map<number, Buffer>();
  for (const { epoch } of blocks)
    if (!journals.has(epoch)) journals.set(epoch, await readFile(paths.journal(recordingId, epoch)));
  const missing = blocks.filter(({ epoch, bytes }) => journals.get(epoch)?.includes(bytes) !== true);
  t.same(
    missing.map(({ epoch, bytes }) => `epoch ${epoch}, block ${bytes.readUInt32BE(8)}`),
    [],
    'every block that was ever synced is in its journal, byte for byte',
  );
  const sealed = await openSealed({
    pay: paths.pay(recordingId),
    hdr: paths.hdr(recordingId),
    identity: await readIdentity(paths.secrets),
  });
  const file = await sealed.read(0, sealed.sizeBytes);
  await sealed.close();
  const { faults, frames } = await compareFrames(file, dataDir, recordingId);
  t.same(faults, [], 'every packet of the journals is in the file, once');
  if (sentPerLeg !== undefined)
    t.same(frames, { caller: sentPerLeg, callee: sentPerLeg }, 'and so is every packet that was sent');
}

/**
 * The blocks of a recording in a segment of a recorder's log, read from the format's page alone: records of u32 length,
 * 16 bytes of id, u32 epoch, block, each at a multiple of 4; a length of zero says that the page of 4096 has no more.
 */
function blocksOf(segment: Buffer, recordingId: string): { epoch: number; bytes: Buffer }[] {
  const blocks: { epoch: number; bytes: Buffer }[] = [];
  const id = Buffer.from(recordingId.replaceAll('-', ''), 'hex');
  for (let at = 0; at + 24 <= segment.length; ) {
    const end = at + 4 + segment.readUInt32BE(at);
    const isRecord =
      end > at + 24 && end <= segment.length && segment.toString('latin1', at + 24, at + 28) === 'SCB1';
    if (!isRecord) {
      at = (Math.floor(at / 4096) + 1) * 4096;
      continue;
    }
    if (segment.subarray(at + 4, at + 20).equals(id))
      blocks.push({ epoch: segment.readUInt32BE(at + 20), bytes: segment.subarray(at + 24, end) });
    at = Math.ceil(end / 4) * 4;
  }
  return blocks;
}

/** What the ledger says of the recording, in order; a consent by its side. */
async function entriesOf(t: Test, stage: FaultStage, recordingId: string): Promise<string[]> {
  const reader = await readLedger(dataPaths(stage.dataDir), {
    signerDir: `${stage.dataDir}.signer`,
    live: true,
  });
  const entered: string[] = [];
  for await (const { entry } of reader.entries())
    if (entry?.sub === `rec:${recordingId}`) entered.push(entry.t === 'call.consent' ? entry.id : entry.t);
  t.equal(reader.result.findingCount, 0, JSON.stringify(reader.result.findings));
  return entered;
}
