import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * What a test asks of `crash-preload.ts`: at which operation which process dies, hangs or is told of an error. The
 * product knows nothing of it: its modules are the same, the operating system's functions below them are not.
 *
 *   const plan = faultPlan(dir, [{ op: 'rename', path: '\\.tmp -> .*\\.pay$', when: 'after', act: 'kill' }]);
 *   const env = { ...plan.env };            // given to the process, which hands it on to its children
 *   ...                                     // until the process has died of it
 *   t.equal(plan.acted(0), 1);              // or the test proved nothing
 */
export interface FaultRule {
  op: FaultOp;
  /**
   * A regular expression that the path must match. For `rename`, `link` and copies the text is `from -> to`; for `send`
   * it is what is sent, as Latin-1. Directories are synced through a handle: `sync` with a path that ends in their name.
   */
  path?: string;
  /** Which of the matching calls of a process, the first is 1; with `always` that one and all after it. */
  nth?: number;
  always?: boolean;
  /**
   * `before`: nothing of the call has happened. `after`: all of it has, and the caller is not told. `half`, of a write: the
   * first half of the bytes has (or `halfBytes`), as when the power goes or the disk is full.
   */
  when?: 'before' | 'after' | 'half';
  halfBytes?: number;
  /**
   * `kill`: SIGKILL to this process; `kill-parent`: to the one that it has an IPC channel to, and the call goes on;
   * `kill-both`: first that one, then this. `hang`: the call never returns. Else a code such as `ENOSPC`, `EIO`,
   * `EROFS`, `EMFILE`: the call fails with it. `keep`: nothing befalls anybody, but whenever the call has succeeded the file
   * is copied as it is then, before the caller is told and before another rule strikes. What was synced is so known
   * from outside (`kept`). Not for functions with a callback.
   */
  act: 'kill' | 'kill-parent' | 'kill-both' | 'hang' | 'keep' | `E${string}`;
  /** A regular expression that the command line must match, to mean one role: `recorder-worker/main\\.ts finalise`. */
  argv?: string;
  /** Once in all processes together, also in one that is started again after the fault. True unless `always`. */
  once?: boolean;
  /** The rule counts and acts only while this file exists: the test makes it and takes it away. */
  whileExists?: string;
}

export type FaultOp =
  /** Opens of any kind, and those that may create the file. */
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'sync'
  | 'datasync'
  | 'truncate'
  | 'close'
  | 'rename'
  | 'link'
  | 'unlink'
  | 'mkdir'
  | 'rmdir'
  | 'readdir'
  | 'stat'
  /** Bytes given to a TCP or Unix socket: a report to the queue, an answer to a client. */
  | 'send';

/** As it travels to the process. */
export interface PlannedRule extends FaultRule {
  /** A line is appended for each time that the rule acted: process id, operation, path. */
  log: string;
}

export const PLAN_VARIABLE = 'TEST_FAULT_PLAN';
export const PRELOAD = fileURLToPath(new URL('./crash-preload.ts', import.meta.url));

export interface FaultPlan {
  /** To be added to the environment of the process. */
  env: { NODE_OPTIONS: string; [PLAN_VARIABLE]: string };
  /** How often a rule has acted, by its place in the list. */
  acted(rule: number): number;
  /** What a rule `keep` kept: the newest copy of each file, by process and path. */
  kept(rule: number): Buffer[];
}

/** `dir` must exist; `nodeOptions` are other options that the process needs. */
export function faultPlan(dir: string, rules: readonly FaultRule[], nodeOptions = ''): FaultPlan {
  const planned = rules.map((rule, i): PlannedRule => ({ ...rule, log: join(dir, `fault-${i}.log`) }));
  const logOf = (rule: number): string => {
    const log = planned[rule]?.log;
    if (log === undefined) throw new RangeError(`there is no rule ${rule}`);
    return log;
  };
  return {
    env: {
      NODE_OPTIONS: `${nodeOptions} --import=${PRELOAD}`.trim(),
      [PLAN_VARIABLE]: JSON.stringify(planned),
    },
    acted: (rule) => {
      const log = logOf(rule);
      return existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n').length : 0;
    },
    kept: (rule) => {
      const folder = keptBeside(logOf(rule));
      if (!existsSync(folder)) return [];
      return readdirSync(folder)
        .filter((name) => !name.startsWith('.'))
        .map((name) => readFileSync(join(folder, name)));
    },
  };
}

/** Where the copies of a rule lie. */
export const keptBeside = (log: string): string => `${log}.kept`;
