import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
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
import type { FaultOrder } from './fault-daemon-child.ts';
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

/** What the rows of one test file share: a server of databases. */
export interface FaultHouse {
  database(): Promise<string>;
}

/** `migrate` makes the queue's tables, once for all; so many tests of the file run at the same time. */
export async function faultHouse(
  t: Test,
  migrate: (databaseUrl: string) => Promise<void>,
  jobs: number,
): Promise<FaultHouse> {
  t.setTimeout(600_000);
  t.jobs = jobs;
  const [database] = await Promise.all([testDatabases(t, migrate), ...PROGRAMS.map(compile)]);
  return { database };
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Shared by all runs: Node looks at the sources before it trusts an entry. */
const COMPILE_CACHE = join(ROOT, 'node_modules/.cache/verbatim-faults');
/** With the flags of their roles (core/recording/children.ts). */
const WORKERS = [
  { role: 'capture', flags: ['--max-semi-space-size=4'], program: 'recorder-worker/recorder.ts' },
  {
    role: 'finalise',
    flags: ['--single-threaded-gc', '--max-semi-space-size=2'],
    program: 'recorder-worker/finaliser.ts',
  },
] as const;
/** What is started again and again; the flags are part of the key. */
const PROGRAMS: readonly { flags: readonly string[]; modules: readonly string[] }[] = [
  { flags: [], modules: ['core/test/fault-daemon-child.ts', 'core/test/crash-preload.ts'] },
  ...WORKERS.map(({ flags, program }) => ({
    flags,
    modules: [program, 'config/index.ts', 'core/test/crash-preload.ts'],
  })),
];

/** Half of what a short process takes is compiling its modules, and one that is killed keeps nothing of that. */
async function compile({ flags, modules }: (typeof PROGRAMS)[number]): Promise<void> {
  const imports = modules.map((module) => `await import(${JSON.stringify(join(ROOT, module))});`).join('');
  await promisify(execFile)(process.execPath, [...flags, '--input-type=module', '--eval', imports], {
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: COMPILE_CACHE },
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
  readonly #faults: number;

  private constructor(
    t: Test,
    parts: { dir: string; db: Database; databaseUrl: string; rules: readonly FaultRule[] },
  ) {
    this.#t = t;
    this.#dir = parts.dir;
    this.dataDir = join(parts.dir, 'data');
    this.db = parts.db;
    this.#databaseUrl = parts.databaseUrl;
    this.#faults = parts.rules.length;
    // What the recorder has synced is known from outside: nothing of it may ever be missing.
    const keep: FaultRule = { op: 'datasync', path: LOG, act: 'keep', argv: ARGV.capture };
    this.plan = faultPlan(join(parts.dir, 'plan'), [...parts.rules, keep]);
  }

  static async open(
    t: Test,
    house: FaultHouse,
    rulesOf: (flag: (name: string) => string) => readonly FaultRule[],
  ): Promise<FaultStage> {
    const dir = await mkdtemp(join(tmpdir(), 'verbatim-fault-'));
    t.teardown(() => rm(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
    await mkdir(join(dir, 'plan'));
    const databaseUrl = await house.database();
    const db = await openDatabase({ url: databaseUrl, log: silentLog, poolSize: 1 });
    t.teardown(() => db.close());
    const rules = rulesOf((name) => join(dir, name));
    return new FaultStage(t, { dir, db, databaseUrl, rules });
  }

  /** A daemon, with a recorder and a finaliser unless told otherwise; one that meets the faults, or whose disk is well. */
  start(
    meetsFaults: boolean,
    order: Partial<FaultOrder> = {},
    settings: NodeJS.ProcessEnv = {},
  ): FaultDaemon {
    const { dataDir } = this;
    const env = { ...this.#env(meetsFaults), ...settings };
    const whole = { dataDir, databaseUrl: this.#databaseUrl, records: true, finalises: true, ...order };
    return FaultDaemon.start(this.#t, whole, env);
  }

  /**
   * A recorder and a finaliser that no daemon started, as on other machines: they outlive every daemon. Gone when the
   * answer is called, at the latest with the test.
   */
  startWorkers(): () => Promise<void> {
    const stops = WORKERS.map(({ flags, role }) => {
      const child = spawn(process.execPath, [...flags, join(ROOT, 'recorder-worker/main.ts'), role], {
        env: { PATH: process.env.PATH, ...this.#env(true) },
        stdio: 'ignore',
      });
      const exited = once(child, 'exit');
      this.#t.teardown(() => child.kill('SIGKILL'));
      return async (): Promise<void> => {
        child.kill('SIGTERM');
        await exited;
      };
    });
    return async () => {
      await Promise.all(stops.map((stop) => stop()));
    };
  }

  #env(meetsFaults: boolean): NodeJS.ProcessEnv {
    return {
      NODE_COMPILE_CACHE: COMPILE_CACHE,
      VERBATIM_DATA_DIR: this.dataDir,
      VERBATIM_DATABASE_URL: this.#databaseUrl,
      VERBATIM_LOG_LEVEL: process.env.FAULT_LOG ?? 'silent',
      // A dead finaliser's recording is handed on as soon as it may be.
      VERBATIM_RECORDER_FINALISE_LOCK_SECONDS: '5',
      ...(meetsFaults ? this.plan.env : {}),
    };
  }

  /** From now on the faults with this flag may come. */
  async raise(flag: string): Promise<void> {
    await writeFile(join(this.#dir, flag), '');
  }

  /** What they befell is well again. */
  async lower(flag: string): Promise<void> {
    await rm(join(this.#dir, flag), { force: true });
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
