import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Consent } from '#protocol';
import type { DataPaths, LedgerOptions } from '#store';
import { accessPaths, accessSignerDir, dataPaths, Ledger } from '#store';
import { acceptCall, insertCall } from '../db/calls.ts';
import type { Database } from '../db/index.ts';
import { addDisclosure, insertApp, putChat, putUser } from '../db/index.ts';
import type { RecordingRow } from '../db/recordings.ts';
import { changeRecording, insertRecording, keepReport } from '../db/recordings.ts';
import { AccessLog } from './access.ts';
import { Alarms } from './alarms.ts';
import type { LedgerPort } from './book.ts';
import type { CallFacts } from './calls.ts';
import type { FinaliseReport } from './coverage.ts';
import { Evidence } from './evidence.ts';

export { noteText } from './book.ts';

const ignore = (): void => undefined;
const silent = { debug: ignore, info: ignore, warn: ignore, error: ignore };

export interface TestEvidence {
  evidence: Evidence;
  /** The real one. */
  ledger: Ledger;
  paths: DataPaths;
  alarms: Alarms;
  /** The access log with a log of its own, and that log. */
  access: AccessLog;
  accessLedger: Ledger;
  /** What was logged as an error. */
  errors: { fields: object; message: string }[];
}

/** For tests: the real evidence on a real ledger, in a folder of its own unless one is given. */
export async function testEvidence(
  t: Test,
  db: Database,
  options: {
    dataDir?: string;
    /** Puts something between evidence and ledger, to make it hang or fail. */
    through?: (ledger: Ledger) => LedgerPort;
    timeoutMs?: number;
    /** The ledger's disk, to make it fail. */
    files?: NonNullable<LedgerOptions['files']>;
  } = {},
): Promise<TestEvidence> {
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-evidence-'));
  t.teardown(() => rm(dir, { recursive: true, force: true, maxRetries: 10 }));
  const paths = dataPaths(options.dataDir ?? join(dir, 'data'));
  const errors: TestEvidence['errors'] = [];
  const log = {
    ...silent,
    error: (fields: object, message: string) => void errors.push({ fields, message }),
  };
  const alarms = new Alarms(db, log);
  const ledger = await Ledger.open({
    paths,
    signerDir: join(dir, 'signer'),
    version: '0.0.0',
    log,
    onAlarm: (problem) => void alarms.raise('ledger_fault', 'log', problem),
    ...(options.files === undefined ? {} : { files: options.files, retry: { minMs: 1, maxMs: 10 } }),
  });
  t.teardown(() => ledger.close());
  const evidence = new Evidence({
    db,
    paths,
    ledger: options.through?.(ledger) ?? ledger,
    alarms,
    log,
    sweepMs: 3_600_000,
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
  });
  t.teardown(() => evidence.close());
  const accessLedger = await Ledger.open({
    paths: accessPaths(paths),
    signerDir: accessSignerDir(join(dir, 'signer')),
    version: '0.0.0',
    log,
    onAlarm: (problem) => void alarms.raise('access_unwritable', 'log', problem),
    origin: `${ledger.origin}/access`,
  });
  const access = new AccessLog({
    ledger: accessLedger,
    main: ledger,
    nameKey: randomBytes(32),
    alarms,
    log,
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
  });
  t.teardown(() => access.close());
  return { evidence, ledger, paths, alarms, access, accessLedger, errors };
}

/** For tests: the ledger with single verbs replaced, also while the test runs. */
export function withVerbs(ledger: Ledger, verbs: Partial<LedgerPort>): LedgerPort {
  return new Proxy<LedgerPort>(ledger, {
    get: (target, name) => {
      const own: unknown = Reflect.get(verbs, name);
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

export const DISCLOSURE_TEXT = 'This call is recorded.';

/** A secure call that rings, in an app of its own: its rows, and what its entries need. */
export async function testCall(db: Database): Promise<{ call: CallFacts; consent: Consent }> {
  const appId = `app-${randomUUID()}`;
  await insertApp(db, { id: appId, name: 'Test', recordingEnabled: true });
  for (const id of ['ann', 'ben']) await putUser(db, appId, id, { name: id });
  await putChat(db, appId, 'pair', { kind: 'direct', members: ['ann', 'ben'] });
  await addDisclosure(db, { appId, locale: 'en', body: DISCLOSURE_TEXT });
  const consent: Consent = {
    disclosureSha256: createHash('sha256').update(DISCLOSURE_TEXT).digest('hex'),
    disclosureVersion: 1,
    locale: 'en',
  };
  const call: CallFacts = {
    callId: randomUUID(),
    recordingId: randomUUID(),
    appId,
    chatId: 'pair',
    callerId: 'ann',
    calleeId: 'ben',
  };
  const { callId: id, ...rest } = call;
  const startedAt = new Date();
  const record = { consent, userId: 'ann', device: 'ann-phone', at: startedAt };
  await insertCall(db, { id, ...rest, mode: 'secure', startedAt }, record);
  return { call, consent };
}

/** Both consents in the ledger and in the database, and the call connecting. */
export async function agree(
  { evidence }: Pick<TestEvidence, 'evidence'>,
  db: Database,
  { call, consent }: { call: CallFacts; consent: Consent },
): Promise<void> {
  const at = new Date();
  await evidence.consent(call, { side: 'caller', device: 'ann-phone', consent, at });
  const entryIndex = await evidence.consent(call, { side: 'callee', device: 'ben-phone', consent, at });
  const record = { consent, userId: 'ben', device: 'ben-phone', at, entryIndex };
  await acceptCall(db, call.callId, call.appId, at, record);
}

/** A report as a finaliser makes it, of a file of which nothing but its hashes exists. */
export function testReport(more: Partial<FinaliseReport> = {}): FinaliseReport {
  const file = randomBytes(1000);
  const hash = (algorithm: string) => createHash(algorithm).update(file).digest('hex');
  return {
    ok: true,
    durationMs: 4_000,
    sizeBytes: file.length,
    sha256: hash('sha256'),
    sha512: hash('sha512'),
    crc32: 0x1234,
    format: 'audio/webm; codecs=opus',
    paySizeBytes: file.length + 32,
    paySha256: createHash('sha256').update('pay').update(file).digest('hex'),
    hdr: { sizeBytes: 266, sha256: createHash('sha256').update('hdr').update(file).digest('hex') },
    legs: [
      {
        side: 'caller',
        packets: 200,
        lost: 1,
        duplicates: 0,
        gaps: [],
        mutes: [{ atMs: 10, lengthMs: 500 }],
        reconnects: 1,
      },
      {
        side: 'callee',
        packets: 200,
        lost: 0,
        duplicates: 0,
        gaps: [{ atMs: 5, lengthMs: 1_500 }],
        mutes: [],
      },
    ],
    journals: [{ epoch: 1, seq: 6, head: 'ab'.repeat(32) }],
    holes: [],
    endReason: 'hangup',
    peaks: { intervalMs: 100, levels: [] },
    combined: true,
    truncated: false,
    ...more,
  };
}

/** A recording that waits for its last entries: sealed, with its report in the row. */
export async function sealedRow(
  db: Database,
  call: CallFacts,
  report: FinaliseReport = testReport(),
): Promise<RecordingRow> {
  const { recordingId } = call;
  await insertRecording(db, call);
  const [startedAt, endedAt] = [new Date(Date.now() - 5_000), new Date()];
  await changeRecording(db, recordingId, { to: 'capturing', recorderId: 'r1', startedAt });
  await changeRecording(db, recordingId, { to: 'processing', endedAt, reason: 'hangup' });
  const row = await keepReport(db, recordingId, report);
  if (row === null) throw new Error('the recording is not processing');
  return row;
}
