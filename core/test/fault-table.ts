import type { Test } from 'tap';
import { assertOutcome } from './fault-checks.ts';
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
  nth?: number;
  /** Without it the fault may come from the first moment on. */
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

const ACT = { recorder: 'kill', daemon: 'kill-parent', both: 'kill-both' } as const;
/** So many commits make a call that is worth to be killed. */
const COMMITS = 3;

/** Runs the rows of the steps that this process takes, all or some; `migrate` makes the queue's tables. */
export async function testFaults(
  t: Test,
  process: FaultProcess,
  migrate: (databaseUrl: string) => Promise<void>,
  isMeant: (since: Since | undefined) => boolean = () => true,
): Promise<void> {
  const house = await faultHouse(t, migrate);
  for (const row of TABLE) {
    if (row.process !== process || !isMeant(row.since)) continue;
    for (const victim of row.victims) {
      const who =
        victim === 'both'
          ? `${process === 'finalise' ? 'finaliser' : 'recorder'} and daemon`
          : `the ${victim}`;
      t.test(`F23 F35 kill -9 of ${who}, ${row.when} ${row.step} (${row.path})`, { buffered: true }, (t) =>
        kill(t, house, row, victim),
      );
    }
  }
}

async function kill(t: Test, house: FaultHouse, row: Row, victim: Victim): Promise<void> {
  const { since } = row;
  const stage = await FaultStage.open(t, house, (flag) => [
    {
      op: row.op,
      path: row.path,
      when: row.when,
      // In the daemon itself there is no parent to kill: it is the victim.
      act: row.process === 'daemon' ? 'kill' : ACT[victim],
      argv: ARGV[row.process],
      ...(row.nth === undefined ? {} : { nth: row.nth }),
      ...(since === undefined ? {} : { whileExists: flag(since) }),
    },
  ]);
  const dies = victim !== 'recorder';
  // A daemon that dies while the call goes on has nothing to finalise.
  const finalises = !(dies && row.process === 'capture' && since !== 'hung up');
  const first = stage.start({ call: true, finalises }, true);
  await first.until('placed');
  const placed = first.heard('placed');
  if (placed === undefined) throw new Error('it ended before it had placed a call');
  if ((await first.until('armed', 'lost')) === 'armed') {
    await stage.raise('armed');
    // A fault in mid-call ends it; to all others comes the hang-up, when something is recorded.
    await waitFor(
      'the fault, or commits',
      () => stage.struck > 0 || first.isOver || (since !== 'armed' && stage.commits >= COMMITS),
    );
    await stage.raise('hung up');
    if (since !== 'armed') first.say('hang up');
  }
  // The fault comes by itself; nothing but the process that dies of it announces it.
  await waitFor('the fault', () => stage.struck > 0 || first.isOver);
  if (!t.equal(stage.struck, 1, 'the fault happened')) return;
  let running = first;
  if (dies) {
    await first.exited;
    running = stage.start({ call: false }, false);
  }
  const { recordingId, callId } = placed;
  const ended = await stage.end(recordingId, callId);
  await running.close();

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
  await assertOutcome(t, stage, { recordingId, callId, ended, heads: first.heads, sentPerLeg });
}

const UNHEARD = /^(not_armed|recorder_unavailable)$/;
