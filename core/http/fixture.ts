import { createHash, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import type { CryptoKey } from 'jose';
import { importPKCS8 } from 'jose';
import { pino } from 'pino';
import type { Test } from 'tap';
import type { Health, RecordingState } from '#protocol';
import { openSealed, sealFile } from '#store';
import { Admins } from '../admins/index.ts';
import type { Authenticator } from '../auth/index.ts';
import {
  Apps,
  createAuthenticator,
  createPublicKey,
  createSecretKey,
  GrantSigner,
  Origins,
  Sessions,
  signUserToken,
} from '../auth/index.ts';
import type { Database } from '../db/index.ts';
import { directoryOf, insertApp, insertAppKey, setAppOrigins } from '../db/index.ts';
import type { TestEvidence } from '../evidence/fixture.ts';
import { testEvidence } from '../evidence/fixture.ts';
import { Metrics } from '../health/index.ts';
import type { SealedSource } from '../library/index.ts';
import { History, Library, Listeners, Timelines } from '../library/index.ts';
import { Webhooks } from '../webhooks/index.ts';
import { buildHttp } from './build.ts';
import type { HttpApp, HttpDeps } from './deps.ts';
import type { RouteEntry } from './method-guard.ts';
import { REDACTED_PATHS } from './request-log.ts';
import { watchAnswers } from './testing.ts';

/** One app of a test, with a key of each kind. */
export interface TestApp {
  id: string;
  kid: string;
  secret: string;
  /** The `Authorization` header of the app's server. */
  server: string;
  /** An EdDSA key of the same app. */
  signing: { kid: string; algorithm: 'EdDSA'; material: CryptoKey };
  user(userId: string, lifetimeMs?: number): Promise<string>;
}

export interface HttpFixture {
  db: Database;
  sealKey: Buffer;
  http: HttpApp & { routes: readonly RouteEntry[] };
  url: string;
  auth: Authenticator;
  library: Library;
  admins: Admins;
  /** The real one, on a ledger of its own. */
  evidence: TestEvidence;
  /** Everything that was logged so far, as one text. */
  logText(): string;
  /** Moves the server's clock; it starts at the real time. */
  clock: { nowMs: number };
  health: Health;
  addApp(id: string, origins?: string[]): Promise<TestApp>;
  /** Keys for an app that is there already. */
  addKey(id: string): Promise<TestApp>;
  /** A call between two users of an app, with its recording. The bytes are known only for `available` ones. */
  addRecording(row: {
    appId: string;
    chatId: string;
    callerId: string;
    calleeId: string;
    state?: RecordingState;
    reason?: string;
    durationMs?: number;
    startedAt?: Date;
    bytes?: Buffer;
    format?: string;
  }): Promise<{ id: string; callId: string; sha256: string; bytes: Buffer }>;
  /** How recordings are opened; a test may put its own in place. */
  store: { open: (recordingId: string) => Promise<SealedSource> };
}

/** A listening server on the database of the test file, with a clock that the test moves. */
export async function httpFixture(
  t: Test,
  db: Database,
  {
    metricsToken,
    playIdleMs,
    ...overrides
  }: Pick<HttpDeps, 'demo' | 'clientDir' | 'signaling'> & {
    metricsToken?: string;
    /** See `Library`. */
    playIdleMs?: number;
    requestsPerMinute?: number;
    trustProxy?: string[];
    tls?: { cert: string; key: string };
  } = {},
): Promise<HttpFixture> {
  let faults: readonly string[] = [];
  // Registered first, so that it is the last: what is open is closed whatever this finds.
  t.teardown(() => {
    if (faults.length > 0)
      throw new Error(`the description does not declare: ${[...new Set(faults)].join('; ')}`);
  });
  const lines: string[] = [];
  const log = pino(
    { level: 'debug', redact: [...REDACTED_PATHS] },
    { write: (line: string) => lines.push(line) },
  );
  const sealKey = randomBytes(32);
  const clock = { nowMs: Date.now() };
  const nowMs = () => clock.nowMs;
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-http-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const identity = await generateX25519Identity();
  const recipients = [await identityToRecipient(identity)];
  const sealed = (id: string) => ({ pay: join(dir, `${id}.pay`), hdr: join(dir, `${id}.hdr`) });
  const store: HttpFixture['store'] = { open: (id) => openSealed({ ...sealed(id), identity }) };
  const evidence = await testEvidence(t, db);
  const metrics = new Metrics('0.0.0');
  t.teardown(() => metrics.close());
  const library = new Library({
    db,
    sessions: new Sessions(db, nowMs),
    signer: new GrantSigner(randomBytes(32)),
    openRecording: (recordingId) => store.open(recordingId),
    access: evidence.access,
    watcher: metrics.library,
    ...(playIdleMs === undefined ? {} : { playIdleMs }),
    log,
    nowMs,
  });
  const webhooks = new Webhooks({
    db,
    sealKey,
    checkpoint: () => undefined,
    allowedNetworks: ['127.0.0.0/8'],
    version: '0.0.0',
    log,
  });
  t.teardown(() => webhooks.close());
  const admins = new Admins({
    db,
    sealKey,
    audit: (act) => evidence.access.act(act),
    log,
    nowMs,
    passwordCost: { memory: 64, passes: 1, parallelism: 1 },
  });
  const health: Health = { status: 'ok', version: '0.0.0', checks: { database: { ok: true } } };
  const auth = createAuthenticator({ db, sealKey, nowMs });
  const http = await buildHttp({
    log,
    version: '0.0.0',
    settings: {
      requestsPerMinute: overrides.requestsPerMinute ?? 10_000,
      trustProxy: overrides.trustProxy ?? [],
      ...(overrides.tls === undefined ? {} : { tls: overrides.tls }),
    },
    auth,
    origins: new Origins(db, nowMs),
    admins,
    directory: directoryOf(db),
    apps: new Apps(db, sealKey, (kid) => auth.forgetKey(kid)),
    webhooks,
    library,
    history: new History(db),
    timelines: new Timelines(db, library),
    listeners: new Listeners(db, library, evidence.access),
    evidence: evidence.evidence,
    health: async () => health,
    metrics: {
      text: () => metrics.text(),
      answered: (request) => metrics.server.answered(request),
      ...(metricsToken === undefined ? {} : { token: metricsToken }),
    },
    ...overrides,
  });
  faults = watchAnswers(http);
  t.teardown(() => http.close());
  await http.listen({ host: '127.0.0.1', port: 0 });
  const { port } = http.server.address() as AddressInfo;

  const addKey = async (id: string): Promise<TestApp> => {
    const { row, secret } = createSecretKey(id, sealKey);
    await insertAppKey(db, row);
    const pair = generateKeyPairSync('ed25519');
    const signing = createPublicKey(id, pair.publicKey.export({ format: 'jwk' }) as { kty: string });
    await insertAppKey(db, signing.row);
    const pem = pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const key = { kid: row.kid, algorithm: 'HS256' as const, material: secret };
    return {
      id,
      kid: row.kid,
      secret,
      server: `Bearer ${row.kid}.${secret}`,
      signing: { kid: signing.row.kid, algorithm: 'EdDSA', material: await importPKCS8(pem, 'EdDSA') },
      user: async (userId, lifetimeMs = 3_600_000) =>
        `Bearer ${await signUserToken(key, { userId, name: userId }, { nowMs: clock.nowMs, lifetimeMs })}`,
    };
  };

  return {
    db,
    sealKey,
    http,
    url: `http://127.0.0.1:${port}`,
    auth,
    library,
    admins,
    evidence,
    clock,
    health,
    store,
    logText: () => lines.join(''),
    async addApp(id, origins = []) {
      await insertApp(db, { id, name: id, recordingEnabled: true });
      await setAppOrigins(db, id, origins);
      return addKey(id);
    },
    addKey,
    async addRecording(row) {
      const id = randomUUID();
      const callId = randomUUID();
      const state = row.state ?? 'available';
      const bytes = row.bytes ?? randomBytes(200_000);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const startedAt = row.startedAt ?? new Date(clock.nowMs - 60_000);
      const available = state === 'available';
      if (available) await sealFile({ ...sealed(id), plaintext: bytes, recipients });
      await db.sql`
        insert into calls
          (id, app_id, chat_id, mode, caller_id, callee_id, state, end_reason, started_at, active_at, ended_at)
        values
          (${callId}, ${row.appId}, ${row.chatId}, 'secure', ${row.callerId}, ${row.calleeId}, 'ended', 'hangup',
           ${startedAt}, ${startedAt}, ${startedAt})`;
      const report = {
        legs: [{ side: 'caller', packets: 500, lost: 1, duplicates: 0, gaps: [] }],
        peaks: { intervalMs: 100, levels: [0, 127, 107, 0] },
      };
      await db.sql`
        insert into recordings
          (id, call_id, app_id, chat_id, caller_id, callee_id, state, reason, started_at, ended_at, duration_ms,
           size_bytes, sha256, format, report)
        values
          (${id}, ${callId}, ${row.appId}, ${row.chatId}, ${row.callerId}, ${row.calleeId}, ${state},
           ${row.reason ?? null}, ${startedAt}, ${startedAt}, ${available ? (row.durationMs ?? 10_000) : null},
           ${available ? bytes.length : null}, ${available ? sha256 : null},
           ${available ? (row.format ?? 'audio/webm; codecs=opus') : null}, ${available ? db.sql.json(report) : null})`;
      return { id, callId, sha256, bytes };
    },
  };
}

/** The `Cookie` header that a browser would send after this answer. */
export function cookieOf(headers: Record<string, unknown> | Headers): string {
  const given = headers instanceof Headers ? headers.get('set-cookie') : headers['set-cookie'];
  const first = Array.isArray(given) ? given[0] : given;
  return String(first ?? '').split(';', 1)[0] ?? '';
}
