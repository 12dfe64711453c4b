import type { JournalChain, Recording, RecordingEvidence } from '#protocol';
import {
  checkInclusion,
  EvidenceError,
  foldChain,
  fromBase64,
  fromHex,
  JsonReader,
  leafHash,
  openReceipt,
  parseProof,
} from '../verify/index.ts';
import { asClientError, VerbatimClientError } from './errors.ts';
import type { EvidenceVerdict, KeptReceipt } from './evidence-store.ts';
import type { LedgerWatch } from './ledger-watch.ts';

export interface CheckDeps {
  ledger: LedgerWatch;
  recording(recordingId: string): Promise<Recording>;
  evidence(recordingId: string): Promise<RecordingEvidence>;
  chain(recordingId: string, epoch: number, after: number): Promise<JournalChain>;
}

export interface CheckResult {
  verdict: EvidenceVerdict;
  problem?: string;
}

/**
 * Holds the kept heads of one recording (one of each epoch) against what the server calls the finished recording: the
 * journal has to lead from each head to the head that its final entry names, and that entry has to be in the ledger that
 * this browser knows. Undefined while the recording is not finished. Never rejects.
 */
export async function checkRecording(
  deps: CheckDeps,
  receipts: readonly KeptReceipt[],
): Promise<CheckResult | undefined> {
  const id = receipts[0]?.recordingId;
  if (id === undefined) return undefined;
  try {
    const { state, reason } = await deps.recording(id);
    if (state === 'failed')
      return { verdict: 'failed', problem: reason ?? 'the server could not finish the recording' };
    if (state === 'removed' || state === 'expired')
      return { verdict: 'unverified', problem: 'the recording was removed' };
    if (state !== 'available') return undefined;
    const { key } = deps.ledger;
    if (key === undefined)
      return { verdict: 'unverified', problem: 'this browser cannot check the signatures of the log' };
    for (const { verified, note } of receipts) {
      // It came when its signature could not be checked; what was never signed accuses nobody.
      const signed = verified || (await openReceipt(note, [key]).catch(() => undefined));
      if (!signed)
        return { verdict: 'unverified', problem: 'a kept head is not signed by the log’s present key' };
    }
    const journals = await finalJournals(deps, id, receipts);
    for (const receipt of receipts) await leadsTo(deps, receipt, journals);
    return { verdict: 'confirmed' };
  } catch (error) {
    if (error instanceof EvidenceError) return { verdict: 'mismatch', problem: error.message };
    return { verdict: 'unverified', problem: asClientError(error, 'internal').message };
  }
}

interface FinalJournal {
  seq: number;
  head: string;
}

/** The journals' heads as `rec.final` has them, once that entry is proven. */
async function finalJournals(
  { evidence, ledger }: CheckDeps,
  id: string,
  receipts: readonly KeptReceipt[],
): Promise<Map<number, FinalJournal>> {
  const { entries } = await evidence(id);
  const finals = entries.flatMap(({ index, entry, proof }) => {
    const bytes = fromBase64(entry, 'entry');
    const json = JsonReader.parse(bytes, 'entry');
    return json.text('t') === 'rec.final' ? [{ index, bytes, json, proof }] : [];
  });
  const [final] = finals;
  if (final === undefined || finals.length > 1)
    throw new EvidenceError(`expected one final entry of the recording in the ledger, got ${finals.length}`);
  if (final.json.text('sub') !== `rec:${id}`)
    throw new EvidenceError('the final entry is of another recording');
  const proof = parseProof(final.proof);
  if (proof.index !== final.index) throw new EvidenceError('the proof is of another entry');
  const checkpoint = await ledger.hold(proof.checkpoint, 'any');
  if (checkpoint === undefined) throw new EvidenceError('the proof has no checkpoint');
  const leaf = await leafHash(final.bytes);
  const { size, root } = checkpoint;
  await checkInclusion({ index: proof.index, size, root, leaf, proof: proof.hashes });
  const d = final.json.object('d');
  if (receipts.some(({ callId }) => callId !== d.text('call')))
    throw new EvidenceError('the final entry is of another call');
  return new Map(
    d.objects('journals').map((journal) => {
      const head = { seq: journal.number('seq'), head: journal.text('head') };
      return [journal.number('epoch'), head] as const;
    }),
  );
}

/** That the journal goes on from the kept head to the one in the final entry, block by block. */
async function leadsTo(
  { chain }: CheckDeps,
  { recordingId, epoch, seq, head }: KeptReceipt,
  journals: ReadonlyMap<number, FinalJournal>,
): Promise<void> {
  const final = journals.get(epoch);
  if (final === undefined)
    throw new EvidenceError(`part ${epoch} of the recording was signed during the call and is missing`);
  if (final.seq < seq)
    throw new EvidenceError(
      `the recording ends at block ${final.seq}; block ${seq} was signed during the call`,
    );
  const { blocks } = await chain(recordingId, epoch, seq).catch((cause: unknown) => {
    const error = asClientError(cause, 'internal');
    const gone = error.code === 'not_found' || error.code === 'corrupt';
    if (gone && error instanceof VerbatimClientError)
      throw new EvidenceError(`the server cannot show the captured blocks: ${error.message}`, { cause });
    throw error;
  });
  const heads = await foldChain(fromHex(head, 'head', 32), fromBase64(blocks, 'blocks'));
  if (heads.length !== final.seq - seq || (heads.at(-1) ?? head) !== final.head)
    throw new EvidenceError(
      `block ${seq} of part ${epoch}, signed during the call, does not lead to the finished recording`,
    );
}
