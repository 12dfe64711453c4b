import { mkdir, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { VerbatimError } from '#protocol';
import { createCluster } from './embedded-init.ts';
import { postmasterOf, stopLeftovers } from './embedded-leftovers.ts';
import { Postmaster } from './embedded-postmaster.ts';
import type { HeldLock } from './lock.ts';
import { holdLock } from './lock.ts';
import type { Log } from './log.ts';
import { findBinaries } from './postgres-binaries.ts';
import { findPostgresUser, giveTo } from './postgres-user.ts';

/** The role and the database of Verbatim in the embedded server. The role owns the database and nothing else. */
export const EMBEDDED_NAME = 'verbatim';

export interface EmbeddedPostgresOptions {
  dataDir: string;
  /** From the config's secrets; 43 URL-safe characters. */
  password: string;
  log: Log;
  /** Who is asking, for the message that another start gets. */
  purpose?: string;
  /** How long to wait for another Verbatim program that is just finishing with the folder; 5 s unless given. */
  waitMs?: number;
  /** Called once if the server ends although nobody asked it to; the sentence says what it said last. */
  onLost?: (sentence: string) => void;
}

export interface EmbeddedPostgres {
  /** For this machine only; holds the password, so never log it. */
  readonly url: string;
  /** Fast shutdown with a checkpoint; nothing is lost by a harder end either. Idempotent. */
  stop(): Promise<void>;
}

const LOCK_WAIT_MS = 5_000;
const LOG_LIMIT_BYTES = 10 * 1024 * 1024;

/**
 * Starts the PostgreSQL of this data folder and answers when it takes connections. Made on first use.
 *
 * - It lies in `<dataDir>/postgres/data`, listens on a free loopback port with SCRAM, and never on a socket file.
 * - As root it runs as a system user of its own, which needs no access to the folders above its own.
 * - It ends when this process ends, however it ends; one that was left behind all the same is stopped here first.
 *
 * Throws VerbatimError `unavailable` with a sentence for the operator. Data is never removed.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log } = options;
  const { dataDir, lock } = await holdFolder(options);
  try {
    const user = await findPostgresUser(log);
    const binaries = await findBinaries(user);
    const home = join(dataDir, 'postgres');
    const cluster = join(home, 'data');
    await mkdir(home, { recursive: true, mode: 0o700 });
    await stopLeftovers(cluster, log);
    if (user !== undefined) await giveTo(user, home);
    await createCluster({ home, binaries, user, name: EMBEDDED_NAME, password: options.password, log });

    const logFile = await openLog(join(dataDir, 'logs', 'postgres.log'));
    const postmaster = await Postmaster.start({ cluster, binaries, user, logFile, log }).finally(() =>
      logFile.handle.close(),
    );
    let stopping: Promise<void> | undefined;
    postmaster.ended.then((lastWords) => {
      if (stopping !== undefined) return;
      lock
        .release()
        .catch((error: unknown) => log.error({ err: error }, 'The lock of the data folder stays'));
      options.onLost?.(`The embedded PostgreSQL ended: ${lastWords}`);
    });
    const stop = (): Promise<void> => {
      stopping ??= postmaster.stop().finally(() => lock.release());
      return stopping;
    };
    return { url: urlOf(postmaster.port, options.password), stop };
  } catch (error) {
    await lock.release();
    throw folderError(dataDir, error);
  }
}

/** Makes the folder if need be, and keeps other Verbatim programs off its database. */
async function holdFolder(options: EmbeddedPostgresOptions): Promise<{ dataDir: string; lock: HeldLock }> {
  try {
    await mkdir(join(options.dataDir, 'logs'), { recursive: true, mode: 0o700 });
    const dataDir = await realpath(options.dataDir);
    const lock = await holdLock(join(dataDir, 'postgres.lock'), {
      purpose: options.purpose ?? 'Verbatim',
      what: `The data folder ${dataDir}`,
      waitMs: options.waitMs ?? LOCK_WAIT_MS,
    });
    return { dataDir, lock };
  } catch (error) {
    throw folderError(options.dataDir, error);
  }
}

/** The address of the server that another process runs on this folder; undefined when none takes connections. */
export async function findEmbeddedPostgres(dataDir: string, password: string): Promise<string | undefined> {
  const cluster = join(dataDir, 'postgres', 'data');
  const postmaster = await postmasterOf(cluster);
  return postmaster?.ready ? urlOf(postmaster.port, password) : undefined;
}

function urlOf(port: number, password: string): string {
  return `postgres://${EMBEDDED_NAME}:${password}@127.0.0.1:${port}/${EMBEDDED_NAME}`;
}

/** PostgreSQL writes here by itself, so that its last words survive us. One old file is kept. */
async function openLog(
  path: string,
): Promise<{ handle: Awaited<ReturnType<typeof open>>; path: string; offset: number }> {
  const size = (await stat(path).catch(() => undefined))?.size ?? 0;
  if (size > LOG_LIMIT_BYTES) {
    await rm(`${path}.1`, { force: true });
    await rename(path, `${path}.1`);
  }
  const handle = await open(path, 'a', 0o600);
  return { handle, path, offset: (await handle.stat()).size };
}

function folderError(dataDir: string, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const sentence = {
    EACCES: `This user may not write to the data folder ${dataDir}: run as the user who owns it, or choose another dataDir.`,
    EPERM: `This user may not write to the data folder ${dataDir}: run as the user who owns it, or choose another dataDir.`,
    EROFS: `The data folder ${dataDir} is on a read-only file system: choose another dataDir.`,
    ENOSPC: `There is no space left for the data folder ${dataDir}: make room, or choose another dataDir.`,
    ENOTDIR: `A part of the path of the data folder ${dataDir} is not a folder: choose another dataDir.`,
  }[String(code)];
  return sentence === undefined ? error : new VerbatimError('unavailable', sentence, { cause: error });
}
