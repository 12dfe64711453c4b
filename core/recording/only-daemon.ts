import { setTimeout as delay } from 'node:timers/promises';
import { VerbatimError } from '#protocol';
import type { Database } from '../db/index.ts';

/** The advisory lock that a running daemon holds, "vrbd" in ASCII. */
const LOCK_KEY = 0x76726264;
/** A daemon that was killed is forgotten by PostgreSQL as soon as its connection is; so long a start waits for that. */
const WAIT_MS = 10_000;
const POLL_MS = 200;

export interface OnlyDaemon {
  release(): Promise<void>;
}

/**
 * Makes sure that one daemon at a time works on a database: two would take each other's recorder events, and each
 * would wait in vain for half of its own. Holds one connection of the pool until it is released.
 * @throws VerbatimError `conflict` when another daemon stays.
 */
export async function becomeOnlyDaemon(db: Database, waitMs: number = WAIT_MS): Promise<OnlyDaemon> {
  const connection = await db.sql.reserve();
  const until = performance.now() + waitMs;
  try {
    for (;;) {
      const [row] = await connection<
        { locked: boolean }[]
      >`select pg_try_advisory_lock(${LOCK_KEY}) as locked`;
      if (row?.locked) break;
      if (performance.now() > until)
        throw new VerbatimError(
          'conflict',
          'Another Verbatim server is running on this database: stop it, or give this one a database of its own.',
        );
      await delay(POLL_MS);
    }
  } catch (error) {
    connection.release();
    throw error;
  }
  let releasing: Promise<void> | undefined;
  return {
    release: () => {
      releasing ??= (async () => {
        try {
          await connection`select pg_advisory_unlock(${LOCK_KEY})`;
        } finally {
          connection.release();
        }
      })();
      return releasing;
    },
  };
}
