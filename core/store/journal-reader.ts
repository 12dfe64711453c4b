import type { KeyObject } from 'node:crypto';
import { VerbatimError } from '#protocol';
import { openAgeHeader } from './age.ts';
import type { JournalBytes, RawBlock } from './journal-bytes.ts';
import { FileBytes, MemoryBytes } from './journal-bytes.ts';
import type { BlockType, JournalEnd, JournalHeader, JournalMark, JournalRecord } from './journal-format.ts';
import {
  BLOCK_MAGIC,
  CHAIN_BYTES,
  chainHead,
  fileHeaderLength,
  journalKey,
  openBlock,
  parseEnd,
  parseFileHeader,
  parseMark,
  readRecords,
  recordsAreWhole,
  sha256,
} from './journal-format.ts';

/**
 * - `complete`: every block verifies, END is the last thing in the file.
 * - `torn`: it stops without END; what is there up to `goodBytes` verifies, nothing plausible follows.
 * - `corrupt`: a plausible block stands behind a bad one, or something stands behind END, or a verified block
 *   does not decrypt. Quarantine, never finalise.
 * - `rollback`: it verifies but is shorter than, or different from, an acknowledged head. Alarm.
 */
export type JournalStatus = 'complete' | 'torn' | 'corrupt' | 'rollback';

export interface JournalResult {
  status: JournalStatus;
  /** Last verified block; 0 when there is none. */
  seq: number;
  /** c[seq], hex; empty when not even the file header is whole. */
  head: string;
  /** Reason in END, when there is one and the journal was read with a key. */
  endReason?: string;
  /** The verified part. What lies behind it is the tail: never read as audio, never deleted. */
  goodBytes: number;
  sizeBytes: number;
  /** What is wrong, in words, when the status is not `complete`. */
  problem?: string;
}

export interface ReadJournalOptions {
  /** age identity (AGE-SECRET-KEY-1...). Without it the chain is verified and nothing is decrypted. */
  identity?: string;
  /** A head that was acknowledged: the journal must contain it. */
  acknowledged?: { seq: number; head: string };
  /** Gives `light` with every block. */
  light?: boolean;
}

export interface JournalBlock {
  seq: number;
  type: BlockType;
  monotonicUs: number;
  wallMs: number;
  /** c[seq], hex. */
  head: string;
  offsetBytes: number;
  /** Header, ciphertext and c[seq]. */
  sizeBytes: number;
  /** Header and SHA-256 of the ciphertext, 64 bytes; only when it was asked for. */
  light?: Buffer;
  /** Only with a key. */
  plaintext?: Buffer;
  mark?: JournalMark;
  end?: JournalEnd;
}

/** The packets of a block, in the order they arrived. Empty for MARK and END and without a key. */
export function recordsOf(block: JournalBlock): Iterable<JournalRecord> {
  if (block.type !== 'data' || block.plaintext === undefined) return [];
  return readRecords(block.plaintext, block.monotonicUs);
}

/**
 * Opens a journal. Iterate over it for the verified blocks; `result` is known when the iteration is over.
 * Reading never throws for what the file contains, only when it cannot be read or the identity does not fit.
 */
export async function readJournal(
  source: string | Buffer,
  options: ReadJournalOptions = {},
): Promise<JournalReader> {
  const bytes = typeof source === 'string' ? await FileBytes.open(source) : new MemoryBytes(source);
  try {
    return await JournalReader.open(bytes, options);
  } catch (error) {
    await bytes.close();
    throw error;
  }
}

/** Verifies the chain of a whole journal; needs no key. */
export async function verifyJournal(
  source: string | Buffer,
  options: ReadJournalOptions = {},
): Promise<JournalResult> {
  const reader = await readJournal(source, options);
  return reader.verify();
}

export class JournalReader implements AsyncIterable<JournalBlock> {
  /** Undefined when the file header is not whole. */
  readonly header: JournalHeader | undefined;
  readonly #bytes: JournalBytes;
  readonly #options: ReadJournalOptions;
  readonly #firstHead: Buffer;
  readonly #headerBytes: Buffer;
  readonly #firstOffset: number;
  readonly #key: KeyObject | undefined;
  #result: JournalResult | undefined;
  #started = false;

  private constructor(
    bytes: JournalBytes,
    options: ReadJournalOptions,
    file: {
      header?: JournalHeader;
      head: Buffer;
      headerBytes: Buffer;
      lengthBytes: number;
      key?: KeyObject | undefined;
    },
  ) {
    this.#bytes = bytes;
    this.#options = options;
    this.header = file.header;
    this.#firstHead = file.head;
    this.#headerBytes = file.headerBytes;
    this.#firstOffset = file.lengthBytes;
    this.#key = file.key;
  }

  static async open(bytes: JournalBytes, options: ReadJournalOptions): Promise<JournalReader> {
    const lengthBytes = fileHeaderLength(await bytes.read(0, 12));
    const whole = lengthBytes === undefined ? undefined : await bytes.read(0, lengthBytes);
    const parsed = whole === undefined ? undefined : parseFileHeader(whole);
    if (parsed === undefined || lengthBytes === undefined || whole === undefined) {
      const nothing = Buffer.alloc(0);
      return new JournalReader(bytes, options, { head: nothing, headerBytes: nothing, lengthBytes: 0 });
    }
    // What is read is valid until the next read only.
    const headerBytes = Buffer.from(whole.subarray(0, lengthBytes - CHAIN_BYTES));
    const { header, head } = parsed;
    const { identity } = options;
    const key =
      identity === undefined
        ? undefined
        : journalKey(await openAgeHeader(Buffer.from(header.age, 'base64'), identity), header.recording);
    return new JournalReader(bytes, options, { header, head, headerBytes, lengthBytes, key });
  }

  /** The file header without c[0], which is its SHA-256. Empty when it is not whole. */
  get headerBytes(): Buffer {
    return this.#headerBytes;
  }

  /** c[0], hex: the head before the first block. Empty when the file header is not whole. */
  get startHead(): string {
    return this.#firstHead.toString('hex');
  }

  /** Known once the iteration has ended. */
  get result(): JournalResult {
    if (this.#result === undefined)
      throw new VerbatimError('internal', 'the journal is not read to its end yet');
    return this.#result;
  }

  /** Reads to the end, looking at nothing. */
  async verify(): Promise<JournalResult> {
    for await (const _ of this);
    return this.result;
  }

  async close(): Promise<void> {
    await this.#bytes.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<JournalBlock, void, void> {
    if (this.#started) throw new VerbatimError('internal', 'a journal is read once');
    this.#started = true;
    try {
      yield* this.#blocks();
    } finally {
      await this.close();
    }
  }

  async *#blocks(): AsyncGenerator<JournalBlock, void, void> {
    let at = this.#firstOffset;
    let seq = 0;
    let head = this.#firstHead;
    let ended: JournalBlock | undefined;
    let problem = this.header === undefined ? 'the file header is not whole' : undefined;
    let undecryptable = false;
    let outOfOrder = false;
    let acknowledgedSeen = this.#isAcknowledged(0, head);
    while (problem === undefined && at < this.#bytes.sizeBytes && ended === undefined) {
      const raw = await this.#bytes.block(at);
      if (raw === undefined) {
        problem = `no block at byte ${at}`;
        break;
      }
      if (raw.header.seq !== seq + 1) {
        // A whole header with another number is not what a torn write leaves: a block is missing before it.
        problem = `block ${raw.header.seq} stands where block ${seq + 1} belongs`;
        outOfOrder = true;
        break;
      }
      const next = chainHead(head, raw.headerBytes, raw.ciphertext);
      if (!next.equals(raw.chain)) {
        problem = `block ${seq + 1} at byte ${at} does not follow the chain`;
        break;
      }
      const block = this.#decrypt(raw, head, at, next);
      if (block === undefined) {
        problem = `block ${seq + 1} follows the chain but does not decrypt`;
        undecryptable = true;
        break;
      }
      seq += 1;
      head = next;
      at += raw.sizeBytes;
      acknowledgedSeen ||= this.#isAcknowledged(seq, head);
      if (block.type === 'end') ended = block;
      yield block;
    }
    const behind = at < this.#bytes.sizeBytes;
    let status: JournalStatus = ended === undefined ? 'torn' : 'complete';
    if (ended !== undefined && behind) {
      status = 'corrupt';
      problem = 'something follows END';
    } else if (undecryptable || outOfOrder || (behind && (await this.#plausibleAfter(at + 1)))) {
      status = 'corrupt';
    } else if (!acknowledgedSeen) {
      status = 'rollback';
      problem = `the acknowledged head of block ${this.#options.acknowledged?.seq} is not in the journal`;
    }
    if (status === 'torn') problem ??= 'the journal stops without END';
    this.#result = {
      status,
      seq,
      head: head.toString('hex'),
      ...(ended?.end === undefined ? {} : { endReason: ended.end.reason }),
      goodBytes: at,
      sizeBytes: this.#bytes.sizeBytes,
      ...(problem === undefined ? {} : { problem }),
    };
  }

  #isAcknowledged(seq: number, head: Buffer): boolean {
    const wanted = this.#options.acknowledged;
    return wanted === undefined || (wanted.seq === seq && wanted.head === head.toString('hex'));
  }

  #decrypt(raw: RawBlock, previous: Buffer, at: number, head: Buffer): JournalBlock | undefined {
    const { type, seq, monotonicUs, wallMs } = raw.header;
    const block: JournalBlock = {
      seq,
      type,
      monotonicUs,
      wallMs,
      head: head.toString('hex'),
      offsetBytes: at,
      sizeBytes: raw.sizeBytes,
    };
    if (this.#options.light === true) block.light = Buffer.concat([raw.headerBytes, sha256(raw.ciphertext)]);
    if (this.#key === undefined) return block;
    const plaintext = openBlock(this.#key, previous, raw.headerBytes, seq, raw.ciphertext);
    if (plaintext === undefined) return undefined;
    if (type === 'data') return recordsAreWhole(plaintext) ? { ...block, plaintext } : undefined;
    if (type === 'mark') {
      const mark = parseMark(plaintext);
      return mark === undefined ? undefined : { ...block, plaintext, mark };
    }
    const end = parseEnd(plaintext);
    return end === undefined ? undefined : { ...block, plaintext, end };
  }

  /** Something that looks like a whole block, anywhere behind the first bad byte. */
  async #plausibleAfter(from: number): Promise<boolean> {
    let at = from;
    for (;;) {
      const found = await this.#bytes.find(BLOCK_MAGIC, at);
      if (found === undefined) return false;
      if ((await this.#bytes.block(found)) !== undefined) return true;
      at = found + 1;
    }
  }
}
