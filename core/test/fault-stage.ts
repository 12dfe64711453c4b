import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { silentLog, testDatabases } from '../db/fixture.ts';
import type { Database } from '../db/index.ts';
import { openDatabase } from '../db/index.ts';
import type { RecordingRow } from '../db/recordings.ts';
import { recordingById } from '../db/recordings.ts';
import { FaultDaemon, waitFor } from './fault-daemon.ts';
import type { FaultPlan, FaultRule } from './fault-plan.ts';
import { faultPlan } from './fault-plan.ts';

/** From when on a fault is looked for: once the call is recorded, or once its end was ordered. */
export type Since = 'armed' | 'hung up';

/** Command lines of the processes that a fault can befall. */
export const ARGV = {
  capture: 'recorder-worker/main\\.ts capture',
  finalise: 'recorder-worker/main\\.ts finalise',
  daemon: 'fault-daemon-child\\.ts',
} as const;
export type FaultProcess = keyof typeof ARGV;

/** Segments of a recorder's log; that of the ledger has another folder. */
export const LOG = '/wal/[0-9a-f-]{36}/[0-9]+\\.wal$';
export const JOURNAL = '-1\\.scj$';
/** Rows of one file at a time: each waits for most of its time. */
const AT_ONCE = 3;

/** What the rows of one test file share: a database server, and what Node made of the sources. */
export interface FaultHouse {
  database(): Promise<string>;
  compileCache: string;
}

/** `migrate` makes the queue's tables, once for all. */
export async function faultHouse(
  t: Test,
  migrate: (databaseUrl: string) => Promise<void>,
): Promise<FaultHouse> {
  t.setTimeout(600_000);
  t.jobs = AT_ONCE;
  const compileCache = await mkdtemp(join(tmpdir(), 'verbatim-fault-cache-'));
  t.teardown(() => rm(compileCache, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
  await Promise.all(PROGRAMS.map((program) => compile(program, compileCache)));
  return { database: await testDatabases(t, migrate), compileCache };
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What is started again and again, with the flags of its role (core/recording/children.ts): they are part of the key. */
const PROGRAMS: readonly { flags: readonly string[]; modules: readonly string[] }[] = [
  { flags: [], modules: ['core/test/fault-daemon-child.ts', 'core/test/crash-preload.ts'] },
  {
    flags: ['--max-semi-space-size=4'],
    modules: ['recorder-worker/recorder.ts', 'config/index.ts', 'core/test/crash-preload.ts'],
  },
  {
    flags: ['--single-threaded-gc', '--max-semi-space-size=2'],
    modules: ['recorder-worker/finaliser.ts', 'config/index.ts', 'core/test/crash-preload.ts'],
  },
];

/** Half of what a short process takes is compiling its modules, and one that is killed keeps nothing of that. */
async function compile({ flags, modules }: (typeof PROGRAMS)[number], cache: string): Promise<void> {
  const imports = modules.map((module) => `await import(${JSON.stringify(join(ROOT, module))});`).join('');
  await promisify(execFile)(process.execPath, [...flags, '--input-type=module', '--eval', imports], {
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: cache },
  });
}

/** One row's data folder, database and fault, and what happens there. */
export class FaultStage {
  readonly dataDir: string;
  readonly db: Database;
  readonly plan: FaultPlan;
  readonly #t: Test;
  readonly #dir: string;
  readonly #databaseUrl: string;
  readonly #compileCache: string;
  readonly #faults: number;

  private constructor(
    t: Test,
    parts: { dir: string; db: Database; databaseUrl: string; house: FaultHouse; rules: readonly FaultRule[] },
  ) {
    this.#t = t;
    this.#dir = parts.dir;
    this.dataDir = join(parts.dir, 'data');
    this.db = parts.db;
    this.#databaseUrl = parts.databaseUrl;
    this.#compileCache = parts.house.compileCache;
    this.#faults = parts.rules.length;
    // What the recorder has synced is known from outside: nothing of it may ever be missing.
    const keep: FaultRule = { op: 'datasync', path: LOG, act: 'keep', argv: ARGV.capture };
    this.plan = faultPlan(join(parts.dir, 'plan'), [...parts.rules, keep]);
  }

  static async open(
    t: Test,
    house: FaultHouse,
    rulesOf: (flag: (since: Since) => string) => readonly FaultRule[],
  ): Promise<FaultStage> {
    const dir = await mkdtemp(join(tmpdir(), 'verbatim-fault-'));
    t.teardown(() => rm(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
    await mkdir(join(dir, 'plan'));
    const databaseUrl = await house.database();
    const db = await openDatabase({ url: databaseUrl, log: silentLog, poolSize: 1 });
    t.teardown(() => db.close());
    const rules = rulesOf((since) => join(dir, since));
    return new FaultStage(t, { dir, db, databaseUrl, house, rules });
  }

  /** A daemon that meets the fault (`true`), or one whose disk is well. */
  start(order: { call: boolean; finalises?: boolean }, meetsFault: boolean): FaultDaemon {
    const { dataDir } = this;
    const env = {
      NODE_COMPILE_CACHE: this.#compileCache,
      VERBATIM_LOG_LEVEL: process.env.FAULT_LOG ?? 'silent',
      // A dead finaliser's recording is handed on as soon as it may be.
      VERBATIM_RECORDER_FINALISE_LOCK_SECONDS: '5',
      ...(meetsFault ? this.plan.env : {}),
    };
    const whole = { dataDir, databaseUrl: this.#databaseUrl, finalises: true, ...order };
    return FaultDaemon.start(this.#t, whole, env);
  }

  /** From now on the fault may come. */
  async raise(since: Since): Promise<void> {
    await writeFile(join(this.#dir, since), '');
  }

  /** The disk is well again. */
  async lower(since: Since): Promise<void> {
    await rm(join(this.#dir, since), { force: true });
  }

  hasRaised(since: Since): boolean {
    return existsSync(join(this.#dir, since));
  }

  /** How often the fault came. */
  get struck(): number {
    let count = 0;
    for (let rule = 0; rule < this.#faults; rule += 1) count += this.plan.acted(rule);
    return count;
  }

  /** Commits that the recorder has synced so far. */
  get commits(): number {
    return this.plan.acted(this.#faults);
  }

  /** Segments of its log, each as it was after its last sync. */
  get synced(): Buffer[] {
    return this.plan.kept(this.#faults);
  }

  /** The recording's row when it and its call are at their end; null when none was ever entered. */
  async end(recordingId: string, callId: string): Promise<RecordingRow | null> {
    let seen: { row: RecordingRow | null; call: CallState | undefined } | undefined;
    const isOver = async (): Promise<boolean> => {
      const [call] = await this.db.sql<CallState[]>`select state, evidence from calls where id = ${callId}`;
      const row = await recordingById(this.db, recordingId);
      seen = { row, call };
      const isSettled = call === undefined || (call.state === 'ended' && call.evidence !== 'owed');
      return isSettled && (row === null || row.state === 'available' || row.state === 'failed');
    };
    await waitFor('the call and its recording come to their end', isOver).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(seen)}`);
    });
    return seen?.row ?? null;
  }
}

interface CallState {
  state: string;
  evidence: string;
}
