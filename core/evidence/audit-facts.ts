import type { Entry } from '#ledger';
import type { Side } from '#protocol';
import type { Anchor } from './audit-access.ts';
import type { ConsentBody, FinalBody, JournalStateBody, StartBody } from './audit-bodies.ts';
import { consentBody, endBody, finalBody, startBody, statesBody } from './audit-bodies.ts';
import type { FindingKind, FindingSink } from './audit-report.ts';

/** A consent, and the hash under which `rec.final` names it. */
export interface ConsentFact {
  index: number;
  /** Leaf hash, hex. */
  hash: string;
  body: ConsentBody;
}

/** What the ledger says of one recording, as far as its files are held against it. */
export interface RecordingFacts {
  recording: string;
  call: string | undefined;
  consents: Partial<Record<Side, ConsentFact>>;
  start?: { index: number; body: StartBody };
  end?: { index: number };
  final?: { index: number; atMs: number; body: FinalBody };
  /** The last one. */
  failed?: { index: number; journals: readonly JournalStateBody[] };
  recovered?: { index: number; journals: readonly JournalStateBody[] };
  /** Its files are to go, or are gone. */
  removed?: { index: number; done: boolean };
  /** The one entry after which they may go. */
  exec?: { index: number };
}

/** A removal: who asked for it, and who else approved that very request. */
interface Order {
  requestedBy: string | undefined;
  /** Leaf hash of the request, hex. */
  request: string;
  approvedBy?: string;
}

const ORDER = /^removal:([!-~]{1,120})$/;
const SUBJECT = /^rec:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;
/** NTP corrects less than this without anybody noticing. */
const CLOCK_STEP_MS = 2_000;

/** Reads the entries in their order and keeps what is needed of the recordings that `mine` accepts. */
export class FactsReader {
  readonly recordings = new Map<string, RecordingFacts>();
  /** Of the first entry and of the last one read, by the wall clock of the server. */
  firstMs: number | undefined;
  lastMs: number | undefined;
  /** Entries that could not be read: what is missing in the facts may stand in them. */
  unread = 0;
  /** Heads of the access log that the ledger keeps. */
  readonly anchors: Anchor[] = [];
  /** What the ledger knows of legal orders: whether two people stood behind one when it was executed. */
  readonly #orders = new Map<string, Order>();
  readonly #mine: (recordingId: string) => boolean;
  readonly #findings: FindingSink | undefined;
  #last: { ms: number; mono: number; boot: string } | undefined;

  /** Without findings it only gathers: what an entry does wrong was told before. */
  constructor(mine: (recordingId: string) => boolean, findings?: FindingSink) {
    this.#mine = mine;
    this.#findings = findings;
  }

  add(index: number, hash: Buffer, entry: Entry): void {
    this.#clock(index, entry);
    if (entry.t === 'audit.anchor') this.#anchor(index, entry);
    const order = ORDER.exec(entry.sub)?.[1];
    if (order !== undefined) this.#order(order, hash, entry);
    const recording = SUBJECT.exec(entry.sub)?.[1];
    if (recording === undefined || !this.#mine(recording)) return;
    let facts = this.recordings.get(recording);
    if (facts === undefined) {
      facts = { recording, call: undefined, consents: {} };
      this.recordings.set(recording, facts);
    }
    const problem = take(facts, index, hash, entry);
    if (this.unread > 0) return;
    if (problem !== undefined) this.#fault('entry_body', index, recording, problem);
    this.#sequence(facts, index, entry);
    this.#removal(facts, index, entry);
  }

  #order(id: string, hash: Buffer, { t, actor, d }: Entry): void {
    const who = typeof actor.id === 'string' ? actor.id : undefined;
    if (t === 'removal.request') this.#orders.set(id, { requestedBy: who, request: hash.toString('hex') });
    const known = this.#orders.get(id);
    const isOther = who !== undefined && who !== known?.requestedBy;
    if (t === 'removal.approve' && known !== undefined && isOther && d.request === known.request)
      known.approvedBy = who;
  }

  /** Files go for a reason that stands before: a period, or an order that two people stood behind. */
  #removal({ recording, exec }: RecordingFacts, index: number, { t, d }: Entry): void {
    const fault = (problem: string): void => this.#fault('removal', index, recording, problem);
    if ((t === 'removal.done' || t === 'expired') && exec === undefined)
      fault('the recording was removed without an entry before that says so');
    if (t !== 'removal.exec' || d.cause === 'retention') return;
    const order = typeof d.removal === 'string' ? this.#orders.get(d.removal) : undefined;
    if (order === undefined) fault('the recording is removed under an order that the ledger does not have');
    else if (order.approvedBy === undefined)
      fault('the recording is removed under an order that no second person approved');
  }

  #anchor(index: number, { d: { size, root } }: Entry): void {
    if (typeof size === 'number' && typeof root === 'string') this.anchors.push({ entry: index, size, root });
    else
      this.#findings?.add({
        severity: 'fault',
        kind: 'entry_body',
        entry: index,
        problem: 'anchors no head',
      });
  }

  /** Consents, start, final: nothing that needs the one before may come first. */
  #sequence({ recording, consents, start }: RecordingFacts, index: number, { t }: Entry): void {
    const fault = (problem: string): void => this.#fault('entry_order', index, recording, problem);
    const both = consents.caller !== undefined && consents.callee !== undefined;
    if (t === 'call.start' && !both) fault('the call started before both consents were entered');
    if (t === 'rec.final' && !both) fault('the recording was final before both consents were entered');
    if (t === 'call.consent' && start !== undefined)
      fault('a consent was entered after the call had started');
    if (t === 'call.consent' && consents.callee?.index === index && consents.caller === undefined)
      fault('the callee’s consent was entered before the caller’s');
  }

  #clock(index: number, { ts, mono, boot }: Entry): void {
    const ms = Date.parse(ts);
    const last = this.#last;
    if (last !== undefined) {
      // In one run of the server the monotonic clock tells how much time really went by.
      const expectedMs = last.boot === boot ? last.ms + (mono - last.mono) : undefined;
      const stepMs = ms - (expectedMs ?? last.ms);
      const stepped = expectedMs === undefined ? stepMs < -CLOCK_STEP_MS : Math.abs(stepMs) > CLOCK_STEP_MS;
      if (stepped) {
        const way = stepMs < 0 ? 'back' : 'forward';
        const problem = `the server’s clock was set ${way} by ${(Math.abs(stepMs) / 1000).toFixed(1)} s before this entry`;
        this.#findings?.add({ severity: 'note', kind: 'clock_step', entry: index, problem });
      }
    }
    this.firstMs ??= ms;
    this.lastMs = ms;
    this.#last = { ms, mono, boot };
  }

  #fault(kind: FindingKind, entry: number, recording: string, problem: string): void {
    this.#findings?.add({ severity: 'fault', kind, entry, recording, problem });
  }
}

/** What is wrong with the entry's body, in words. */
function take(facts: RecordingFacts, index: number, hash: Buffer, entry: Entry): string | undefined {
  const { t, d } = entry;
  const wrong = `the entry does not say what a ${t} says`;
  switch (t) {
    case 'call.consent': {
      const body = consentBody(d);
      if (body === undefined || entry.id !== `consent.${body.side}`) return wrong;
      facts.consents[body.side] = { index, hash: hash.toString('hex'), body };
      return sameCall(facts, body.call);
    }
    case 'call.start': {
      const body = startBody(d);
      if (body === undefined) return wrong;
      facts.start = { index, body };
      const { caller, callee } = facts.consents;
      if (caller !== undefined && caller.body.party !== body.caller)
        return 'names another caller than the consent';
      if (callee !== undefined && callee.body.party !== body.callee)
        return 'names another callee than the consent';
      return sameCall(facts, body.call);
    }
    case 'call.end': {
      const body = endBody(d);
      facts.end = { index };
      return body === undefined ? wrong : sameCall(facts, body.call);
    }
    case 'rec.final': {
      const body = finalBody(d);
      if (body === undefined) return wrong;
      facts.final = { index, atMs: Date.parse(entry.ts), body };
      const [caller, callee] = body.consents;
      if (facts.consents.caller?.hash !== caller || facts.consents.callee?.hash !== callee)
        return 'names other consents than those of this recording';
      return sameCall(facts, body.call);
    }
    case 'rec.failed':
    case 'rec.recovered': {
      const journals = statesBody(d);
      if (journals === undefined) return wrong;
      facts[t === 'rec.failed' ? 'failed' : 'recovered'] = { index, journals };
      return undefined;
    }
    case 'removal.exec':
      facts.exec = { index };
      facts.removed ??= { index, done: false };
      return undefined;
    case 'removal.done':
    case 'expired':
      facts.removed = { index, done: true };
      return undefined;
    default:
      return undefined;
  }
}

function sameCall(facts: RecordingFacts, call: string): string | undefined {
  facts.call ??= call;
  return facts.call === call
    ? undefined
    : `is about call ${call}, but the entries before about ${facts.call}`;
}
