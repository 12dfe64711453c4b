import type { Test } from 'tap';
import { assertFolder, assertRecording } from './fault-checks.ts';
import type { FaultDaemon } from './fault-daemon.ts';
import { waitFor } from './fault-daemon.ts';
import type { FaultRule } from './fault-plan.ts';
import type { FaultHouse, FaultProcess, Since } from './fault-stage.ts';
import { ARGV, FaultStage, faultHouse, JOURNAL, LOG } from './fault-stage.ts';

/**
 * The fault table: `kill -9` of the recorder, of the daemon, or of both, at every named step of a recording's life. After a
 * restart everything that was acknowledged is there, nothing was entered twice, the folder verifies and nothing stays
 * Processing. A recorder cannot die at a step that only the daemon takes; those rows name the daemon alone. (A finaliser
 * that dies at each of its steps is in core/recording/finalise-crash.test.ts; the daemon dies at them here.)
 *
 *   step                   where                                        victims
 *   header                 journal created                              recorder, daemon, both
 *   first block            first commit of the recorder's log           recorder, daemon, both
 *   block                  the first commit once it is armed             recorder, daemon, both
 *   END                    journal synced after the hang-up             recorder, daemon, both
 *   temp                   sealed file written                          daemon, both (with the finaliser)
 *   rename                 payload, header                              daemon, both
 *   directory fsync        of the recordings                            daemon, both
 *   write-ahead            of the ledger: consent, after the hang-up    daemon
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
  process: FaultProcess;
  /** Without it the fault may come from before the call on. */
  since?: Since;
  /** What the two have at the end: a recording, or none because neither heard the other. */
  ends: 'available' | 'unheard';
}

const ALL = ['recorder', 'daemon', 'both'] as const;
const DAEMON = ['daemon'] as const;
const WITH_FINALISER = ['daemon', 'both'] as const;

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
    ends: 'unheard',
  },
  {
    step: 'first block',
    when: 'after',
    victims: ALL,
    op: 'datasync',
    path: LOG,
    process: 'capture',
    ends: 'unheard',
  },
  {
    step: 'block',
    when: 'half',
    victims: ALL,
    op: 'write',
    path: LOG,
    process: 'capture',
    since: 'armed',
    ends: 'available',
  },
  {
    step: 'block',
    when: 'after',
    victims: ALL,
    op: 'datasync',
    path: LOG,
    process: 'capture',
    since: 'armed',
    ends: 'available',
  },
  {
    step: 'END',
    when: 'before',
    victims: ALL,
    op: 'datasync',
    path: JOURNAL,
    process: 'capture',
    since: 'hung up',
    ends: 'available',
  },
  {
    step: 'END',
    when: 'after',
    victims: ALL,
    op: 'datasync',
    path: JOURNAL,
    process: 'capture',
    since: 'hung up',
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
  // First of the daemon's: the words of a statement are sent once on each connection.
  {
    step: 'status: row',
    when: 'before',
    victims: DAEMON,
    op: 'send',
    path: 'update recordings.{1,300}"entry_index"=',
    process: 'daemon',
    ends: 'available',
  },
  {
    step: 'write-ahead of a consent',
    when: 'half',
    victims: DAEMON,
    op: 'write',
    path: '/ledger/wal/',
    process: 'daemon',
    ends: 'unheard',
  },
  {
    step: 'write-ahead of a consent',
    when: 'after',
    victims: DAEMON,
    op: 'datasync',
    path: '/ledger/wal/',
    process: 'daemon',
    ends: 'unheard',
  },
  {
    step: 'write-ahead after the hang-up',
    when: 'half',
    victims: DAEMON,
    op: 'write',
    path: '/ledger/wal/',
    process: 'daemon',
    since: 'hung up',
    ends: 'available',
  },
  {
    step: 'write-ahead after the hang-up',
    when: 'after',
    victims: DAEMON,
    op: 'datasync',
    path: '/ledger/wal/',
    process: 'daemon',
    since: 'hung up',
    ends: 'available',
  },
  {
    step: 'entries',
    when: 'after',
    victims: DAEMON,
    op: 'rename',
    path: '/tile/entries/',
    process: 'daemon',
    since: 'hung up',
    ends: 'available',
  },
  {
    step: 'tile',
    when: 'before',
    victims: DAEMON,
    op: 'rename',
    path: '/tile/0/',
    process: 'daemon',
    since: 'hung up',
    ends: 'available',
  },
  {
    step: 'tile',
    when: 'after',
    victims: DAEMON,
    op: 'rename',
    path: '/tile/0/',
    process: 'daemon',
    since: 'hung up',
    ends: 'available',
  },
  {
    step: 'head',
    when: 'before',
    victims: DAEMON,
    op: 'rename',
    path: 'last-signed$',
    process: 'daemon',
    since: 'hung up',
    ends: 'available',
  },
  {
    step: 'head',
    when: 'after',
    victims: DAEMON,
    op: 'rename',
    path: 'last-signed$',
    process: 'daemon',
    since: 'hung up',
    ends: 'available',
  },
  {
    step: 'checkpoint',
    when: 'before',
    victims: DAEMON,
    op: 'rename',
    path: '/ledger/checkpoint$',
    process: 'daemon',
    since: 'hung up',
    ends: 'available',
  },
  {
    step: 'checkpoint',
    when: 'after',
    victims: DAEMON,
    op: 'rename',
    path: '/ledger/checkpoint$',
    process: 'daemon',
    since: 'hung up',
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
];

const ACT = { recorder: 'kill', daemon: 'kill-parent', both: 'kill-both' } as const;
/** So many commits once it is recorded make a call that is worth to be killed: up to a second each. */
const COMMITS = 1;
/** Chains of rows at the same time, of each process: they wait for much of their time. */
const CHAINS: Readonly<Record<FaultProcess, number>> = { capture: 3, daemon: 2, finalise: 2 };

/** One row with one victim. */
interface Kill {
  row: Row;
  victim: Victim;
}

/**
 * Runs the rows of the steps that these processes take, in chains side by side. The rows of a chain follow each other in one
 * data folder: the daemon that is started after one fault places the next call. `migrate` makes the queue's tables.
 */
export async function testFaults(
  t: Test,
  processes: readonly FaultProcess[],
  migrate: (databaseUrl: string) => Promise<void>,
): Promise<void> {
  const chains = processes.flatMap(chainsOf);
  const house = await faultHouse(t, migrate, chains.length);
  for (const { title, kills } of chains) t.test(title, { buffered: true }, (t) => testChain(t, house, kills));
}

function chainsOf(process: FaultProcess): { title: string; kills: Kill[] }[] {
  const kills = TABLE.filter((row) => row.process === process).flatMap((row) =>
    row.victims.map((victim) => ({ row, victim })),
  );
  const length = Math.ceil(kills.length / CHAINS[process]);
  return Array.from({ length: CHAINS[process] }, (_, n) => ({
    title: `steps of the ${process}, part ${n + 1}`,
    kills: kills.slice(n * length, (n + 1) * length),
  }));
}

async function testChain(t: Test, house: FaultHouse, kills: readonly Kill[]): Promise<void> {
  const stage = await FaultStage.open(t, house, (flag) =>
    kills.map(({ row, victim }, i) => ({
      op: row.op,
      path: row.path,
      when: row.when,
      // In the daemon itself there is no parent to kill: it is the victim.
      act: row.process === 'daemon' ? 'kill' : ACT[victim],
      argv: ARGV[row.process],
      whileExists: flag(flagOf(i)),
    })),
  );
  // Where the daemon alone is the victim its workers need not be started again and again: they are not its children.
  const isAlone = kills.every(({ row }) => row.process === 'daemon');
  const stopWorkers = isAlone ? stage.startWorkers() : undefined;
  const begin = () => stage.start(true, isAlone ? { records: false, finalises: false } : {});
  let daemon = begin();
  for (const [i, kill] of kills.entries())
    await t.test(titleOf(kill), async (t) => {
      try {
        daemon = await meet(t, stage, daemon, {
          ...kill,
          begin,
          flag: flagOf(i),
          struck: () => stage.plan.acted(i),
        });
      } catch (error) {
        // The rows behind it have not failed.
        await stage.lower(flagOf(i));
        await daemon.kill();
        daemon = begin();
        throw error;
      }
    });
  await daemon.close();
  await stopWorkers?.();
  await assertFolder(t, stage);
}

const flagOf = (kill: number): string => `kill-${kill}`;

function titleOf({ row, victim }: Kill): string {
  const worker = row.process === 'finalise' ? 'finaliser' : 'recorder';
  const who = victim === 'both' ? `${worker} and daemon` : `the ${victim}`;
  return `F23 F35 kill -9 of ${who}, ${row.when} ${row.step} (${row.path})`;
}

/** The call, and the fault in it. Answers the daemon that runs afterwards. */
async function meet(
  t: Test,
  stage: FaultStage,
  first: FaultDaemon,
  {
    row,
    victim,
    begin,
    flag,
    struck,
  }: Kill & { begin: () => FaultDaemon; flag: string; struck: () => number },
): Promise<FaultDaemon> {
  const { since } = row;
  // Its start is no step of a call.
  await first.until('ready');
  if (since === undefined) await stage.raise(flag);
  const { recordingId, callId } = await first.place();
  if ((await first.until('armed', 'lost')) === 'armed') {
    const before = stage.commits;
    if (since === 'armed') await stage.raise(flag);
    // A fault in mid-call ends it; to all others comes the hang-up, when something is recorded.
    await waitFor(
      'the fault, or commits',
      () => struck() > 0 || first.isOver || (since !== 'armed' && stage.commits >= before + COMMITS),
    );
    if (since === 'hung up') await first.hangUp(() => stage.raise(flag));
    else if (since === undefined) await first.hangUp();
  }
  // The fault comes by itself; nothing but the process that dies of it announces it.
  await waitFor('the fault', () => struck() > 0 || first.isOver);
  if (struck() !== 1) throw new Error('the fault did not happen');
  let running = first;
  if (victim !== 'recorder') {
    await first.exited;
    running = begin();
  }
  const ended = await stage.end(recordingId, callId);

  if (row.ends === 'available')
    t.equal(ended?.state, 'available', `${ended?.state}: ${ended?.reason} ${ended?.detail}`);
  else if (ended !== null) t.match(ended, { state: 'failed', reason: UNHEARD }, 'neither heard the other');
  t.comment(`${ended?.reason} ${ended?.detail}`);
  // Where the fault can come before the hang-up, the daemon may have died before it could say what was sent; what was
  // synced and what was acknowledged are compared in any case.
  const isWhole = row.ends === 'available' && since !== 'armed';
  const sentPerLeg = isWhole ? first.heard('sent')?.perLeg : undefined;
  if (isWhole && sentPerLeg === undefined) {
    if (since === 'hung up') t.fail('the recorder had taken all that was sent');
    else t.comment('it died before it could say what was sent');
  }
  await assertRecording(t, stage, { recordingId, callId, ended, heads: first.heads, sentPerLeg });
  return running;
}

const UNHEARD = /^(not_armed|recorder_unavailable)$/;
