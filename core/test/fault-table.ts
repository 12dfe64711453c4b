import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { dataPaths, openSealed, readIdentity, readLedger, verifyJournal } from '#store';
import { compareFrames } from '../../scripts/lib/proof.ts';
import { testDatabase } from '../db/fixture.ts';
import type { Database } from '../db/index.ts';
import { receiptsOf } from '../db/receipts.ts';
import type { RecordingRow } from '../db/recordings.ts';
import { recordingById } from '../db/recordings.ts';
import { auditFolder } from '../evidence/audit.ts';
import type { FaultNews, FaultOrder } from './fault-daemon-child.ts';
import type { FaultRule } from './fault-plan.ts';
import { faultPlan } from './fault-plan.ts';

/**
 * The fault table: `kill -9` of the recorder, of the daemon, or of both, at every named step of a recording's life. After a
 * restart everything that was acknowledged is there, nothing was entered twice, the folder verifies and nothing stays
 * Processing. A recorder cannot die at a step that only the daemon takes; those rows name the daemon alone. (A finaliser
 * that dies at each of its steps is in core/recording/finalise-crash.test.ts; the daemon dies at them here.)
 *
 *   step                   where                                        victims
 *   header                 journal created                              recorder, daemon, both
 *   first block            first commit of the recorder's log           recorder, daemon, both
 *   block                  a later commit                               recorder, daemon, both
 *   END                    journal synced after the hang-up             recorder, daemon, both
 *   temp                   sealed file written                          daemon, both (with the finaliser)
 *   rename                 payload, header                              daemon, both
 *   directory fsync        of the recordings                            daemon, both
 *   write-ahead            of the ledger: consent, rec.final            daemon
 *   tile, head, checkpoint tile renamed, signer's memory, checkpoint    daemon
 *   status                 opening written, row changed                 daemon
 */
type Victim = 'recorder' | 'daemon' | 'both';
interface Row {
  step: string;
  when: 'before' | 'after' | 'half';
  victims: readonly Victim[];
  op: FaultRule['op'];
  /** Of the file; which process does it. */
  path: string;
  process: 'capture' | 'finalise' | 'daemon';
  nth?: number;
  /** The fault waits for the hang-up. */
  atEnd?: boolean;
  /** What the two may have at the end: a recording, or none because neither heard the other. */
  ends: 'available' | 'unheard' | 'either';
}

const ALL = ['recorder', 'daemon', 'both'] as const;
const DAEMON = ['daemon'] as const;
const WITH_FINALISER = ['daemon', 'both'] as const;
const LOG = '/wal/[0-9a-f-]{36}/[0-9]+\\.wal$';
const JOURNAL = '-1\\.scj$';

const TABLE: readonly Row[] = [
  {
    step: 'header',
    when: 'before',
    victims: ALL,
    op: 'create',
    path: JOURNAL,
    process: 'capture',
    ends: 'unheard',
  },
  {
    step: 'header',
    when: 'after',
    victims: ALL,
    op: 'datasync',
    path: JOURNAL,
    process: 'capture',
    ends: 'unheard',
  },
  {
    step: 'first block',
    when: 'half',
    victims: ALL,
    op: 'write',
    path: LOG,
    process: 'capture',
    ends: 'either',
  },
  {
    step: 'first block',
    when: 'after',
    victims: ALL,
    op: 'datasync',
    path: LOG,
    process: 'capture',
    ends: 'either',
  },
  {
    step: 'block',
    when: 'half',
    victims: ALL,
    op: 'write',
    path: LOG,
    process: 'capture',
    nth: 3,
    ends: 'available',
  },
  {
    step: 'block',
    when: 'after',
    victims: ALL,
    op: 'datasync',
    path: LOG,
    process: 'capture',
    nth: 3,
    ends: 'available',
  },
  {
    step: 'END',
    when: 'before',
    victims: ALL,
    op: 'datasync',
    path: JOURNAL,
    process: 'capture',
    atEnd: true,
    ends: 'available',
  },
  {
    step: 'END',
    when: 'after',
    victims: ALL,
    op: 'datasync',
    path: JOURNAL,
    process: 'capture',
    atEnd: true,
    ends: 'available',
  },
  {
    step: 'temp',
    when: 'half',
    victims: WITH_FINALISER,
    op: 'write',
    path: '\\.pay\\.tmp$',
    process: 'finalise',
    ends: 'available',
  },
  {
    step: 'rename',
    when: 'after',
    victims: WITH_FINALISER,
    op: 'rename',
    path: '\\.pay$',
    process: 'finalise',
    ends: 'available',
  },
  {
    step: 'rename',
    when: 'after',
    victims: WITH_FINALISER,
    op: 'rename',
    path: '\\.hdr$',
    process: 'finalise',
    ends: 'available',
  },
  {
    step: 'directory fsync',
    when: 'before',
    victims: WITH_FINALISER,
    op: 'sync',
    path: 'recordings$',
    process: 'finalise',
    ends: 'available',
  },
  {
    step: 'write-ahead of a consent',
    when: 'half',
    victims: DAEMON,
    op: 'write',
    path: '/ledger/wal/',
    process: 'daemon',
    nth: 2,
    ends: 'unheard',
  },
  {
    step: 'write-ahead of a consent',
    when: 'after',
    victims: DAEMON,
    op: 'datasync',
    path: '/ledger/wal/',
    process: 'daemon',
    nth: 2,
    ends: 'unheard',
  },
  {
    step: 'write-ahead of rec.final',
    when: 'half',
    victims: DAEMON,
    op: 'write',
    path: '/ledger/wal/',
    process: 'daemon',
    atEnd: true,
    ends: 'available',
  },
  {
    step: 'write-ahead of rec.final',
    when: 'after',
    victims: DAEMON,
    op: 'datasync',
    path: '/ledger/wal/',
    process: 'daemon',
    atEnd: true,
    nth: 2,
    ends: 'available',
  },
  {
    step: 'entries',
    when: 'after',
    victims: DAEMON,
    op: 'rename',
    path: '/tile/entries/',
    process: 'daemon',
    atEnd: true,
    ends: 'available',
  },
  {
    step: 'tile',
    when: 'before',
    victims: DAEMON,
    op: 'rename',
    path: '/tile/0/',
    process: 'daemon',
    atEnd: true,
    ends: 'available',
  },
  {
    step: 'tile',
    when: 'after',
    victims: DAEMON,
    op: 'rename',
    path: '/tile/0/',
    process: 'daemon',
    atEnd: true,
    ends: 'available',
  },
  {
    step: 'head',
    when: 'before',
    victims: DAEMON,
    op: 'rename',
    path: 'last-signed$',
    process: 'daemon',
    atEnd: true,
    ends: 'available',
  },
  {
    step: 'head',
    when: 'after',
    victims: DAEMON,
    op: 'rename',
    path: 'last-signed$',
    process: 'daemon',
    atEnd: true,
    ends: 'available',
  },
  {
    step: 'checkpoint',
    when: 'before',
    victims: DAEMON,
    op: 'rename',
    path: '/ledger/checkpoint$',
    process: 'daemon',
    atEnd: true,
    ends: 'available',
  },
  {
    step: 'checkpoint',
    when: 'after',
    victims: DAEMON,
    op: 'rename',
    path: '/ledger/checkpoint$',
    process: 'daemon',
    atEnd: true,
    ends: 'available',
  },
  {
    step: 'status: opening',
    when: 'before',
    victims: DAEMON,
    op: 'link',
    path: '\\.evd$',
    process: 'daemon',
    ends: 'available',
  },
  {
    step: 'status: opening',
    when: 'after',
    victims: DAEMON,
    op: 'link',
    path: '\\.evd$',
    process: 'daemon',
    ends: 'available',
  },
  {
    step: 'status: row',
    when: 'before',
    victims: DAEMON,
    op: 'send',
    path: 'update recordings.{1,300}"entry_index"=',
    process: 'daemon',
    ends: 'available',
  },
];

const ARGV = {
  capture: 'recorder-worker/main\\.ts capture',
  finalise: 'recorder-worker/main\\.ts finalise',
  daemon: 'fault-daemon-child\\.ts',
} as const;
const ACT = { recorder: 'kill', daemon: 'kill-parent', both: 'kill-both' } as const;
const CHILD = fileURLToPath(new URL('./fault-daemon-child.ts', import.meta.url));
/** Long enough for four commits of a second's blocks. */
const TALK_MS = 2_500;
const END_MS = 60_000;

/** Runs the rows of the steps that this process takes, two at a time. */
export function testFaults(t: Test, process: Row['process']): void {
  t.setTimeout(600_000);
  t.jobs = 2;
  for (const row of TABLE) {
    if (row.process !== process) continue;
    for (const victim of row.victims) {
      const who =
        victim === 'both'
          ? `${process === 'finalise' ? 'finaliser' : 'recorder'} and daemon`
          : `the ${victim}`;
      t.test(`F23 F35 kill -9 of ${who}, ${row.when} ${row.step} (${row.path})`, { buffered: true }, (t) =>
        stage(t, row, victim),
      );
    }
  }
}

async function stage(t: Test, row: Row, victim: Victim): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-fault-'));
  t.teardown(() => rm(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
  const [dataDir, plans, flag] = [join(dir, 'data'), join(dir, 'plans'), join(dir, 'hung-up')];
  await mkdir(plans);
  // A server of its own: what a dead daemon left in the queue must not reach the one of another row.
  const db = await testDatabase(t);
  const plan = faultPlan(plans, [
    {
      op: row.op,
      path: row.path,
      when: row.when,
      // In the daemon itself there is no parent to kill: it is the victim.
      act: row.process === 'daemon' ? 'kill' : ACT[victim],
      argv: ARGV[row.process],
      ...(row.nth === undefined ? {} : { nth: row.nth }),
      ...(row.atEnd === true ? { whileExists: flag } : {}),
    },
  ]);

  const first = await Daemon.start(t, { dataDir, databaseUrl: db.url, call: true }, plan.env);
  const { recordingId, callId } = await first.placed;
  const how = await Promise.race([first.armed, first.lost, first.exited]);
  if (how === 'armed') {
    await Promise.race([delay(TALK_MS), first.lost, first.exited]);
    await writeFile(flag, '');
    first.say('hang up');
  }
  const dies = victim !== 'recorder';
  // The fault comes by itself; nothing but the process that dies of it announces it.
  const untilMs = Date.now() + END_MS;
  while (plan.acted(0) === 0 && Date.now() < untilMs && (await stillRuns(first))) await delay(20);
  if (!t.equal(plan.acted(0), 1, 'the fault happened')) return;
  let running = first;
  if (dies) {
    await first.exited;
    running = await Daemon.start(t, { dataDir, databaseUrl: db.url, call: false }, {});
  }
  const ended = await endOf(db, recordingId, callId);
  await running.close();

  if (ended === null) t.not(row.ends, 'available', 'no recording was ever begun');
  else if (row.ends === 'available')
    t.equal(ended.state, 'available', `${ended.state}: ${ended.reason} ${ended.detail}`);
  else t.ok(ended.state === 'failed' || row.ends === 'either', `${ended.state}: ${ended.reason}`);
  await assertEvidence(t, { db, dataDir, recordingId, callId, ended });
}

/** What the table promises, whatever the row. */
async function assertEvidence(
  t: Test,
  about: { db: Database; dataDir: string; recordingId: string; callId: string; ended: RecordingRow | null },
): Promise<void> {
  const { db, dataDir, recordingId, callId, ended } = about;
  const paths = dataPaths(dataDir);
  const receipts = await receiptsOf(db, recordingId);
  if (ended?.state === 'available') {
    t.not(receipts.length, 0, 'heads left the server');
    for (const { epoch, seq, head } of receipts) {
      const journal = await verifyJournal(paths.journal(recordingId, epoch), { acknowledged: { seq, head } });
      t.match(journal.status, /^(complete|torn)$/, `what was acknowledged of epoch ${epoch} is there`);
    }
  }
  if (ended?.state === 'available') {
    const sealed = await openSealed({
      pay: paths.pay(recordingId),
      hdr: paths.hdr(recordingId),
      identity: await readIdentity(paths.secrets),
    });
    const bytes = await sealed.read(0, sealed.sizeBytes);
    await sealed.close();
    const { faults, frames } = await compareFrames(bytes, dataDir, recordingId);
    t.same(faults, [], 'every packet of the journals is in the file, once');
    t.comment(
      `frames ${frames.caller} ${frames.callee}, epochs ${receipts.map(({ epoch, seq }) => `${epoch}:${seq}`)}`,
    );
  }
  const reader = await readLedger(paths, { signerDir: `${dataDir}.signer` });
  const entered: string[] = [];
  for await (const { entry } of reader.entries())
    if (entry?.sub === `rec:${recordingId}`) entered.push(entry.t === 'call.consent' ? entry.id : entry.t);
  t.equal(reader.result.findingCount, 0, JSON.stringify(reader.result.findings));
  t.equal(new Set(entered).size, entered.length, `nothing is entered twice: ${entered}`);
  if (entered.length > 0) t.ok(entered.includes('call.end'), `the call's end is entered: ${entered}`);
  t.equal(entered.includes('rec.final'), ended?.state === 'available', 'rec.final belongs to a recording');
  const [call] = await db.sql<{ state: string }[]>`select state from calls where id = ${callId}`;
  t.equal(call?.state, 'ended');
  // With the key: sealed files are decrypted and held against the entries as well.
  const report = await auditFolder({
    dataDir,
    signerDir: `${dataDir}.signer`,
    identity: await readIdentity(paths.secrets),
  });
  t.same(
    report.findings.filter(({ severity }) => severity === 'fault'),
    [],
    'the folder verifies',
  );
}

/** The row at its end; null when the call died before a recording was entered. */
async function endOf(db: Database, recordingId: string, callId: string): Promise<RecordingRow | null> {
  const untilMs = Date.now() + END_MS;
  const look = async () => {
    const row = await recordingById(db, recordingId);
    const [call] = await db.sql<{ state: string; evidence: string }[]>`
      select state, evidence from calls where id = ${callId}`;
    const settled = call === undefined || (call.state === 'ended' && call.evidence !== 'owed');
    return { row, settled, call };
  };
  let seen = await look();
  const isOver = () => seen.settled && (seen.row === null || OVER.has(seen.row.state));
  while (!isOver() && Date.now() < untilMs) seen = await delay(50).then(look);
  if (!isOver()) throw new Error(`it does not come to its end: ${JSON.stringify(seen)}`);
  return seen.row;
}

const OVER: ReadonlySet<string> = new Set(['available', 'failed']);

async function stillRuns({ exited }: Daemon): Promise<boolean> {
  return (await Promise.race([exited, delay(0, 'runs')])) === 'runs';
}

class Daemon {
  readonly placed: Promise<{ recordingId: string; callId: string }>;
  readonly armed: Promise<'armed'>;
  readonly lost: Promise<'lost'>;
  readonly exited: Promise<'exited'>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
    const [placed, armed, lost] = [
      Promise.withResolvers<{ recordingId: string; callId: string }>(),
      Promise.withResolvers<'armed'>(),
      Promise.withResolvers<'lost'>(),
    ];
    this.placed = placed.promise;
    this.armed = armed.promise;
    this.lost = lost.promise;
    this.exited = once(child, 'exit').then(() => 'exited' as const);
    child.on('message', (news: FaultNews) => {
      if (news.type === 'placed') placed.resolve(news);
      if (news.type === 'armed') armed.resolve('armed');
      if (news.type === 'lost') lost.resolve('lost');
    });
  }

  static async start(t: Test, order: FaultOrder, env: NodeJS.ProcessEnv): Promise<Daemon> {
    const child = fork(CHILD, [], {
      env: { PATH: process.env.PATH, FAULT_LOG: process.env.FAULT_LOG, VERBATIM_LOG_LEVEL: 'silent', ...env },
      execArgv: [],
    });
    const daemon = new Daemon(child);
    t.teardown(async () => {
      child.kill('SIGKILL');
      await daemon.exited;
    });
    child.send(order);
    return daemon;
  }

  say(word: string): void {
    if (this.#child.connected) this.#child.send(word, () => undefined);
  }

  async close(): Promise<void> {
    this.say('close');
    await this.exited;
  }
}
