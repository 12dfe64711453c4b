import { readdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyBaseLogger } from 'fastify';
import type { Config, Secrets } from '#config';
import { demoAllowed } from '#config';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import {
  accessPaths,
  accessSignerDir,
  dataPaths,
  generateServerIdentity,
  Ledger,
  openSealed,
  readIdentity,
} from '#store';
import { Admins } from './admins/index.ts';
import { Apps, createAuthenticator, GrantSigner, Origins, openDemo, Sessions } from './auth/index.ts';
import type { IceSettings } from './call/index.ts';
import { CallService } from './call/index.ts';
import { currentDisclosure } from './db/calls.ts';
import type { Database } from './db/index.ts';
import {
  connectionStates,
  directoryOf,
  holdLock,
  openDatabase,
  permissionsFor,
  startEmbeddedPostgres,
} from './db/index.ts';
import { countRecordings, overdueRecordings } from './db/recordings.ts';
import { AccessLog, ALARM_KINDS, Alarms, Evidence, Scrubber } from './evidence/index.ts';
import type { HealthCheck } from './health/index.ts';
import { healthOf, Metrics } from './health/index.ts';
import type { HttpApp, HttpMetrics } from './http/index.ts';
import { buildHttp } from './http/index.ts';
import { Bundles, History, Library, Listeners, Timelines, Verifiers } from './library/index.ts';
import type { MediaServer } from './media/index.ts';
import { createMediaServer } from './media/index.ts';
import { RecordingService } from './recording/index.ts';
import { Removal } from './removal/index.ts';
import { DeviceRegistry, signaling } from './signaling/index.ts';
import { Webhooks } from './webhooks/index.ts';

export interface AppOptions {
  config: Config;
  secrets: Secrets;
  /** What the relays of voice calls know too. */
  iceSecret?: string;
  /** What a monitor has to show to read the metrics. */
  metricsToken?: string;
  log: FastifyBaseLogger;
  version: string;
  /** PEM texts, when this server ends TLS itself. */
  tls?: { cert: string; key: string };
  /** The environment that worker processes get; the settings of this daemon are added to it. */
  env?: NodeJS.ProcessEnv;
  /** A part without which nothing works is gone for good; the sentence is for the operator. */
  onLost?: (sentence: string) => void;
}

/** A daemon that is built but does not listen yet. */
export interface App {
  readonly http: HttpApp;
  readonly recording: RecordingService;
  readonly media: MediaServer;
  readonly calls: CallService;
  readonly evidence: Evidence;
  readonly removal: Removal;
  /** Ends every call with a reason, waits until their journals are closed, then closes every part. Idempotent. */
  close(): Promise<void>;
}

const CLIENT_DIR = fileURLToPath(new URL('../client/dist', import.meta.url));
/** Heartbeats come every 500 ms; a recorder that is silent for longer takes no calls. */
const RECORDER_SILENT_MS = 2_000;
/** A daemon that is being replaced needs a moment to close. */
const FOLDER_WAIT_MS = 5_000;
/** Finalising takes a second or two; a burst of a hundred hang-ups some ten seconds. */
const FINALISE_OVERDUE_MS = 60_000;
const MEBIBYTE = 1024 * 1024;
/** More open alarms than this are not told apart any more. */
const ALARMS_COUNTED = 1_000;

/**
 * The only wiring of the daemon. Parts are opened in the order in which they need each other, and closed in the
 * opposite one, also when a later part cannot be opened.
 */
export async function buildApp(options: AppOptions): Promise<App> {
  const { config, secrets, log } = options;
  const paths = dataPaths(config.dataDir);
  const opened: { name: string; close: () => Promise<void> }[] = [];
  const closeAll = async (): Promise<void> => {
    for (const { name, close } of opened.splice(0).reverse()) {
      await close().catch((error: unknown) => log.error({ err: error, part: name }, 'a part did not close'));
    }
  };
  try {
    // One daemon per folder, whatever the database: a second one would take up the journals of running calls.
    const lock = await holdLock(join(config.dataDir, 'daemon.lock'), {
      purpose: 'the Verbatim server',
      what: `The data folder ${config.dataDir}`,
      waitMs: FOLDER_WAIT_MS,
    });
    opened.push({ name: 'data folder', close: () => lock.release() });
    await generateServerIdentity(paths.secrets, paths.keys, recoveryOf(config));
    const databaseUrl = await databaseOf(options, opened);
    const db = await openDatabase({ url: databaseUrl, log, poolSize: config.database.poolSize });
    opened.push({ name: 'database', close: () => db.close() });

    const metrics = new Metrics(options.version);
    opened.push({ name: 'metrics', close: () => metrics.close() });
    const alarms = new Alarms(db, log);
    const ledger = await openLedger(options, paths, alarms, metrics);
    opened.push({ name: 'ledger', close: () => ledger.close() });
    const verifiers = new Verifiers({ paths, builtDir: join(CLIENT_DIR, 'verify') });
    const evidence = new Evidence({ db, paths, ledger, alarms, log, verifier: () => verifiers.keep() });
    opened.push({ name: 'evidence', close: () => evidence.close() });
    const accessLedger = await openAccessLedger(options, paths, ledger, alarms, metrics);
    const access = await openAccessLog(options, accessLedger, ledger, alarms);
    opened.push({ name: 'access log', close: () => access.close() });
    const scrubber = Scrubber.start({
      dataDir: config.dataDir,
      signerDir: signerDirOf(config),
      ...config.scrub,
      alarms,
      log,
    });
    opened.push({ name: 'scrubber', close: () => scrubber.close() });
    const recording = await openRecording(options, { db, databaseUrl, evidence });
    opened.push({ name: 'recording', close: () => recording.close() });
    const media = await createMediaServer(mediaOptions(config, log));
    opened.push({ name: 'media', close: () => media.close() });
    recording.on('recorderGone', (recorderId) => media.forgetRecorder(recorderId));

    const devices = new DeviceRegistry();
    const auth = createAuthenticator({ db, sealKey: secrets.sealKey, log });
    const apps = new Apps(db, secrets.sealKey, (kid) => auth.forgetKey(kid));
    await auth.watchRevocations({
      inUse: () => devices.kidsInUse(),
      onRevoked: (kid) => devices.revokeKey(kid),
    });
    const calls = new CallService({
      db,
      media,
      recording,
      evidence,
      devices,
      limits: {
        graceMs: config.call.graceMs,
        connectTimeoutMs: config.call.connectTimeoutMs,
        maxCalls: config.limits.maxCalls,
        ...(config.call.ringTimeoutMs === undefined ? {} : { ringTimeoutMs: config.call.ringTimeoutMs }),
      },
      ice: iceOf(options),
      iceOfApp: (appId) => apps.ice(appId),
      watcher: metrics.calls,
      log,
    });
    const sessions = new Sessions(db);
    const sealed = sealedRecordings(paths);
    const library = new Library({
      db,
      sessions,
      signer: new GrantSigner(secrets.grantKey),
      openRecording: sealed,
      access,
      bundles: new Bundles({ paths, evidence, verifiers, openRecording: sealed }),
      watcher: metrics.library,
      log,
    });
    tellParties(recording, evidence, devices);
    const removal = new Removal({
      db,
      paths,
      ledger,
      alarms,
      log,
      enabled: config.removal.enabled,
      release: async (recordingId) => {
        library.endRecording(recordingId);
        evidence.salts.forget(recordingId);
        await recording.letGo(recordingId);
      },
      onChanged: (row) => recording.emit('changed', row),
    });
    opened.push({ name: 'removal', close: () => removal.close() });
    const webhooks = new Webhooks({
      db,
      sealKey: secrets.sealKey,
      checkpoint: () => ledger.checkpoint,
      allowedNetworks: config.webhooks.allowedNetworks,
      version: options.version,
      onTried: (outcome, tookMs) => metrics.library.webhook(outcome, tookMs),
      log,
    });
    opened.push({ name: 'webhooks', close: () => webhooks.close() });
    webhooks.start();

    recording.on('changed', (row) => metrics.evidence.changed(row));
    metrics.watch({
      calls,
      devices,
      media,
      recording,
      logs: { evidence: ledger, access: accessLedger },
      alarms: { kinds: Object.keys(ALARM_KINDS), open: () => alarms.list(ALARMS_COUNTED) },
      scrubber,
      recordings: () => countRecordings(db),
      library,
      webhooks,
      database: { poolSize: config.database.poolSize, connections: () => connectionStates(db) },
      disk: { freeBytes: () => freeBytesOf(config.dataDir) },
    });

    const origins = new Origins(db);
    const admins = new Admins({ db, sealKey: secrets.sealKey, audit: (act) => access.act(act), log });
    await admins.sweep();
    const http = await buildHttp({
      log,
      version: options.version,
      settings: {
        requestsPerMinute: config.limits.requestsPerMinute,
        trustProxy: config.trustProxy,
        ...(config.publicUrl === undefined ? {} : { publicUrl: config.publicUrl }),
        ...(options.tls === undefined ? {} : { tls: options.tls }),
      },
      auth,
      origins,
      admins,
      directory: directoryOf(db),
      apps,
      webhooks,
      library,
      history: new History(db),
      timelines: new Timelines(db, library),
      listeners: new Listeners(db, library, access),
      evidence,
      health: () =>
        healthOf(
          options.version,
          healthChecks({ db, media, recording, ledger, access, alarms, scrubber, config }),
        ),
      ...(config.metrics.enabled ? { metrics: httpMetrics(metrics, options.metricsToken) } : {}),
      clientDir: CLIENT_DIR,
      ...(demoAllowed(config, log) ? { demo: await openDemo({ db, sealKey: secrets.sealKey }) } : {}),
      signaling: (app) =>
        signaling(app, {
          calls,
          devices,
          graceMs: config.call.graceMs,
          verifyUserToken: (token) => auth.verifyUserToken(token),
          allowedOrigins: (appId) => origins.ofApp(appId),
          permissions: (who) => permissionsFor(db, who),
          ledger: () => evidence.info(),
          disclosure: async (appId, locale) => {
            const text = await currentDisclosure(db, appId, locale);
            if (!text) throw new VerbatimError('not_found', 'this app has no disclosure text');
            return text;
          },
        }),
    });
    opened.push({ name: 'http', close: () => http.close() });
    // First of all when closing: both sides are told why while their sockets are still open.
    opened.push({ name: 'calls', close: () => calls.close() });

    // Recordings first: they tell when the calls of an earlier run ended.
    const recovered = await recording.recover();
    const endedCalls = await calls.recover();
    await enterOwed(evidence, alarms, log);
    removal.start();
    if (endedCalls > 0 || recovered.recordings > 0 || recovered.unknown.length > 0) {
      log.warn({ endedCalls, ...recovered }, 'took up what an earlier run left open');
    }
    let closing: Promise<void> | undefined;
    const close = (): Promise<void> => {
      closing ??= closeAll();
      return closing;
    };
    return { http, recording, media, calls, evidence, removal, close };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function databaseOf(
  { config, secrets, log, onLost }: AppOptions,
  opened: { name: string; close: () => Promise<void> }[],
): Promise<string> {
  if (config.database.url !== undefined) return config.database.url;
  await assertDatabaseKept(dataPaths(config.dataDir));
  const embedded = await startEmbeddedPostgres({
    dataDir: config.dataDir,
    password: secrets.postgresPassword,
    log,
    purpose: 'the Verbatim server',
    ...(onLost === undefined ? {} : { onLost }),
  });
  opened.push({ name: 'embedded PostgreSQL', close: () => embedded.stop() });
  return embedded.url;
}

/** Recordings without the rows that say whose they are would be an empty list to everybody. */
async function assertDatabaseKept({ dataDir, postgres, recordings, journals }: DataPaths): Promise<void> {
  const namesIn = (dir: string): Promise<string[] | undefined> => readdir(dir).catch(() => undefined);
  if ((await namesIn(postgres)) !== undefined) return;
  const kept = [...((await namesIn(recordings)) ?? []), ...((await namesIn(journals)) ?? [])];
  if (!kept.some((name) => /\.(?:pay|hdr|evd|scj)$/.test(name))) return;
  throw new VerbatimError(
    'unavailable',
    `The data folder ${dataDir} holds recordings, and its database (postgres/) is gone: put that back, or set database.url. To begin with an empty list all the same, make an empty folder postgres/ in it.`,
  );
}

/** Read-only when its files disagree; only a folder that cannot be read at all keeps the server from starting. */
function openLedger(
  { config, log, version }: AppOptions,
  paths: DataPaths,
  alarms: Alarms,
  metrics: Metrics,
): Promise<Ledger> {
  const { origin } = config.ledger;
  return Ledger.open({
    paths,
    signerDir: signerDirOf(config),
    version,
    log,
    onAlarm: (problem) => void alarms.raise('ledger_fault', 'log', problem),
    onAppended: (tookMs) => metrics.evidence.appended('evidence', tookMs),
    ...(origin === undefined ? {} : { origin }),
  });
}

/** The second log of the folder: who listened. Its heads are anchored in the first one. */
function openAccessLedger(
  { config, log, version }: AppOptions,
  paths: DataPaths,
  main: Ledger,
  alarms: Alarms,
  metrics: Metrics,
): Promise<Ledger> {
  return Ledger.open({
    paths: accessPaths(paths),
    signerDir: accessSignerDir(signerDirOf(config)),
    version,
    log,
    onAlarm: (problem) => void alarms.raise('access_unwritable', 'log', problem),
    onAppended: (tookMs) => metrics.evidence.appended('access', tookMs),
    // It keeps its name when the first log is begun anew, or when nobody can tell what that one was called.
    newOrigin: `${main.origin}/access`,
  });
}

async function openAccessLog(
  { secrets, log }: AppOptions,
  ledger: Ledger,
  main: Ledger,
  alarms: Alarms,
): Promise<AccessLog> {
  const access = new AccessLog({ ledger, main, nameKey: secrets.accessNameKey, alarms, log });
  await access.checkAnchored();
  // What an earlier run did not come to anchor.
  void access.anchor();
  return access;
}

/** Beside the data folder and not in it: a copy of the data that is put back does not bring the memory along. */
function signerDirOf({ ledger, dataDir }: Config): string {
  return ledger.signerDir ?? `${dataDir}.signer`;
}

/** What a crash or an outage left out. A ledger that takes none of it now is asked again while the server runs. */
async function enterOwed(evidence: Evidence, alarms: Alarms, log: FastifyBaseLogger): Promise<void> {
  const open = await alarms.list();
  if (open.length > 0)
    log.warn({ alarms: open.map(({ kind, subject }) => `${kind} ${subject}`) }, 'alarms are open');
  const owed = await evidence.sweep().catch((error: unknown) => {
    log.warn({ err: error }, 'what is owed to the ledger is entered later');
    return 0;
  });
  if (owed > 0) log.info({ entries: owed }, 'entered what an earlier run owed to the ledger');
}

function openRecording(
  { config, log, env, onLost }: AppOptions,
  { db, databaseUrl, evidence }: { db: Database; databaseUrl: string; evidence: Evidence },
): Promise<RecordingService> {
  const { url: redisUrl } = config.redis;
  return RecordingService.open({
    db,
    evidence,
    queue: redisUrl === undefined ? { databaseUrl } : { databaseUrl, redisUrl },
    dataDir: config.dataDir,
    log,
    minFreeBytes: config.recording.minFreeMegabytes * MEBIBYTE,
    reserveBytes: config.recording.reserveMegabytes * MEBIBYTE,
    ...(onLost === undefined ? {} : { onLost }),
    children: {
      recorder: config.recorder.embedded,
      standby: config.recorder.standby,
      // Finalising needs the journals and the identity, which lie here, wherever the recorders run.
      finaliser: true,
      // The children read the same settings; the address of the database holds a password and goes this way only.
      env: { ...(env ?? process.env), VERBATIM_DATA_DIR: config.dataDir, VERBATIM_DATABASE_URL: databaseUrl },
    },
  });
}

function mediaOptions(config: Config, log: FastifyBaseLogger): Parameters<typeof createMediaServer>[0] {
  const { workers, listenIp, announcedAddress, basePort, maxCpu } = config.media;
  return {
    listenIp,
    basePort,
    maxCpu,
    log,
    ...(workers === undefined ? {} : { workers }),
    ...(announcedAddress === undefined ? {} : { announcedAddress }),
  };
}

function iceOf({ config, iceSecret }: AppOptions): IceSettings {
  const { stunUrls, turnUrls, credentialSeconds, relayOnly } = config.ice;
  const secret = iceSecret === undefined ? {} : { secret: iceSecret };
  return { stunUrls, turnUrls, credentialSeconds, relayOnly, ...secret };
}

/** The identity is read once: who can replace the file while the server runs can do so before it starts, too. */
function sealedRecordings(paths: DataPaths): (recordingId: string) => ReturnType<typeof openSealed> {
  let identity: Promise<string> | undefined;
  return async (recordingId) => {
    identity ??= readIdentity(paths.secrets);
    return openSealed({ pay: paths.pay(recordingId), hdr: paths.hdr(recordingId), identity: await identity });
  };
}

/** Both parties learn at once what became of their recording (F20: alike). */
function tellParties(recording: RecordingService, evidence: Evidence, devices: DeviceRegistry): void {
  evidence.onReceipt((receipt, { appId, callerId, calleeId }) => {
    for (const userId of [callerId, calleeId])
      devices.notify(appId, userId, 'all', 'recording.receipt', receipt);
  });
  recording.on('changed', (row) => {
    const params = {
      recordingId: row.recordingId,
      callId: row.callId,
      chatId: row.chatId,
      state: row.state,
      ...(row.reason === null ? {} : { reason: row.reason }),
    };
    for (const userId of [row.callerId, row.calleeId]) {
      devices.notify(row.appId, userId, 'all', 'recording.changed', params);
    }
  });
}

function healthChecks(parts: {
  db: Database;
  media: MediaServer;
  recording: RecordingService;
  ledger: Ledger;
  access: AccessLog;
  alarms: Alarms;
  scrubber: Scrubber;
  config: Config;
}): HealthCheck[] {
  const { db, media, recording, ledger, access, alarms, scrubber, config } = parts;
  return [
    {
      name: 'database',
      vital: true,
      ask: async () => {
        await db.sql`select 1`;
        return undefined;
      },
    },
    {
      name: 'media',
      vital: true,
      ask: async () => {
        const workers = await media.stats();
        if (workers.length === 0) throw new Error('no media worker runs');
        return `${workers.length} workers, ${workers.reduce((sum, worker) => sum + worker.calls, 0)} calls`;
      },
    },
    {
      name: 'recorder',
      // Voice calls go on without one.
      vital: false,
      ask: async () => {
        const ready = recording.recorders.filter(({ silentMs }) => silentMs <= RECORDER_SILENT_MS);
        if (ready.length === 0) throw new Error('no recorder reports, so secure calls are refused');
        return `${ready.length} ready, ${ready.reduce((sum, { captures }) => sum + captures, 0)} captures`;
      },
    },
    {
      name: 'finaliser',
      vital: false,
      ask: async () => {
        const overdue = await overdueRecordings(db, FINALISE_OVERDUE_MS);
        if (overdue > 0) throw new Error(`${overdue} recordings have been Processing for more than a minute`);
        return undefined;
      },
    },
    {
      name: 'evidence',
      // Voice calls and playback go on.
      vital: false,
      ask: async () => {
        if (ledger.state.mode === 'read-only')
          throw new Error(`the ledger is read-only, so secure calls are refused: ${ledger.state.problem}`);
        const open = await alarms.list();
        const [first] = open;
        if (first !== undefined)
          throw new Error(
            `${open.length === 1 ? 'an alarm is open' : `${open.length} alarms are open; the oldest`}: ${first.kind} ${first.subject}: ${first.detail}`,
          );
        return `${ledger.size} entries`;
      },
    },
    {
      name: 'access log',
      // Calls go on, and nothing is listed or played.
      vital: false,
      ask: async () => {
        if (access.trouble !== undefined)
          throw new Error(`the access log takes no entries, so nothing is played: ${access.trouble}`);
        return undefined;
      },
    },
    { name: 'scrubber', vital: false, ask: async () => scrubber.health() },
    {
      name: 'disk',
      vital: false,
      ask: async () => {
        const free = Math.floor((await freeBytesOf(config.dataDir)) / MEBIBYTE);
        const least = config.recording.minFreeMegabytes;
        if (free < least)
          throw new Error(`${free} MiB free, secure calls need ${least} (recording.minFreeMegabytes)`);
        return `${free} MiB free`;
      },
    },
  ];
}

async function freeBytesOf(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

function httpMetrics(metrics: Metrics, token: string | undefined): HttpMetrics {
  return {
    text: () => metrics.text(),
    answered: (request) => metrics.server.answered(request),
    ...(token === undefined ? {} : { token }),
  };
}

function recoveryOf(config: Config): string[] {
  return config.recording.recoveryRecipient === undefined ? [] : [config.recording.recoveryRecipient];
}
