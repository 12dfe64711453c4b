// For the tests of this room only.
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import type { DataFile } from '../files.ts';
import type { DataPaths } from '../paths.ts';
import { dataPaths } from '../paths.ts';
import type { LedgerFiles } from './files.ts';
import { systemLedgerFiles } from './files.ts';
import { Ledger } from './ledger.ts';
import type { LedgerOptions, NewLedgerEntry } from './options.ts';

export type LedgerVerb = 'create' | 'write' | 'datasync' | 'rename' | 'syncDir' | 'mkdir' | 'remove';

/** Real files with a hook around each verb: what `before` throws is the disk's error. */
export class WatchedFiles implements LedgerFiles {
  before: (verb: LedgerVerb, path: string) => void = () => {};
  after: (verb: LedgerVerb, path: string) => void = () => {};
  /** After a write error this many bytes of the write are on disk anyway. */
  tornBytes = 0;
  /** What the file had before its last write, so what the system may have kept of it until it is synced. */
  readonly unsynced = new Map<string, number>();

  async create(path: string): Promise<DataFile> {
    const file = await this.#do('create', path, () => systemLedgerFiles.create(path));
    let sizeBytes = 0;
    return {
      write: (buffers, position) =>
        this.#do(
          'write',
          path,
          async () => {
            this.unsynced.set(path, sizeBytes);
            await file.write(buffers, position);
            sizeBytes = position + Buffer.concat(buffers).length;
          },
          async () => {
            const torn = Buffer.concat(buffers).subarray(0, this.tornBytes);
            if (torn.length > 0) await file.write([torn], position);
          },
        ),
      datasync: () =>
        this.#do('datasync', path, async () => {
          await file.datasync();
          this.unsynced.delete(path);
        }),
      close: () => file.close(),
    };
  }

  rename(from: string, to: string): Promise<void> {
    return this.#do('rename', to, () => systemLedgerFiles.rename(from, to));
  }

  syncDir(dir: string): Promise<void> {
    return this.#do('syncDir', dir, () => systemLedgerFiles.syncDir(dir));
  }

  mkdir(dir: string): Promise<string | undefined> {
    return this.#do('mkdir', dir, () => systemLedgerFiles.mkdir(dir));
  }

  remove(path: string): Promise<void> {
    return this.#do('remove', path, () => systemLedgerFiles.remove(path));
  }

  async #do<T>(
    verb: LedgerVerb,
    path: string,
    act: () => Promise<T>,
    failed: () => Promise<void> = async () => {},
  ): Promise<T> {
    try {
      this.before(verb, path);
    } catch (error) {
      await failed();
      throw error;
    }
    const result = await act();
    this.after(verb, path);
    return result;
  }
}

/** Time that stands still until it is moved. */
export class TestClock implements Clock {
  wall = Date.UTC(2030, 0, 2, 3, 4, 5);
  monoUs = 1_000_000_000;

  wallMs(): number {
    return this.wall;
  }

  monotonicUs(): number {
    return this.monoUs;
  }

  /** Both clocks go on. */
  pass(ms: number): void {
    this.wall += ms;
    this.monoUs += ms * 1000;
  }
}

export interface Place {
  dir: string;
  paths: DataPaths;
  signerDir: string;
  alarms: string[];
  open(options?: Partial<LedgerOptions>): Promise<Ledger>;
  options(options?: Partial<LedgerOptions>): LedgerOptions;
}

const ignore = (): void => undefined;

/** A data folder and a signer's folder side by side in `dir`. */
export function placeIn(dir: string): Place {
  const paths = dataPaths(join(dir, 'data'));
  const signerDir = join(dir, 'signer');
  const alarms: string[] = [];
  const options = (more: Partial<LedgerOptions> = {}): LedgerOptions => ({
    paths,
    signerDir,
    version: '1.2.3',
    log: { info: ignore, warn: ignore, error: ignore },
    onAlarm: (problem) => alarms.push(problem),
    collectMs: 0,
    retry: { minMs: 1, maxMs: 4 },
    ...more,
  });
  return { dir, paths, signerDir, alarms, options, open: (more) => Ledger.open(options(more)) };
}

/** A copy of a place as it is now, without the owner: as if its process had died. */
export function freeze(from: Place, to: string): Place {
  cpSync(from.dir, to, { recursive: true });
  const place = placeIn(to);
  const wal = join(place.paths.ledger, 'wal');
  if (!existsSync(wal)) return place;
  for (const name of readdirSync(wal)) if (name.startsWith('owner.')) rmSync(join(wal, name));
  return place;
}

/** An entry that the tests can tell from others. */
export function entryOf(n: number, sub = `rec:${n % 5}`): NewLedgerEntry {
  return { t: 'call.start', id: `e${n}`, sub, actor: { kind: 'server' }, d: { n } };
}

export function diskError(code: string): Error {
  return Object.assign(new Error(`${code}: made by the test`), { code });
}
