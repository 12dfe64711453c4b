import type { KeyObject } from 'node:crypto';
import { unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { VerbatimError } from '#protocol';
import { createAgeHeader } from './age.ts';
import type { ArenaPool, Slice } from './arena.ts';
import type { Clock } from './clock.ts';
import { fsyncDir } from './durable.ts';
import type { DataFile, StoreFiles } from './files.ts';
import { storeError } from './files.ts';
import type { BlockType } from './journal-format.ts';
import {
  BLOCK_OVERHEAD_BYTES,
  encodeFileHeader,
  journalKey,
  sealBlock,
  TAG_BYTES,
} from './journal-format.ts';
import { LOG_RECORD_HEADER_BYTES, logRecordBytes, uuidBytes, writeLogRecordHeader } from './log-format.ts';
import { journalName } from './paths.ts';

export interface JournalIdentity {
  recording: string;
  call: string;
  epoch: number;
  recorder: string;
  prev: string | null;
}

/**
 * The journal file of one epoch: its key, its chain, and the blocks that are in the log but not yet written
 * here. All file operations of one journal run one after the other. The first error is final: the file is
 * never written again, its blocks stay in the log until `rebuilt`.
 */
export class JournalFile {
  readonly path: string;
  readonly identity: JournalIdentity;
  readonly #file: DataFile;
  readonly #key: KeyObject;
  readonly #recordingId: Buffer;
  readonly #arenas: ArenaPool;
  #head: Buffer;
  #seq = 0;
  #sizeBytes: number;
  /** Acknowledged blocks, oldest first, that this file does not have yet. */
  #pending: Slice[] = [];
  #pendingBytes = 0;
  #pendingSeq = 0;
  #writtenSeq = 0;
  #syncedSeq = 0;
  #busy: Promise<void> = Promise.resolve();
  #failure: VerbatimError | undefined;
  #closed = false;

  private constructor(
    path: string,
    identity: JournalIdentity,
    file: DataFile,
    arenas: ArenaPool,
    chain: { key: KeyObject; head: Buffer; sizeBytes: number },
  ) {
    this.path = path;
    this.identity = identity;
    this.#file = file;
    this.#arenas = arenas;
    this.#key = chain.key;
    this.#head = chain.head;
    this.#sizeBytes = chain.sizeBytes;
    this.#recordingId = uuidBytes(identity.recording);
  }

  /** O_EXCL: a second writer gets `conflict`. Header and name are durable on return. */
  static async create(
    identity: JournalIdentity,
    recipients: readonly string[],
    context: { journalsDir: string; files: StoreFiles; arenas: ArenaPool; clock: Clock },
  ): Promise<JournalFile> {
    // Refuses a malformed id before it becomes part of a path.
    uuidBytes(identity.recording);
    const path = join(context.journalsDir, journalName(identity.recording, identity.epoch));
    const { header: ageHeader, fileKey } = await createAgeHeader(recipients);
    const header = encodeFileHeader({
      v: 1,
      recording: identity.recording,
      call: identity.call,
      epoch: identity.epoch,
      created: new Date(context.clock.wallMs()).toISOString(),
      recorder: identity.recorder,
      prev: identity.prev,
      age: ageHeader.toString('base64'),
    });
    const key = journalKey(fileKey, identity.recording);
    fileKey.fill(0);
    let file: DataFile;
    try {
      file = await context.files.create(path);
    } catch (error) {
      throw storeError(error, `journal ${path}`);
    }
    try {
      await file.write([header], 0);
      await file.datasync();
      await fsyncDir(dirname(path));
    } catch (error) {
      // Nobody was told of this file and it holds no audio: a leftover would only block the epoch.
      await file.close().catch(() => undefined);
      await unlink(path).catch(() => undefined);
      throw storeError(error, `journal ${path}`);
    }
    const head = Buffer.from(header.subarray(header.length - 32));
    return new JournalFile(path, identity, file, context.arenas, { key, head, sizeBytes: header.length });
  }

  get seq(): number {
    return this.#seq;
  }

  /** The head of everything sealed so far. */
  get head(): Buffer {
    return this.#head;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get syncedSeq(): number {
    return this.#syncedSeq;
  }

  /** The last block that is acknowledged: in the log, if not here. */
  get acknowledgedSeq(): number {
    return this.#pendingSeq;
  }

  get failure(): VerbatimError | undefined {
    return this.#failure;
  }

  /** Encrypts and chains one block as a log record; the slice is the block's bytes alone. */
  seal(type: BlockType, monotonicUs: number, wallMs: number, plaintext: Uint8Array): Slice {
    const blockBytes = plaintext.length + BLOCK_OVERHEAD_BYTES;
    const recordBytes = logRecordBytes(blockBytes);
    const arena = this.#arenas.room(recordBytes);
    const at = arena.used;
    writeLogRecordHeader(arena.bytes, at, this.#recordingId, this.identity.epoch, blockBytes);
    const blockAt = at + LOG_RECORD_HEADER_BYTES;
    const ciphertextBytes = plaintext.length + TAG_BYTES;
    this.#seq += 1;
    const header = { type, seq: this.#seq, ciphertextBytes, monotonicUs, wallMs };
    this.#head = sealBlock(arena.bytes, blockAt, this.#key, this.#head, header, plaintext);
    arena.used = at + recordBytes;
    return this.#arenas.hold(arena, blockAt, blockAt + blockBytes);
  }

  /** Takes over slices of blocks up to `seq` that are now durable in the log, to be written lazily. */
  enqueue(slices: Slice[], seq: number): void {
    this.#pendingSeq = seq;
    if (this.#failure !== undefined) {
      for (const slice of slices) this.#arenas.release(slice);
      return;
    }
    for (const slice of slices) {
      this.#pending.push(slice);
      this.#pendingBytes += slice.bytes.length;
    }
  }

  /** Writes what is pending; not durable yet. Rejects with the file's first error, now and ever after. */
  write(): Promise<void> {
    return this.#inTurn(() => this.#writePending());
  }

  /** Writes what is pending and makes it durable. */
  sync(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#writePending();
      // Not what is pending by now: blocks that came during the write are not in the file yet.
      const seq = this.#writtenSeq;
      if (seq === this.#syncedSeq) return;
      await this.#file.datasync();
      this.#syncedSeq = seq;
    });
  }

  /** The file at `path` was replaced by one that has every acknowledged block. */
  rebuilt(): void {
    this.#syncedSeq = this.#pendingSeq;
  }

  /** Idempotent. Writes nothing: sync first. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#busy;
    await this.#file.close().catch((error: unknown) => {
      this.#failure ??= storeError(error, `journal ${this.path}`);
    });
    for (const slice of this.#pending.splice(0)) this.#arenas.release(slice);
  }

  async #writePending(): Promise<void> {
    const slices = this.#pending;
    const seq = this.#pendingSeq;
    const bytes = this.#pendingBytes;
    if (slices.length === 0) return;
    this.#pending = [];
    this.#pendingBytes = 0;
    try {
      const buffers = slices.map((slice) => slice.bytes);
      await this.#file.write(buffers, this.#sizeBytes);
      this.#sizeBytes += bytes;
      this.#writtenSeq = seq;
    } finally {
      for (const slice of slices) this.#arenas.release(slice);
    }
  }

  #inTurn(operation: () => Promise<void>): Promise<void> {
    const turn = this.#busy.then(async () => {
      if (this.#failure !== undefined) throw this.#failure;
      try {
        await operation();
      } catch (error) {
        this.#failure = storeError(error, `journal ${this.path}`);
        for (const slice of this.#pending.splice(0)) this.#arenas.release(slice);
        this.#pendingBytes = 0;
        throw this.#failure;
      }
    });
    this.#busy = turn.catch(() => undefined);
    return turn;
  }
}
