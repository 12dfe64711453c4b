import { join } from 'node:path';
import type { NoteSigner } from '#ledger';
import { formatCheckpoint, LedgerError, signNote, verifyConsistency } from '#ledger';
import type { LedgerFiles } from './files.ts';
import { writeFiles } from './files.ts';
import { MAX_NOTE_BYTES } from './head.ts';
import { readWhole } from './listing.ts';

/** Name of the signer's memory in its folder: the last checkpoint it signed, as the whole signed note. */
const MEMORY_FILE = 'last-signed';

export function memoryPath(signerDir: string): string {
  return join(signerDir, MEMORY_FILE);
}

/** Undefined when the signer remembers nothing. */
export async function readMemory(signerDir: string): Promise<string | undefined> {
  return (await readWhole(memoryPath(signerDir), MAX_NOTE_BYTES))?.toString('utf8');
}

/** A head that cannot be signed, because the signer remembers one that it contradicts. Not a matter of retrying. */
export class SignerRefusal extends Error {}

/**
 * Signs heads, each consistent with the one before. What it signed last lies in a folder of its own, apart from the
 * data, so that a data folder that went back in time is noticed; it is written before anybody sees the new head.
 */
export class Signer {
  readonly #path: string;
  readonly #origin: string;
  readonly #files: LedgerFiles;
  #last: { size: number; root: Buffer; note: string } | undefined;
  #absent: boolean;
  /** A note whose writing failed: it is there, or the one before. */
  #unsure: { size: number; root: Buffer; note: string } | undefined;

  constructor(options: {
    signerDir: string;
    origin: string;
    files: LedgerFiles;
    last: { size: number; root: Buffer; note: string } | undefined;
    /** `last` is the published checkpoint, because the memory itself is gone. */
    absent: boolean;
  }) {
    this.#path = memoryPath(options.signerDir);
    this.#origin = options.origin;
    this.#files = options.files;
    this.#last = options.last;
    this.#absent = options.absent;
  }

  get last(): { size: number; root: Buffer } | undefined {
    return this.#last;
  }

  /**
   * The signed checkpoint of this head. `prove` makes the consistency proof from an older size to this one; `accepted`
   * is true when the log itself says that an operator accepted the loss of the last head signed.
   * Throws SignerRefusal, or the disk's error; after the latter the same head or a later one may be tried again.
   */
  async sign(
    head: { size: number; root: Buffer },
    signers: readonly NoteSigner[],
    { prove, accepted = false }: { prove: (from: number) => Promise<Buffer[]>; accepted?: boolean },
  ): Promise<string> {
    await this.#checkMemory();
    if (this.#last !== undefined && !accepted) await this.#checkConsistent(this.#last, head, prove);
    const note = signNote(formatCheckpoint({ origin: this.#origin, ...head }), [...signers]);
    if (note === this.#last?.note && !this.#absent) return note;
    this.#unsure = { ...head, note };
    // A crash before this is durable leaves the last head in memory: it is published, and this one was seen by nobody.
    // A crash after it leaves a head in memory that nobody saw: the tree holds its entries, and the next start
    // publishes it.
    await writeFiles(this.#files, [{ path: this.#path, bytes: Buffer.from(note) }]);
    this.#unsure = undefined;
    this.#absent = false;
    this.#last = { ...head, note };
    return note;
  }

  /** Somebody else who signs with this memory would make two heads that contradict each other. */
  async #checkMemory(): Promise<void> {
    const found = (await readWhole(this.#path, MAX_NOTE_BYTES))?.toString('utf8');
    if (found !== undefined && found === this.#unsure?.note) this.#last = this.#unsure;
    if (found === this.#last?.note || (found === undefined && this.#absent)) return;
    throw new SignerRefusal(`${this.#path} was changed by somebody else while this server runs`);
  }

  async #checkConsistent(
    last: { size: number; root: Buffer },
    head: { size: number; root: Buffer },
    prove: (from: number) => Promise<Buffer[]>,
  ): Promise<void> {
    const refuse = (reason: string, cause?: unknown): never => {
      const what = `the new head contradicts the last one signed, of ${last.size} entries`;
      throw new SignerRefusal(`${what}: ${reason}`, { cause });
    };
    if (head.size < last.size) refuse(`it has ${head.size}`);
    // Read from the tiles that are on the disk by now; what the disk refuses is thrown as it is.
    const proof = await prove(last.size);
    try {
      verifyConsistency({ from: last.size, to: head.size, fromRoot: last.root, toRoot: head.root, proof });
    } catch (error) {
      if (!(error instanceof LedgerError)) throw error;
      refuse(error.problem, error);
    }
  }
}
