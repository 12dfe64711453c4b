import type { HeadReceipt, NotificationParams } from '#protocol';
import { EvidenceError, openReceipt } from '../verify/index.ts';
import type { ClientEvents } from './contract.ts';
import type { Emitter } from './emitter.ts';
import { asClientError } from './errors.ts';
import type { EvidenceVerdict, KeptReceipt } from './evidence-store.ts';
import { EvidenceStore } from './evidence-store.ts';
import type { LedgerProblem } from './ledger-watch.ts';
import { LedgerWatch } from './ledger-watch.ts';
import { checkRecording } from './recording-check.ts';
import type { Rest } from './rest.ts';
import type { SignedIn } from './session.ts';

/** What this browser knows of one recording. */
export interface EvidenceState {
  recordingId: string;
  /** Absent while the recording was not checked yet. */
  verdict?: EvidenceVerdict;
  /** Why, in words, unless it is confirmed. */
  problem?: string;
  /** Of a mismatch: whether the server, asked, finds the same; absent until it answered. */
  serverConfirms?: boolean;
  /** The newest signed head of each epoch, oldest first. */
  receipts: readonly KeptReceipt[];
}

/** Recordings that one sign-in looks after; the others follow at the next ones. */
const CHECKS_PER_SIGN_IN = 20;
/** Work in line. A server that sends more than that is not answered sooner by keeping more. */
const MAX_IN_LINE = 100;

/**
 * Keeps what the server signs during a call, and holds the finished recording against it (F36). All of it runs beside
 * the call: nothing here can stop or delay one.
 */
export class Evidence {
  readonly #events: Emitter<ClientEvents>;
  readonly #rest: Rest;
  readonly #store: EvidenceStore;
  readonly #ledger: LedgerWatch;
  /** Keeping goes on while a check waits for the network, so there are two lines. */
  readonly #keeping = new Line();
  readonly #checking = new Line();
  #userId: string | undefined;
  #latest: KeptReceipt | undefined;
  #problem: LedgerProblem | undefined;

  constructor(parts: { origin: string; events: Emitter<ClientEvents>; rest: Rest }) {
    this.#events = parts.events;
    this.#rest = parts.rest;
    this.#store = new EvidenceStore(parts.origin);
    this.#ledger = new LedgerWatch({
      store: this.#store,
      consistency: (from, to) => parts.rest.consistency(from, to),
      checkpoint: () => parts.rest.checkpoint(),
      onProblem: (problem) => this.#onProblem(problem),
    });
  }

  /** The newest signed head that came to this page. */
  get latest(): KeptReceipt | undefined {
    return this.#latest;
  }

  get problem(): LedgerProblem | undefined {
    return this.#problem;
  }

  persistent(): Promise<boolean> {
    return this.#store.persistent();
  }

  onSignedIn({ userId, ledger }: SignedIn): void {
    this.#userId = userId;
    const pinned = this.#keeping.run(() => this.#ledger.pin(ledger));
    void this.#checking.run(async () => {
      await pinned;
      await this.#ledger.newest(ledger?.checkpoint);
      await this.#catchUp(userId);
    });
  }

  onReceipt(receipt: HeadReceipt): void {
    const userId = this.#userId;
    if (userId !== undefined) void this.#keeping.run(() => this.#keep(userId, receipt));
  }

  onCallEnded(checkpoint: string | undefined): void {
    if (checkpoint !== undefined) void this.#checking.run(() => this.#ledger.newest(checkpoint));
  }

  onRecording({ recordingId, state }: NotificationParams<'recording.changed'>): void {
    const userId = this.#userId;
    if (userId === undefined) return;
    if (state === 'available' || state === 'failed')
      void this.#checking.run(() => this.#check(userId, recordingId));
  }

  /** Looks at the recording again, whatever was found before. Undefined when this browser keeps nothing of it. */
  async check(recordingId: string): Promise<EvidenceState | undefined> {
    const userId = this.#userId;
    if (userId === undefined) return undefined;
    await this.#checking.run(() => this.#check(userId, recordingId));
    return this.of(recordingId);
  }

  async of(recordingId: string): Promise<EvidenceState | undefined> {
    const receipts = await this.#receiptsOf(this.#userId, recordingId);
    const [first] = receipts;
    if (first === undefined) return undefined;
    const { verdict, problem, serverConfirms } = first;
    return {
      recordingId,
      receipts,
      ...(verdict === undefined ? {} : { verdict }),
      ...(problem === undefined ? {} : { problem }),
      ...(serverConfirms === undefined ? {} : { serverConfirms }),
    };
  }

  /** The new key of the log is the server's own, says a person or the messenger. @throws EvidenceError for no key */
  async acceptLedgerKey(vkey: string): Promise<void> {
    await this.#ledger.accept(vkey);
    this.#problem = undefined;
    this.#events.emit('ledger', undefined);
    await this.#checking.run(async () => {
      await this.#ledger.newest(await this.#rest.checkpoint());
    });
  }

  async #keep(userId: string, receipt: HeadReceipt): Promise<void> {
    const key = this.#ledger.key;
    let verified = false;
    if (key !== undefined) {
      try {
        const signed = await openReceipt(receipt.note, [key]);
        for (const name of ['recordingId', 'callId', 'epoch', 'seq', 'head'] as const) {
          if (signed[name] !== receipt[name]) throw new EvidenceError(`a head was sent with another ${name}`);
        }
        verified = true;
      } catch (error) {
        // Not what the log signed: it proves nothing, and must not take the place of what does.
        this.#onProblem({ kind: 'bad_signature', detail: asClientError(error, 'internal').message });
        return;
      }
    }
    const { recordingId, epoch } = receipt;
    let forked: string | undefined;
    const kept = await this.#store.update({ userId, recordingId, epoch }, (before) => {
      if (before !== undefined && before.seq === receipt.seq && before.head !== receipt.head) {
        forked = `the server signed two different heads of block ${receipt.seq}`;
        return { ...before, verdict: 'mismatch', problem: forked };
      }
      if (before !== undefined && (before.seq >= receipt.seq || before.verdict === 'mismatch'))
        return undefined;
      return { ...receipt, userId, verified, keptAtMs: Date.now() };
    });
    if (kept === undefined) return;
    if (forked !== undefined) {
      this.#events.emit('evidence', { recordingId, verdict: 'mismatch', problem: forked });
      return;
    }
    if (kept.seq !== receipt.seq) return;
    this.#latest = kept;
    this.#events.emit('receipt', kept);
  }

  /** What became available while this browser was away, and mismatches that could not be reported yet. */
  async #catchUp(userId: string): Promise<void> {
    const open = (await this.#store.receiptsOf(userId)).filter(({ verdict, serverConfirms }) =>
      verdict === 'mismatch'
        ? serverConfirms === undefined
        : verdict === undefined || verdict === 'unverified',
    );
    const ids = new Set(open.reverse().map(({ recordingId }) => recordingId));
    for (const id of [...ids].slice(0, CHECKS_PER_SIGN_IN)) await this.#check(userId, id);
  }

  async #check(userId: string, recordingId: string): Promise<void> {
    // What was sent before the news of the recording is kept first.
    await this.#keeping.run(async () => {});
    const receipts = await this.#receiptsOf(userId, recordingId);
    const forked = receipts.find(({ verdict }) => verdict === 'mismatch');
    const result =
      (await checkRecording(
        {
          ledger: this.#ledger,
          recording: (id) => this.#rest.getRecording(id),
          evidence: (id) => this.#rest.evidence(id),
          chain: (id, epoch, after) => this.#rest.chain(id, epoch, after),
        },
        receipts,
      )) ?? undefined;
    if (result === undefined) return;
    // A mismatch stays one: a server that answers better the second time has still answered so the first time.
    const { verdict, problem } = forked
      ? { verdict: 'mismatch' as const, problem: forked.problem ?? result.problem }
      : result;
    const about = problem === undefined ? {} : { problem };
    await this.#note(receipts, ({ problem: _, ...receipt }) => ({ ...receipt, verdict, ...about }));
    this.#events.emit('evidence', { recordingId, verdict, ...about });
    // Once is enough: the operator has an alarm from it.
    const unheard = receipts.filter(({ serverConfirms }) => serverConfirms === undefined);
    if (verdict === 'mismatch' && unheard.length > 0) await this.#report(recordingId, unheard);
  }

  async #report(recordingId: string, receipts: readonly KeptReceipt[]): Promise<void> {
    let confirms = false;
    for (const { note } of receipts) {
      try {
        confirms = (await this.#rest.reportMismatch(recordingId, note)).confirmed || confirms;
      } catch (error) {
        // Told again at the next sign-in; a server that refuses to hear of it is shown by the missing answer.
        this.#events.emit('trouble', asClientError(error, 'connection_lost'));
        return;
      }
    }
    await this.#note(receipts, (receipt) => ({ ...receipt, serverConfirms: confirms }));
    const { problem } = (await this.of(recordingId)) ?? {};
    const about = problem === undefined ? {} : { problem };
    this.#events.emit('evidence', { recordingId, verdict: 'mismatch', ...about, serverConfirms: confirms });
  }

  async #note(
    receipts: readonly KeptReceipt[],
    change: (receipt: KeptReceipt) => KeptReceipt,
  ): Promise<void> {
    for (const { userId, recordingId, epoch } of receipts)
      await this.#store.update({ userId, recordingId, epoch }, (kept) => kept && change(kept));
  }

  async #receiptsOf(userId: string | undefined, recordingId: string): Promise<KeptReceipt[]> {
    if (userId === undefined) return [];
    const all = await this.#store.receiptsOf(userId);
    return all.filter((each) => each.recordingId === recordingId).sort((a, b) => a.epoch - b.epoch);
  }

  #onProblem(problem: LedgerProblem): void {
    this.#problem = problem;
    this.#events.emit('ledger', problem);
  }
}

/** One piece of work after the other, each with an owner for its failure, and a bound on those that wait. */
class Line {
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  run(work: () => Promise<void>): Promise<void> {
    if (this.#waiting >= MAX_IN_LINE) return this.#last;
    this.#waiting += 1;
    this.#last = this.#last.then(work).then(
      () => {
        this.#waiting -= 1;
      },
      (error: unknown) => {
        this.#waiting -= 1;
        reportError(error);
      },
    );
    return this.#last;
  }
}
