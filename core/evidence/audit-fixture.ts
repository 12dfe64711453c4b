import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DataPaths } from '#store';
import {
  CommitLog,
  dataPaths,
  FLAG_RTCP,
  generateServerIdentity,
  JournalWriter,
  Ledger,
  readIdentity,
  readRecipients,
} from '#store';
import { finaliseRecording } from '../../recorder-worker/finalise.ts';
import { generateCall, PLAIN_LEG } from '../../recorder-worker/test/calls.ts';
import { endCall, setCallState } from '../db/calls.ts';
import type { Database } from '../db/index.ts';
import { changeRecording } from '../db/recordings.ts';
import { Alarms } from './alarms.ts';
import type { CallFacts, JournalHead } from './calls.ts';
import type { EvidenceOptions } from './evidence.ts';
import { Evidence } from './evidence.ts';
import { agree, sealedRow, testCall } from './fixture.ts';

const ignore = (): void => undefined;
const silent = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Wall clock of the first entry; journals of generated calls are written by the same clock. */
export const START_MS = 1_780_000_000_000;

export interface MadeCall {
  call: CallFacts;
  /** The last head of its journal. */
  head: JournalHead;
}

export interface CallShape {
  durationMs: number;
  payloadBytes: number;
  /** Leaves the journal without END, as a recorder that was killed. */
  torn: boolean;
}

const SHORT: CallShape = { durationMs: 3_000, payloadBytes: 40, torn: false };

/**
 * For tests: a data folder as the server makes it, with its own ledger, journals, sealed files, salts and openings; only
 * the packets are generated. The clock is moved by hand.
 */
export class MadeFolder {
  readonly paths: DataPaths;
  readonly signerDir: string;
  readonly identity: string;
  readonly ledger: Ledger;
  readonly #db: Database;
  readonly #evidence: Evidence;
  readonly #clock: { wallMs: number; monotonicUs: number };
  readonly #recipients: string[];
  readonly #logDir: string;
  #seed = 1;

  private constructor(parts: {
    paths: DataPaths;
    signerDir: string;
    identity: string;
    recipients: string[];
    ledger: Ledger;
    evidence: Evidence;
    db: Database;
    clock: { wallMs: number; monotonicUs: number };
    logDir: string;
  }) {
    this.paths = parts.paths;
    this.signerDir = parts.signerDir;
    this.identity = parts.identity;
    this.ledger = parts.ledger;
    this.#evidence = parts.evidence;
    this.#db = parts.db;
    this.#clock = parts.clock;
    this.#recipients = parts.recipients;
    this.#logDir = parts.logDir;
  }

  static async open(
    db: Database,
    dataDir: string,
    { startMs = START_MS, ...more }: Pick<EvidenceOptions, 'verifier'> & { startMs?: number } = {},
  ): Promise<MadeFolder> {
    const paths = dataPaths(dataDir);
    const signerDir = `${dataDir}.signer`;
    await generateServerIdentity(paths.secrets, paths.keys, []);
    const clock = { wallMs: startMs, monotonicUs: 1_000_000 };
    const ledger = await Ledger.open({
      paths,
      signerDir,
      version: '0.0.0',
      clock: { wallMs: () => clock.wallMs, monotonicUs: () => clock.monotonicUs },
      collectMs: 1,
      log: silent,
      onAlarm: ignore,
    });
    const alarms = new Alarms(db, silent);
    const evidence = new Evidence({ db, paths, ledger, alarms, log: silent, sweepMs: 3_600_000, ...more });
    return new MadeFolder({
      paths,
      signerDir,
      identity: await readIdentity(paths.secrets),
      recipients: await readRecipients(paths.keys),
      ledger,
      evidence,
      db,
      clock,
      logDir: await mkdtemp(join(tmpdir(), 'verbatim-commits-')),
    });
  }

  get evidence(): Evidence {
    return this.#evidence;
  }

  /** Time goes by: for the wall clock and for the monotonic one, or for one of them alone. */
  forward(ms: number, { wallMs = ms } = {}): void {
    this.#clock.wallMs += wallMs;
    this.#clock.monotonicUs += ms * 1000;
  }

  /** A whole secure call, from the consents to the opening. */
  async call(shape: Partial<CallShape> = {}): Promise<MadeCall> {
    const { call, head } = await this.capture(shape);
    const { recordingId, callId } = call;
    this.forward(1_000);
    const report = await finaliseRecording({
      journals: [this.paths.journal(recordingId, 1)],
      recordingId,
      identity: this.identity,
      recipients: this.#recipients,
      pay: this.paths.pay(recordingId),
      hdr: this.paths.hdr(recordingId),
    });
    if (!report.ok) throw new Error(`${report.reason}: ${report.detail}`);
    const row = await sealedRow(this.#db, call, report);
    await setCallState(this.#db, callId, 'active', new Date());
    // As if it had been signed while the call ran.
    await this.#evidence.heads([{ recordingId, callId, ...head }]);
    await endCall(this.#db, callId, 'hangup', new Date());
    await this.#evidence.final(row);
    await this.#evidence.callEnded(callId);
    this.forward(60_000);
    return { call, head };
  }

  /** The same up to the last packet: consents, start and the journal. */
  async capture(shape: Partial<CallShape> = {}): Promise<MadeCall> {
    const { durationMs, payloadBytes, torn } = { ...SHORT, ...shape };
    const made = await testCall(this.#db);
    const { call } = made;
    await agree({ evidence: this.#evidence }, this.#db, made);
    const log = await CommitLog.open({
      dir: this.#logDir,
      journalsDir: this.paths.journals,
      maxCommitsPerSecond: 1_000_000,
      clock: { wallMs: () => this.#clock.wallMs, monotonicUs: () => this.#clock.monotonicUs },
    });
    try {
      const writer = await JournalWriter.create({
        log,
        recording: call.recordingId,
        call: call.callId,
        epoch: 1,
        recorder: 'generated',
        recipients: this.#recipients,
      });
      this.#seed += 1;
      const legs = [PLAIN_LEG, { ...PLAIN_LEG, ssrc: 0x2000 }] as const;
      const generated = generateCall({ seed: this.#seed, durationMs, payloadBytes, legs: [...legs] });
      const startUs = generated.records[0]?.monotonicUs ?? 0;
      let blockUs = this.#clock.monotonicUs;
      let first: JournalHead | undefined;
      const heads = (): JournalHead => writer.acknowledged;
      const baseUs = this.#clock.monotonicUs;
      for (const { leg, packet, monotonicUs } of generated.records) {
        const atUs = baseUs + monotonicUs - startUs;
        if (atUs - blockUs >= 1_000_000) {
          await writer.flush({ urgent: true });
          first ??= heads();
          this.forward(1_000);
          blockUs = atUs;
        }
        // Reports of a generated call have the version and type bits of RTCP (RFC 3550).
        const isReport = packet[1] === 0xc8;
        writer.append(leg, isReport ? FLAG_RTCP : 0, packet, atUs);
      }
      await writer.flush({ urgent: true });
      await this.#evidence.callStarted(call, first ?? heads());
      if (torn) await writer.close();
      else await writer.end('hangup');
      return { call, head: heads() };
    } finally {
      await log.close();
    }
  }

  /** Ends a captured call as Failed. */
  async fail({ call }: MadeCall, reason: string): Promise<void> {
    const row = await sealedRow(this.#db, call);
    const failed = await changeRecording(this.#db, call.recordingId, {
      to: 'failed',
      reason,
      detail: reason,
    });
    await setCallState(this.#db, call.callId, 'active', new Date());
    await endCall(this.#db, call.callId, 'hangup', new Date());
    await this.#evidence.failed(failed ?? row);
    await this.#evidence.callEnded(call.callId);
    this.forward(60_000);
  }

  /** Everything entered is covered and published. Idempotent. */
  async close(): Promise<void> {
    await this.#evidence.close();
    await this.ledger.close();
    await rm(this.#logDir, { recursive: true, force: true });
  }
}
