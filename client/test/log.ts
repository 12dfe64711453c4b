import { createHash, randomBytes } from 'node:crypto';
import type { JsonObject, NoteSigner } from '#ledger';
import {
  consistencyProof,
  encodeEntry,
  formatCheckpoint,
  formatProof,
  generateLogKey,
  inclusionProof,
  leafHash,
  openSigner,
  receiptText,
  rootOf,
  signNote,
} from '#ledger';
import type { HeadReceipt, LedgerInfo, RecordingEvidence } from '#protocol';
import { CALL_ID } from './scripted-server.ts';

/** For tests: a small real log and the journals of a call, signed and proven by the server's own code. */

const BOOT = '5d0f6e5c-8f0e-4a55-9d41-6c6f8a1f7a10';
export const RECORDING_ID = 'c0ffee00-1111-4222-8333-444455556666';

export class TestLog {
  readonly entries: Buffer[] = [];
  readonly #signers: NoteSigner[];

  constructor(signers = [openSigner(generateLogKey('log.test').skey)]) {
    this.#signers = signers;
  }

  get vkey(): string {
    return this.#signers.at(-1)?.vkey ?? '';
  }

  get size(): number {
    return this.entries.length;
  }

  /** The same entries, of which this one goes its own way from here. */
  fork(signers = this.#signers): TestLog {
    const other = new TestLog(signers);
    other.entries.push(...this.entries);
    return other;
  }

  signers(): readonly NoteSigner[] {
    return this.#signers;
  }

  add(t: 'call.start' | 'rec.final' = 'call.start', d: JsonObject = {}, recordingId = RECORDING_ID): number {
    const index = this.entries.length;
    const entry = { v: 1, t, id: `${t}.${index}`, ts: '2026-03-01T10:00:00.000Z', boot: BOOT } as const;
    this.entries.push(
      encodeEntry({ ...entry, mono: index, sub: `rec:${recordingId}`, prev: null, actor: {}, d }),
    );
    return index;
  }

  checkpoint(size = this.size): string {
    const root = rootOf(this.#leaves().slice(0, size));
    return signNote(formatCheckpoint({ origin: 'log.test', size, root }), this.#signers);
  }

  info(): LedgerInfo {
    return { vkey: this.vkey, checkpoint: this.checkpoint() };
  }

  async consistency(from: number, to: number) {
    if (from > to || to > this.size) return { status: 400, body: { code: 'bad_request', detail: 'no' } };
    const proof = await consistencyProof(from, to, this.#read);
    return { status: 200, body: { from, to, proof: proof.map((hash) => hash.toString('base64')) } };
  }

  async evidence(indexes: readonly number[]): Promise<RecordingEvidence> {
    const checkpoint = this.checkpoint();
    const entries = indexes.map(async (index) => {
      const hashes = await inclusionProof(index, this.size, this.#read);
      const entry = (this.entries[index] ?? Buffer.alloc(0)).toString('base64');
      return { index, entry, proof: formatProof({ index, hashes, checkpoint }) };
    });
    return { recordingId: RECORDING_ID, vkey: this.vkey, entries: await Promise.all(entries), receipts: [] };
  }

  /** `about` is sent beside the note; `signed` is what the note says, when that is something else. */
  receipt(about: { epoch?: number; seq: number; head: string }, signed = about): HeadReceipt {
    const facts = {
      recordingId: RECORDING_ID,
      callId: CALL_ID,
      epoch: 1,
      at: '2026-03-01T10:00:00.000Z',
    };
    const text = receiptText({ origin: 'log.test', ...facts, ...signed });
    return { ...facts, ...about, note: signNote(text, this.#signers) };
  }

  #leaves(): Buffer[] {
    return this.entries.map((entry) => leafHash(entry));
  }

  readonly #read = async (level: number, index: number): Promise<Buffer> =>
    rootOf(this.#leaves().slice(index * 2 ** level, (index + 1) * 2 ** level));
}

/** The light chain of a journal: `heads[seq]`, and the 64 bytes of each block after the file header. */
export class TestJournal {
  readonly heads: string[] = [];
  readonly #blocks: Buffer[] = [];

  constructor(blocks: number) {
    let head = createHash('sha256').update(randomBytes(16)).digest();
    this.heads.push(head.toString('hex'));
    for (let seq = 1; seq <= blocks; seq += 1) {
      const block = randomBytes(64);
      head = createHash('sha256').update(Buffer.of(2)).update(head).update(block).digest();
      this.#blocks.push(block);
      this.heads.push(head.toString('hex'));
    }
  }

  at(seq: number): { seq: number; head: string } {
    return { seq, head: this.heads[seq] ?? '' };
  }

  last(): { seq: number; head: string } {
    return this.at(this.#blocks.length);
  }

  after(seq: number): string {
    return Buffer.concat(this.#blocks.slice(seq)).toString('base64');
  }
}
