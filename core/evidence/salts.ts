import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { isErrno, mkdirDurable, unlinkDurable, writeFileDurable } from '#store';

const SALT_BYTES = 32;
/** Salts of running calls and of those just read; the one used longest ago goes first. */
const MAX_CACHED = 4096;
/** Salts that wait for the disk at the same time; past it consents are refused at once. */
const MAX_PREPARING = 256;

/**
 * One random salt for each recording: it hides the parties and the content in the ledger, lies beside the sealed header
 * and dies with it. The file is 64 hex digits and a newline, 0600.
 */
export class Salts {
  readonly #paths: DataPaths;
  readonly #cached = new Map<string, Buffer>();
  /** Recordings whose salt is being made. A disk that hangs keeps them; the calls that they belong to were refused. */
  readonly #preparing = new Set<string>();

  constructor(paths: DataPaths) {
    this.#paths = paths;
  }

  /**
   * The recording's salt, made when there is none. Durable on return, so it comes before the first entry.
   * @throws VerbatimError `evidence_unavailable` when too many wait for the disk; the system's error
   */
  async prepare(recordingId: string): Promise<Buffer> {
    if (this.#preparing.size >= MAX_PREPARING)
      throw new VerbatimError('evidence_unavailable', `${MAX_PREPARING} salts wait for the disk`);
    this.#preparing.add(recordingId);
    try {
      return (await this.find(recordingId)) ?? (await this.#make(recordingId));
    } finally {
      this.#preparing.delete(recordingId);
    }
  }

  /** True while `prepare` is under way, whether anybody still waits for it or not. */
  isPreparing(recordingId: string): boolean {
    return this.#preparing.has(recordingId);
  }

  /** @throws VerbatimError `corrupt` when there is none, or not one salt in the file */
  async read(recordingId: string): Promise<Buffer> {
    const salt = await this.find(recordingId);
    if (salt === undefined)
      throw new VerbatimError('corrupt', `the salt of recording ${recordingId} is missing`);
    return salt;
  }

  /** Undefined when there is none. @throws VerbatimError `corrupt` */
  async find(recordingId: string): Promise<Buffer | undefined> {
    const cached = this.#cached.get(recordingId);
    if (cached !== undefined) return cached;
    const path = this.#paths.salt(recordingId);
    let text: string;
    try {
      text = await readFile(path, 'latin1');
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
    if (!/^[0-9a-f]{64}\n$/.test(text))
      throw new VerbatimError('corrupt', `${path}: expected 64 hex digits and a newline`);
    const salt = Buffer.from(text.trimEnd(), 'hex');
    this.#keep(recordingId, salt);
    return salt;
  }

  /** Takes it out of memory; whoever removes the file does that first and afterwards. */
  forget(recordingId: string): void {
    this.#cached.get(recordingId)?.fill(0);
    this.#cached.delete(recordingId);
  }

  /** Nothing that was entered of this recording can be opened from then on. Durable on return. */
  async destroy(recordingId: string): Promise<void> {
    this.forget(recordingId);
    await unlinkDurable(this.#paths.salt(recordingId));
  }

  async #make(recordingId: string): Promise<Buffer> {
    await mkdirDurable(this.#paths.recordings);
    const salt = randomBytes(SALT_BYTES);
    try {
      // A crash here leaves a temporary file, or a salt that nothing was entered under.
      await writeFileDurable(this.#paths.salt(recordingId), `${salt.toString('hex')}\n`, { exclusive: true });
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
      return this.read(recordingId);
    }
    this.#keep(recordingId, salt);
    return salt;
  }

  #keep(recordingId: string, salt: Buffer): void {
    this.#cached.set(recordingId, salt);
    const [oldest] = this.#cached.keys();
    if (this.#cached.size > MAX_CACHED && oldest !== undefined) this.#cached.delete(oldest);
  }
}
