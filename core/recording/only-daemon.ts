import { VerbatimError } from '#protocol';
import { SessionLock } from '../db/index.ts';
import type { Log } from './queue.ts';

/** The advisory lock that a running daemon holds, "vrbd" in ASCII. */
const LOCK_KEY = 0x76726264;
/** A daemon that was killed is forgotten by PostgreSQL as soon as its connection is; so long a start waits for that. */
const WAIT_MS = 10_000;

export interface OnlyDaemonOptions {
  databaseUrl: string;
  log: Log;
  waitMs?: number;
  /** Another daemon has taken this one's place. The sentence is for the operator. */
  onLost?: (sentence: string) => void;
}

export interface OnlyDaemon {
  release(): Promise<void>;
}

/**
 * Makes sure that one daemon at a time works on a database: two would take each other's recorder events, and each
 * would wait in vain for half of its own. A connection that breaks is no end of it: the daemon comes back for its lock,
 * and is told only when another one was faster.
 * @throws VerbatimError `conflict` when another daemon stays.
 */
export async function becomeOnlyDaemon(options: OnlyDaemonOptions): Promise<OnlyDaemon> {
  const { databaseUrl, log, waitMs = WAIT_MS, onLost } = options;
  const lock = await SessionLock.take({
    url: databaseUrl,
    key: LOCK_KEY,
    log,
    waitMs,
    onTaken: () => {
      const sentence =
        'Another Verbatim server took over this database while the connection to it was broken: this one ends.';
      log.error({}, sentence);
      onLost?.(sentence);
    },
  });
  if (lock === undefined)
    throw new VerbatimError(
      'conflict',
      'Another Verbatim server is running on this database: stop it, or give this one a database of its own.',
    );
  return lock;
}
