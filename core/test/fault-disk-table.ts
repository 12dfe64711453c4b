import type { FaultRule } from './fault-plan.ts';
import { ARGV, JOURNAL, LOG } from './fault-stage.ts';

/**
 * Disk trouble in whole processes: which system call of a real recorder, finaliser or daemon fails, at which moment of a
 * call, and what comes of it. The rules are those of core/store/FORMAT.md and recorder-worker/FORMAT.md; operators read
 * the outcomes in docs/evidence.md. (Each step of finalising with each error is in core/recording/finalise-crash.test.ts
 * and recorder-worker/finalise-faults.test.ts; here are the errors that last.)
 */
export interface DiskRow {
  /** From when on: before the call; once it is recorded; from the hang-up on. */
  since: 'opening' | 'capture' | 'end';
  fault: string;
  /** What the written rule says to it. */
  rule: string;
  /** None: what befell the row before still goes on. */
  rules: readonly FaultRule[];
  /** It comes once; or each time until the disk is well; or hangs until all processes were killed and started again. */
  lasts: 'once' | 'until well' | 'until restarted';
  /**
   * `whole`: the call does not notice, and every packet that was sent is in the recording. `lost`: both are told, and what
   * was acknowledged is in the recording. `refused`: the call does not come about.
   */
  means: 'whole' | 'lost' | 'refused';
  /** The code that the refusal has. */
  says?: string;
}

type More = Pick<FaultRule, 'when' | 'halfBytes'>;
const faultOf =
  (argv: string) =>
  (op: FaultRule['op'], path: string, act: FaultRule['act'], more: More = {}): FaultRule => ({
    op,
    path,
    act,
    argv,
    ...more,
  });
const recorder = faultOf(ARGV.capture);
const finaliser = faultOf(ARGV.finalise);
const daemon = faultOf(ARGV.daemon);
const half = { when: 'half' } as const;

const ANY_JOURNAL = '\\.scj';
const PAYLOAD = '\\.pay\\.tmp$';
const SEGMENT = '/ledger/wal/[0-9]+\\.wal$';
const TILE = '/ledger/tile/0/.*\\.tmp$';
const MEMORY = 'last-signed\\.[0-9a-f]+\\.tmp$';
const CHECKPOINT = '/ledger/checkpoint\\.[0-9a-f]+\\.tmp$';
const SALT = '\\.salt\\.[0-9a-f]+\\.tmp$';
const OPENING = '\\.evd\\.[0-9a-f]+\\.tmp$';

/** Of the recorder and the finaliser. What hangs comes last: it goes on until the restart. */
export const CAPTURE_ROWS: readonly DiskRow[] = [
  {
    since: 'opening',
    fault: 'no room for the journal (ENOSPC)',
    rule: 'nobody hears of the journal, the call is refused',
    rules: [recorder('write', JOURNAL, 'ENOSPC', half)],
    lasts: 'once',
    means: 'refused',
    says: 'no_space',
  },
  {
    since: 'opening',
    fault: 'no descriptor for the journal (EMFILE)',
    rule: 'nobody hears of the journal, the call is refused',
    rules: [recorder('create', JOURNAL, 'EMFILE')],
    lasts: 'until well',
    means: 'refused',
    says: 'recorder_unavailable',
  },
  {
    since: 'opening',
    fault: 'the journal’s header cannot be synced (EIO)',
    rule: 'nobody hears of the journal, the call is refused',
    rules: [recorder('datasync', JOURNAL, 'EIO')],
    lasts: 'once',
    means: 'refused',
    says: 'recorder_unavailable',
  },
  {
    since: 'capture',
    fault: 'the log is full once (ENOSPC)',
    rule: 'the very same bytes go to a new segment',
    rules: [recorder('write', LOG, 'ENOSPC', half)],
    lasts: 'once',
    means: 'whole',
  },
  {
    since: 'capture',
    fault: 'the log is synced, but the disk says that it is not (EIO)',
    rule: 'finding the blocks twice changes nothing',
    rules: [recorder('datasync', LOG, 'EIO', { when: 'after' })],
    lasts: 'once',
    means: 'whole',
  },
  {
    since: 'capture',
    fault: 'the journal cannot be written (EIO)',
    rule: 'final for that file, and the recording goes on in the next epoch',
    rules: [recorder('write', JOURNAL, 'EIO')],
    lasts: 'until well',
    means: 'whole',
  },
  {
    since: 'capture',
    fault: 'neither the journal nor a next one can be written (ENOSPC)',
    rule: 'no next epoch: the recording is lost, and keeps what was acknowledged',
    rules: [recorder('write', ANY_JOURNAL, 'ENOSPC', half)],
    lasts: 'until well',
    means: 'lost',
  },
  {
    since: 'capture',
    fault: 'the log is read-only (EROFS)',
    rule: 'the calls of that commit have failed and keep what was acknowledged',
    rules: [recorder('write', LOG, 'EROFS'), recorder('create', LOG, 'EROFS')],
    lasts: 'until well',
    means: 'lost',
  },
  {
    since: 'capture',
    fault: 'the log cannot be synced (EIO)',
    rule: 'the calls of that commit have failed and keep what was acknowledged',
    rules: [recorder('datasync', LOG, 'EIO')],
    lasts: 'until well',
    means: 'lost',
  },
  {
    since: 'capture',
    fault: 'a segment of the log breaks (EIO), and there is no descriptor for another (EMFILE)',
    rule: 'the calls of that commit have failed and keep what was acknowledged',
    rules: [recorder('write', LOG, 'EIO'), recorder('create', LOG, 'EMFILE')],
    lasts: 'until well',
    means: 'lost',
  },
  {
    since: 'end',
    fault: 'the journal cannot be synced (EIO)',
    rule: 'it is made anew from its readable part and the log',
    rules: [recorder('datasync', JOURNAL, 'EIO')],
    lasts: 'once',
    means: 'whole',
  },
  {
    since: 'end',
    fault: 'no journal can be written (ENOSPC)',
    rule: 'it is made whole from the log as soon as the disk takes it',
    rules: [recorder('write', ANY_JOURNAL, 'ENOSPC')],
    lasts: 'until well',
    means: 'whole',
  },
  {
    since: 'end',
    fault: 'no room for the sealed file (ENOSPC)',
    rule: 'no verdict: it stays Processing and is tried again',
    rules: [finaliser('write', PAYLOAD, 'ENOSPC', half)],
    lasts: 'until well',
    means: 'whole',
  },
  {
    since: 'end',
    fault: 'the recordings are read-only (EROFS)',
    rule: 'no verdict: it stays Processing and is tried again',
    rules: [finaliser('create', PAYLOAD, 'EROFS')],
    lasts: 'until well',
    means: 'whole',
  },
  {
    since: 'opening',
    fault: 'a sync of the journal’s header hangs',
    rule: 'no recorder listens in time, the call is refused',
    rules: [recorder('datasync', JOURNAL, 'hang')],
    lasts: 'until restarted',
    means: 'refused',
    says: 'recorder_unavailable',
  },
  {
    since: 'end',
    fault: 'a sync of the sealed file hangs',
    rule: 'it stays Processing, and the next start goes on with it',
    rules: [finaliser('sync', PAYLOAD, 'hang')],
    lasts: 'until restarted',
    means: 'whole',
  },
  {
    since: 'end',
    fault: 'a sync of the journal hangs',
    rule: 'the next start puts into it what the log holds',
    rules: [recorder('datasync', JOURNAL, 'hang')],
    lasts: 'until restarted',
    means: 'whole',
  },
  {
    since: 'capture',
    fault: 'a sync of the log hangs',
    rule: 'both are told within seconds, while the disk still hangs',
    rules: [recorder('datasync', LOG, 'hang')],
    lasts: 'until restarted',
    means: 'lost',
  },
];

/** Of the daemon. */
export const LEDGER_ROWS: readonly DiskRow[] = [
  {
    since: 'opening',
    fault: 'a consent’s commit finds no room once (ENOSPC)',
    rule: 'the same entries go to a new segment at once',
    rules: [daemon('write', SEGMENT, 'ENOSPC', half)],
    lasts: 'once',
    means: 'whole',
  },
  {
    since: 'opening',
    fault: 'a consent’s commit fails (EIO), and there is no descriptor for another segment (EMFILE)',
    rule: 'all that wait are refused, and the log tries again by itself',
    rules: [daemon('write', SEGMENT, 'EIO'), daemon('create', SEGMENT, 'EMFILE')],
    lasts: 'until well',
    means: 'refused',
    says: 'evidence_unavailable',
  },
  {
    since: 'opening',
    fault: 'no room for the salt (ENOSPC)',
    rule: 'nothing is entered, the call is refused',
    rules: [daemon('write', SALT, 'ENOSPC', half)],
    lasts: 'once',
    means: 'refused',
    says: 'evidence_unavailable',
  },
  {
    since: 'end',
    fault: 'a commit cannot be synced once (EIO)',
    rule: 'the same entries go to a new segment at once',
    rules: [daemon('datasync', SEGMENT, 'EIO')],
    lasts: 'once',
    means: 'whole',
  },
  {
    since: 'end',
    fault: 'the ledger is read-only (EROFS)',
    rule: 'the recording stays Processing and goes on by itself',
    rules: [daemon('write', SEGMENT, 'EROFS'), daemon('create', SEGMENT, 'EROFS')],
    lasts: 'until well',
    means: 'whole',
  },
  {
    since: 'end',
    fault: 'no room for a tile once (ENOSPC)',
    rule: 'publishing is tried again',
    rules: [daemon('write', TILE, 'ENOSPC', half)],
    lasts: 'once',
    means: 'whole',
  },
  {
    since: 'end',
    fault: 'no descriptor for the signer’s memory (EMFILE)',
    rule: 'publishing is tried again from the tiles on, and whoever waits for a head waits',
    rules: [daemon('create', MEMORY, 'EMFILE')],
    lasts: 'until well',
    means: 'whole',
  },
  {
    since: 'end',
    fault: 'the checkpoint cannot be synced once (EIO)',
    rule: 'publishing is tried again',
    rules: [daemon('datasync', CHECKPOINT, 'EIO')],
    lasts: 'once',
    means: 'whole',
  },
  {
    since: 'end',
    fault: 'no room for the opening (ENOSPC)',
    rule: 'the recording stays Processing and goes on by itself',
    rules: [daemon('write', OPENING, 'ENOSPC', half)],
    lasts: 'until well',
    means: 'whole',
  },
  {
    since: 'opening',
    fault: 'a sync of the salt hangs',
    rule: 'nobody waits longer than for an entry, the call is refused',
    rules: [daemon('sync', SALT, 'hang')],
    lasts: 'until restarted',
    means: 'refused',
    says: 'evidence_unavailable',
  },
  {
    since: 'end',
    fault: 'a sync of the checkpoint hangs',
    rule: 'the signer remembers a head that nobody saw, and the next start publishes it',
    rules: [daemon('datasync', CHECKPOINT, 'hang')],
    lasts: 'until restarted',
    means: 'whole',
  },
  {
    since: 'end',
    fault: 'a sync of a commit hangs',
    rule: 'the recording stays Processing, and the next start goes on with it',
    rules: [daemon('datasync', SEGMENT, 'hang')],
    lasts: 'until restarted',
    means: 'whole',
  },
  {
    since: 'opening',
    fault: 'the next call while that commit hangs',
    rule: 'nobody waits for ever, the call is refused',
    rules: [],
    lasts: 'until restarted',
    means: 'refused',
    says: 'evidence_unavailable',
  },
];

/** A daemon that meets these does not start, and says why: that the files are wrong would be a guess. */
export const BAD_STARTS: readonly { fault: string; rule: FaultRule; says: RegExp }[] = [
  { fault: 'the write-ahead file cannot be read', rule: daemon('read', SEGMENT, 'EIO'), says: /EIO/ },
  { fault: 'there is no descriptor for it', rule: daemon('open', SEGMENT, 'EMFILE'), says: /EMFILE/ },
];
