import type { Entry, JsonObject } from '#ledger';
import { leafHash, parseEntry } from '#ledger';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { holdsWithin, scopeExists } from '../db/holds.ts';
import type { Database } from '../db/index.ts';
import type { NewRemoval, RemovalRow } from '../db/removals.ts';
import {
  approveRemoval,
  executeRemoval,
  finishRemoval,
  insertRemoval,
  isAssertionUsed,
  listRemovals,
  removalById,
  removalTargets,
  setRequestHash,
  unfinishedRemovals,
} from '../db/removals.ts';
import { signedStatement } from './certificate.ts';
import type { AlarmPort, Destroyer, LedgerPort, Log } from './destroyer.ts';
import { adminActor, SERVER, subjectOf } from './destroyer.ts';
import { assertOrder, OrderFiles, sha256Of } from './order-file.ts';
import type { StepUpAssertion } from './step-up.ts';
import { assertFresh, challengeOf } from './step-up.ts';

export interface OrdersParts {
  db: Database;
  paths: DataPaths;
  ledger: LedgerPort;
  destroyer: Pick<Destroyer, 'begin' | 'run'>;
  alarms: AlarmPort;
  log: Log;
  /** `removal.enabled`: false for deployments that must not. */
  enabled: boolean;
  now?: () => Date;
  /** How often waiting orders are looked after. */
  everyMs?: number;
}

/** What a court or another authority orders. Times and texts as the order says. */
export interface OrderRequest
  extends Omit<NewRemoval, 'orderSha256' | 'requestedBy' | 'requestedAt' | 'notBefore' | 'coolingOffMs'> {
  notBefore?: Date;
  coolingOffMs?: number;
  /** The document itself. */
  order: Uint8Array;
}

const EVERY_MS = 30_000;
const MAX_ROWS = 500;
const MAX_TEXT_CHARS = 500;
const MAX_COOLING_OFF_MS = 90 * 86_400_000;
/** Ids that one entry names; the tombstones name the rest. */
const MAX_ENTRY_IDS = 200;

/**
 * Legal removal (F41): request, approval by another admin, waiting, execution, done. Each step is an entry of the ledger
 * under `removal:<id>`, where no party reads it; a step that was entered is taken up after a crash, and asking for it
 * again finds it. What an order says is fixed by the request's entry, and the approval is over that.
 */
export class Orders {
  readonly #parts: OrdersParts;
  readonly #files: OrderFiles;
  readonly #now: () => Date;
  #last: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: OrdersParts) {
    this.#parts = parts;
    this.#files = new OrderFiles(parts.paths);
    this.#now = parts.now ?? (() => new Date());
  }

  /** Takes up what an earlier run left open, and looks after waiting orders from then on. */
  start(): void {
    const look = (): void =>
      void this.resume().catch((error: unknown) =>
        this.#parts.log.warn({ err: error }, 'looking after legal orders failed'),
      );
    look();
    this.#timer = setInterval(look, this.#parts.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  /**
   * Enters what is ordered, with the document sealed. The same id again finds it.
   * @throws VerbatimError `removal_disabled`; `bad_request`, `too_large`; `not_found` when the app has no such thing;
   *   `conflict` when the id is another request's; `evidence_unavailable`
   */
  request(actor: string, request: OrderRequest): Promise<RemovalRow> {
    return this.#inOrder(async () => {
      this.#assertEnabled();
      const { order, notBefore = null, coolingOffMs = 0, ...rest } = request;
      assertOrder(order);
      assertTexts(request, this.#now());
      if (!(await scopeExists(this.#parts.db, request)))
        throw new VerbatimError('not_found', `this app has no ${request.scope} ${request.target}`);
      const orderSha256 = sha256Of(order);
      const standing = await removalById(this.#parts.db, request.id);
      // A document that stands is what somebody may have approved: it is never replaced.
      if (standing === null) await this.#files.keep(request.id, order);
      const row = await insertRemoval(this.#parts.db, {
        ...rest,
        notBefore,
        coolingOffMs,
        orderSha256,
        requestedBy: actor,
        requestedAt: this.#now(),
      });
      if (row.orderSha256 !== orderSha256 || row.requestedBy !== actor || !isSame(row, request))
        throw new VerbatimError('conflict', `removal ${row.id} is another request`);
      return this.#enterRequest(row);
    });
  }

  /** What the approver's passkey must sign, hex. @throws VerbatimError `not_found`, `conflict` */
  async challenge(id: string): Promise<string> {
    return challengeOf(await this.get(id));
  }

  /**
   * Another admin's word, with a fresh step-up over the order. `orderSha256` is the document that this admin has read.
   * @throws VerbatimError `removal_disabled`, `not_found`; `forbidden` for the requester, and for a step-up that is not
   *   theirs, not over this order, not fresh or used; `conflict` when the order is not the requested one, has expired or
   *   is past this; `held`; `evidence_unavailable`
   */
  approve(
    actor: string,
    id: string,
    { orderSha256, assertion }: { orderSha256: string; assertion: StepUpAssertion },
  ): Promise<RemovalRow> {
    return this.#inOrder(async () => {
      this.#assertEnabled();
      const { db, ledger } = this.#parts;
      const row = await this.#complete(await this.get(id));
      if (row.requestedBy === actor)
        throw new VerbatimError('forbidden', 'who requested a removal does not approve it');
      const now = this.#now();
      assertFresh(assertion, { actor, row, now });
      if (row.state !== 'requested') {
        if (row.approvedBy === actor && !(await isAssertionUsed(db, assertion.id))) return row;
        throw new VerbatimError('conflict', `this removal is ${row.state}`);
      }
      if (await isAssertionUsed(db, assertion.id))
        throw new VerbatimError('forbidden', 'the step-up was used before');
      assertNotExpired(row, now);
      await this.#assertUnchanged(row, orderSha256);
      await this.#assertNotHeld(row);
      await ledger.append({
        t: 'removal.approve',
        id: 'removal.approve',
        sub: orderSubject(id),
        actor: adminActor(actor),
        d: {
          request: row.requestHash,
          order: row.orderSha256,
          at: now.toISOString(),
          stepUp: {
            id: assertion.id,
            over: assertion.over,
            at: assertion.at.toISOString(),
            method: assertion.method,
            proof: assertion.proof,
          },
        },
      });
      // Crash here: the entry counts, and the row follows it.
      return this.#complete(row);
    });
  }

  /**
   * Fixes what the order takes, signs that it is executed, and destroys. Resolves when that is done, or as far as it can be
   * now: a recording whose call still runs, or that is being finalised, goes when it is finished.
   * @throws VerbatimError `removal_disabled`, `not_found`; `conflict` when it is not approved, its time has not come, the
   *   cooling-off is not over, or it has expired; `held`; `evidence_unavailable`
   */
  execute(actor: string, id: string): Promise<RemovalRow> {
    return this.#inOrder(async () => {
      this.#assertEnabled();
      const row = await this.#complete(await this.get(id));
      if (row.state === 'executing' || row.state === 'done') return this.#carryOut(row);
      if (row.state !== 'approved' || row.approvedAt === null)
        throw new VerbatimError('conflict', 'this removal is not approved');
      const now = this.#now();
      assertNotExpired(row, now);
      if (row.notBefore !== null && now < row.notBefore)
        throw new VerbatimError('conflict', `not before ${row.notBefore.toISOString()}`);
      const coolUntilMs = row.approvedAt.getTime() + row.coolingOffMs;
      if (now.getTime() < coolUntilMs)
        throw new VerbatimError('conflict', `cooling off until ${new Date(coolUntilMs).toISOString()}`);
      await this.#assertUnchanged(row, row.orderSha256);
      const executed = await executeRemoval(this.#parts.db, id, { executedBy: actor, executedAt: now });
      if (executed === null) throw new VerbatimError('conflict', 'this removal is not approved any more');
      if ('held' in executed) throw heldBy(executed.held.id);
      return this.#carryOut(executed.row);
    });
  }

  /** @throws VerbatimError `not_found` */
  async get(id: string): Promise<RemovalRow> {
    const row = await removalById(this.#parts.db, id);
    if (row === null) throw new VerbatimError('not_found', 'there is no such removal');
    return row;
  }

  list(appId?: string): Promise<RemovalRow[]> {
    return listRemovals(this.#parts.db, MAX_ROWS, appId);
  }

  /** The order's document. @throws VerbatimError `not_found`, `corrupt` */
  document(id: string): Promise<Buffer> {
    return this.#files.read(id);
  }

  /**
   * Says what was removed, by whose order and whose hands, with the entries that prove it; signed by the ledger's key.
   * @throws VerbatimError `not_found`; `conflict` before it is done; `evidence_unavailable`
   */
  async certificate(id: string): Promise<string> {
    const row = await this.get(id);
    if (row.state !== 'done') throw new VerbatimError('conflict', `this removal is ${row.state}`);
    const { ledger, db } = this.#parts;
    const recordings: JsonObject[] = [];
    for (const { recordingId, callId, state, goneAt } of await removalTargets(db, id)) {
      const entries = await ledger.entriesOf(subjectOf(recordingId));
      recordings.push({
        recording: recordingId,
        call: callId,
        state,
        at: goneAt?.toISOString() ?? null,
        entries: entries.map(reference).filter(({ t }) => TOMBSTONES.has(t)),
      });
    }
    return signedStatement(
      {
        v: 1,
        removal: id,
        log: ledger.origin,
        app: row.appId,
        scope: row.scope,
        target: row.target,
        authority: row.authority,
        reference: row.reference,
        basis: row.basis,
        order: { sha256: row.orderSha256, mediaType: row.orderMediaType },
        gag: row.gag,
        requested: { by: row.requestedBy, at: row.requestedAt.toISOString() },
        approved: { by: row.approvedBy, at: row.approvedAt?.toISOString() ?? null },
        executed: { by: row.executedBy, at: row.executedAt?.toISOString() ?? null },
        done: row.doneAt?.toISOString() ?? null,
        entries: (await ledger.entriesOf(orderSubject(id))).map(reference),
        recordings,
        checkpoint: ledger.checkpoint ?? null,
      },
      ledger,
    );
  }

  /** Takes up what stopped between two steps, and what had to wait. */
  resume(): Promise<void> {
    return this.#inOrder(async () => {
      for (const row of await unfinishedRemovals(this.#parts.db, MAX_ROWS)) {
        if (this.#closed) return;
        try {
          const now = await this.#complete(row);
          if (now.state === 'executing') await this.#carryOut(now);
        } catch (error) {
          if (error instanceof VerbatimError && error.code === 'evidence_unavailable') throw error;
          const problem = error instanceof Error ? error.message : String(error);
          await this.#parts.alarms.raise('removal_fault', row.id, problem);
        }
      }
    });
  }

  /** Idempotent; waits for a step that is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#last;
  }

  /** One step of one order at a time. */
  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new VerbatimError('shutting_down'));
    const step = this.#last.then(work);
    this.#last = step.catch(() => undefined);
    return step;
  }

  #assertEnabled(): void {
    if (!this.#parts.enabled) throw new VerbatimError('removal_disabled');
  }

  async #enterRequest(row: RemovalRow): Promise<RemovalRow> {
    if (row.requestHash !== null) return row;
    const { hash } = await this.#parts.ledger.append({
      t: 'removal.request',
      id: 'removal.request',
      sub: orderSubject(row.id),
      actor: adminActor(row.requestedBy),
      d: requestBody(row),
    });
    await setRequestHash(this.#parts.db, row.id, hash.toString('hex'));
    return this.get(row.id);
  }

  /** What the ledger has counts: a row that a crash left behind it follows. */
  async #complete(row: RemovalRow): Promise<RemovalRow> {
    const entered = await this.#enterRequest(row);
    if (entered.state !== 'requested') return entered;
    const approval = (await this.#entriesOf(row.id)).find(({ t }) => t === 'removal.approve');
    if (approval === undefined) return entered;
    const { d, actor } = approval;
    const stepUp = typeof d.stepUp === 'object' && d.stepUp !== null && 'id' in d.stepUp ? d.stepUp : {};
    const assertionId = 'id' in stepUp ? stepUp.id : undefined;
    if (typeof actor.id !== 'string' || typeof d.at !== 'string' || typeof assertionId !== 'string')
      throw new VerbatimError('corrupt', `the approval of ${row.id} does not say who gave it`);
    const approved = await approveRemoval(this.#parts.db, row.id, {
      approvedBy: actor.id,
      approvedAt: new Date(d.at),
      assertionId,
    });
    return approved ?? this.get(row.id);
  }

  async #carryOut(row: RemovalRow): Promise<RemovalRow> {
    const { db, ledger, destroyer, log } = this.#parts;
    if (row.state !== 'executing' || row.executedBy === null) return row;
    const { id, gag, reference: given, executedBy } = row;
    const targets = await removalTargets(db, id);
    const { index } = await ledger.append({
      t: 'removal.exec',
      id: 'removal.exec',
      sub: orderSubject(id),
      actor: adminActor(executedBy),
      d: {
        order: row.orderSha256,
        count: targets.length,
        recordings: targets.slice(0, MAX_ENTRY_IDS).map(({ recordingId }) => recordingId),
      },
    });
    await ledger.covered(index);
    for (const { recordingId, state } of targets) {
      if (state === 'removed' || state === 'expired') continue;
      const outcome = await destroyer.begin({
        recordingId,
        cause: 'order',
        removalId: id,
        reason: gag ? null : given,
        actor: executedBy,
        days: null,
      });
      if ('unsettled' in outcome || 'held' in outcome)
        log.info({ removal: id, recordingId, ...outcome }, 'a removal waits for a recording');
    }
    await destroyer.run();
    const left = (await removalTargets(db, id)).filter(({ goneAt }) => goneAt === null);
    if (left.length > 0) return this.get(id);
    const { index: doneIndex } = await ledger.append({
      t: 'removal.done',
      id: 'removal.done',
      sub: orderSubject(id),
      actor: SERVER,
      d: { order: row.orderSha256, count: targets.length },
    });
    await ledger.covered(doneIndex);
    await this.#parts.alarms.clear('removal_fault', id);
    return (await finishRemoval(db, id, this.#now())) ?? this.get(id);
  }

  /** The document that lies there, the one that the approver read, and the one that the ledger's request names. */
  async #assertUnchanged(row: RemovalRow, orderSha256: string): Promise<void> {
    const entry = (await this.#entriesOf(row.id)).find(({ t }) => t === 'removal.request');
    const same =
      orderSha256 === row.orderSha256 &&
      (await this.#files.sha256(row.id)) === row.orderSha256 &&
      JSON.stringify(entry?.d) === JSON.stringify(requestBody(row));
    if (!same) throw new VerbatimError('conflict', 'the order is not the one that was requested');
  }

  async #assertNotHeld(row: RemovalRow): Promise<void> {
    const [hold] = await holdsWithin(this.#parts.db.sql, row);
    if (hold !== undefined) throw heldBy(hold.id);
  }

  async #entriesOf(id: string): Promise<Entry[]> {
    return (await this.#parts.ledger.entriesOf(orderSubject(id))).map(({ bytes }) => parseEntry(bytes));
  }
}

const TOMBSTONES: ReadonlySet<string> = new Set(['removal.exec', 'removal.done', 'expired']);

export function orderSubject(id: string): string {
  return `removal:${id}`;
}

function reference({ index, bytes }: { index: number; bytes: Buffer }): {
  t: string;
  index: number;
  hash: string;
} {
  return { t: parseEntry(bytes).t, index, hash: leafHash(bytes).toString('hex') };
}

/** What the request's entry says: everything that an approval is about. */
function requestBody(row: RemovalRow): JsonObject {
  return {
    app: row.appId,
    scope: row.scope,
    target: row.target,
    authority: row.authority,
    reference: row.reference,
    basis: row.basis,
    order: { sha256: row.orderSha256, mediaType: row.orderMediaType },
    gag: row.gag,
    notBefore: row.notBefore?.toISOString() ?? null,
    expiresAt: row.expiresAt.toISOString(),
    coolingOffMs: row.coolingOffMs,
  };
}

function isSame(row: RemovalRow, request: OrderRequest): boolean {
  const { notBefore = null, coolingOffMs = 0 } = request;
  const body = requestBody({ ...row, ...request, notBefore, coolingOffMs });
  return JSON.stringify(body) === JSON.stringify(requestBody(row));
}

function assertTexts(request: OrderRequest, now: Date): void {
  for (const name of ['authority', 'reference', 'basis', 'orderMediaType'] as const) {
    const text = request[name].trim();
    if (text === '' || text.length > MAX_TEXT_CHARS)
      throw new VerbatimError('bad_request', `${name}: expected 1 to ${MAX_TEXT_CHARS} characters`);
  }
  const { expiresAt, notBefore, coolingOffMs = 0 } = request;
  if (!(expiresAt > now)) throw new VerbatimError('bad_request', 'expiresAt: expected a time to come');
  if (notBefore !== undefined && !(notBefore < expiresAt))
    throw new VerbatimError('bad_request', 'notBefore: expected a time before expiresAt');
  if (!(coolingOffMs >= 0 && coolingOffMs <= MAX_COOLING_OFF_MS))
    throw new VerbatimError('bad_request', `coolingOffMs: expected 0 to ${MAX_COOLING_OFF_MS}`);
}

function assertNotExpired({ expiresAt }: RemovalRow, now: Date): void {
  if (now >= expiresAt) throw new VerbatimError('conflict', `the order expired ${expiresAt.toISOString()}`);
}

function heldBy(holdId: string): VerbatimError {
  return new VerbatimError('held', `hold ${holdId} forbids it`);
}
