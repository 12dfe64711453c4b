import { randomUUID } from 'node:crypto';
import { setPriority } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { Check } from 'typebox/value';
import type { Config } from '#config';
import { loadConfig } from '#config';
import type { ChildMessage } from '#protocol';
import { TakeOver } from '#protocol';
import { dataPaths } from '#store';
import type { QueueSettings } from './backend.ts';
import type { Log } from './queue.ts';
import { brief, WorkerQueue } from './queue.ts';

/** What a role gives back to be stopped by. */
interface Running {
  close(reason: string): Promise<void>;
}

type Leave = (reason: string, code: number) => void;

/** The second argument of a recorder that is kept ready: it takes nothing before it is told to. */
const STANDBY = 'standby';

const ROLES = { capture, finalise } as const;
const FINALISE_CONCURRENCY = 1;
const FINALISE_NICENESS = 10;
/** Packets that nobody takes in time are lost for ever; everything else on the machine can wait a moment. */
const CAPTURE_NICENESS = -10;
/** After this the process goes although something is not closed: the journals are recoverable at every moment. */
const EXIT_AFTER_MS = 6_000;
/** The daemon makes the queue's tables; a recorder that is started beside it waits for them this long. */
const CONNECT_FOR_MS = 30_000;
const CONNECT_PAUSE_MS = 250;
const MEBIBYTE = 1024 * 1024;

// Each role loads only its own code: a recorder needs no muxer in its memory.
async function capture(config: Config, log: Log, leave: Leave): Promise<Running> {
  // Listened to before anything is waited for: it may be said at once.
  const takeOver = process.argv[3] === STANDBY ? toldToTakeOver() : undefined;
  const { Recorder } = await import('./recorder.ts');
  try {
    setPriority(CAPTURE_NICENESS);
  } catch {
    // Only a privileged user may; without it a recorder needs a machine that is not full.
    log.info({}, 'the recorder runs at ordinary priority');
  }
  const paths = dataPaths(config.dataDir);
  const { ip, port, announcedIp, maxCaptures } = config.recorder;
  const queue = await connect(config, log);
  // What takes long is done. From here on it is a matter of milliseconds, and the dead one's port is free again.
  await takeOver;
  return Recorder.open({
    recorderId: randomUUID(),
    ip,
    port,
    ...(announcedIp === undefined ? {} : { announcedIp }),
    maxCaptures,
    minFreeBytes: config.recording.minFreeMegabytes * MEBIBYTE,
    reserveBytes: config.recording.reserveMegabytes * MEBIBYTE,
    paths,
    queue,
    log,
    ...(process.send === undefined ? {} : { tellParent }),
    onUntold: () => leave('daemon_unreachable', 1),
  });
}

/** At a low priority, so that a burst of hang-ups never takes time from a capture. */
async function finalise(config: Config, log: Log): Promise<Running> {
  setPriority(FINALISE_NICENESS);
  const { Finaliser } = await import('./finaliser.ts');
  const queue = await connect(config, log);
  const finaliser = await Finaliser.open({
    paths: dataPaths(config.dataDir),
    queue,
    log,
    concurrency: FINALISE_CONCURRENCY,
    lockMs: config.recorder.finaliseLockSeconds * 1000,
  });
  return { close: () => finaliser.close() };
}

async function connect(config: Config, log: Log): Promise<WorkerQueue> {
  const settings: QueueSettings | undefined = settingsOf(config);
  if (settings === undefined)
    throw new Error('A worker needs database.url (VERBATIM_DATABASE_URL), the one that the daemon uses.');
  const until = Date.now() + CONNECT_FOR_MS;
  for (;;) {
    try {
      return await WorkerQueue.open(settings, log);
    } catch (error) {
      if (Date.now() > until) throw error;
      log.warn(brief(error), 'the queue is not there yet, trying again');
      await delay(CONNECT_PAUSE_MS);
    }
  }
}

function settingsOf(config: Config): QueueSettings | undefined {
  const { url: databaseUrl } = config.database;
  const { url: redisUrl } = config.redis;
  if (redisUrl !== undefined) return { databaseUrl: databaseUrl ?? '', redisUrl };
  return databaseUrl === undefined ? undefined : { databaseUrl };
}

function toldToTakeOver(): Promise<void> {
  return new Promise((resolve) => {
    process.on('message', (message: unknown) => {
      if (Check(TakeOver, message)) resolve();
    });
  });
}

function tellParent(message: ChildMessage): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}

async function main(): Promise<void> {
  const role = process.argv[2];
  if (role !== 'capture' && role !== 'finalise') {
    process.stderr.write('Usage: node recorder-worker/main.ts capture|finalise\n');
    process.exitCode = 2;
    return;
  }
  const config = loadConfig();
  const log = pino({ name: role === 'capture' ? 'recorder' : 'finaliser', level: config.log.level });
  let running: Running | undefined;
  let leaving = false;
  const leave: Leave = (reason, code) => {
    if (leaving) return;
    leaving = true;
    process.exitCode = code;
    setTimeout(() => process.exit(code === 0 ? 1 : code), EXIT_AFTER_MS).unref();
    log.info({ reason }, 'leaving');
    void (running?.close(reason) ?? Promise.resolve()).then(() => process.exit(code));
  };
  const child = process.send !== undefined;
  process.on('SIGTERM', () => leave('shutdown', 0));
  // Ctrl-C reaches every process of the terminal; it is the daemon that says in which order they go.
  process.on('SIGINT', () => (child && process.connected ? undefined : leave('shutdown', 0)));
  process.on('disconnect', () => leave('daemon_lost', 0));
  try {
    running = await ROLES[role](config, log, leave);
  } catch (error) {
    log.fatal({ err: error }, error instanceof Error ? error.message : 'the worker cannot start');
    process.exit(1);
  }
  // A parent that went away while this started left no second chance to hear of it.
  if (child && !process.connected) leave('daemon_lost', 0);
  log.info({ role, pid: process.pid }, 'started');
}

await main();
