import type { DataPaths } from '../paths.ts';
import type { LedgerFinding } from './findings.ts';
import type { Head } from './head.ts';
import type { Loaded, ReadEntry } from './load.ts';
import { scanLedger } from './load.ts';

export interface ReadLedgerOptions {
  /** Looked at when it is given: then a head that the signer remembers and the log lacks is found too. */
  signerDir?: string;
  /** Its writer may be at work meanwhile: what comes after the start of the reading is no fault. */
  live?: boolean;
}

export interface LedgerReading {
  /** False when there is no log at all. */
  exists: boolean;
  origin: string | undefined;
  /** Every verifier key that the entries name, oldest first. */
  vkeys: string[];
  /** The public list as it lies there, keys of earlier logs first. */
  listedVkeys: readonly string[];
  /** Of the entries that were read, those in the write-ahead file included. */
  size: number;
  root: Buffer;
  checkpoint: Head | undefined;
  /** Present when `signerDir` was given. */
  memory: Head | undefined;
  /** The first thousand, in the order in which they were found. */
  findings: readonly LedgerFinding[];
  findingCount: number;
}

/**
 * Reads a log without a secret and without changing anything, in memory for 256 entries and an index of some 50 bytes
 * an entry. Iterate `entries` to its end, then ask for `result`: every entry, tile, partial tile, commit and signature
 * was compared by then.
 */
export class LedgerReader {
  readonly #options: Parameters<typeof scanLedger>[0];
  #total: number | undefined;
  #loaded: Loaded | undefined;

  constructor(paths: DataPaths, { signerDir, live = false }: ReadLedgerOptions = {}) {
    this.#options = { paths, signerDir, live, withKey: false };
  }

  /** How many entries will come; known from the first one on. */
  get total(): number | undefined {
    return this.#total;
  }

  /** In the log's order. What is wrong does not stop it. @throws the system's error when a file cannot be read */
  async *entries(): AsyncGenerator<ReadEntry, void, void> {
    this.#loaded = yield* scanLedger(this.#options, (total) => {
      this.#total = total;
    });
  }

  get result(): LedgerReading {
    const loaded = this.#loaded;
    if (loaded === undefined) throw new Error('the entries were not read to their end');
    const { empty, origin, history, edge, checkpoint, memory, findings, vkeys } = loaded;
    return {
      exists: !empty,
      origin: history.origin ?? origin,
      vkeys: history.vkeys,
      listedVkeys: vkeys,
      size: edge.size,
      root: edge.root(),
      checkpoint,
      memory,
      findings: findings.list,
      findingCount: findings.count,
    };
  }
}

/** A reader for verification. Nothing is read before its entries are asked for. */
export function readLedger(paths: DataPaths, options: ReadLedgerOptions = {}): LedgerReader {
  return new LedgerReader(paths, options);
}
