import type { JsonObject } from '#ledger';
import { encodeEntry, LedgerError, leafHash } from '#ledger';
import type { Clock } from '../clock.ts';
import { ClockWatch } from './clock-watch.ts';
import type { Leaf } from './edge.ts';
import type { History } from './history.ts';
import type { NewLedgerEntry } from './options.ts';

/** Subject of the entries that are about the log itself. */
export const LOG_SUBJECT = 'log';
export const SERVER: JsonObject = { kind: 'server' };

export interface Placed extends Leaf {
  index: number;
}

/** Gives entries their place: index, time, and the hash of the entry before of their subject. */
export class Scribe {
  readonly #history: History;
  readonly #watch: ClockWatch;
  readonly #boot: string;
  readonly #onPlaced: (leaf: Leaf) => void;
  #size: number;
  /** Of the last entry about the log itself: it is needed in the middle of entering something else. */
  #logHash: Buffer | undefined;

  constructor(options: {
    history: History;
    clock: Clock;
    /** This run of the server (UUID). */
    boot: string;
    /** Entries that have a place already. */
    size: number;
    onPlaced: (leaf: Leaf) => void;
  }) {
    this.#history = options.history;
    this.#watch = new ClockWatch(options.clock);
    this.#boot = options.boot;
    this.#size = options.size;
    this.#onPlaced = options.onPlaced;
    const lastOfLog = options.history.subjects.last(LOG_SUBJECT);
    if (lastOfLog !== undefined) this.#logHash = options.history.recent.get(lastOfLog);
  }

  /** Entries that have a place, durable or not. */
  get size(): number {
    return this.#size;
  }

  /** The entry of this subject with this id, when it has a place. */
  find(sub: string, id: string): number | undefined {
    return this.#history.subjects.find(sub, id);
  }

  /** The last entry of a subject when it is so long past that its hash must be read first. Given to `recall`. */
  forgotten(sub: string): number | undefined {
    const last = this.#history.subjects.last(sub);
    if (last === undefined || this.#hashOf(sub, last) !== undefined) return undefined;
    return last;
  }

  recall(sub: string, index: number, bytes: Buffer): void {
    if (sub === LOG_SUBJECT) this.#logHash = leafHash(bytes);
    else this.#history.recent.set(index, leafHash(bytes));
  }

  /** Enters that the newest entry is of a time that is still to come. */
  noteFuture(): void {
    const { lastTs } = this.#history;
    const { wallMs, monoMs } = this.#watch.look();
    const lastMs = lastTs === undefined ? wallMs : Date.parse(lastTs);
    if (lastMs > wallMs)
      this.#putStep({ fromMs: lastMs, toMs: wallMs, stepMs: wallMs - lastMs }, wallMs, monoMs);
  }

  /**
   * Everything in one turn, so that nothing can come in between; a step of the clock is entered first. `placed` hears
   * the index before anything else can.
   * @throws LedgerError for something that can never be an entry; it takes no place
   */
  enter(entry: NewLedgerEntry, placed?: (index: number) => void): Placed {
    const { step, wallMs, monoMs } = this.#watch.look();
    if (step !== undefined) this.#putStep({ ...step }, wallMs, monoMs);
    return this.#put(entry, wallMs, monoMs, placed);
  }

  #putStep(d: JsonObject, wallMs: number, monoMs: number): void {
    const id = `clock.step.${this.#size}`;
    this.#put({ t: 'clock.step', id, sub: LOG_SUBJECT, actor: SERVER, d }, wallMs, monoMs);
  }

  #put(
    { t, id, sub, actor, d }: NewLedgerEntry,
    wallMs: number,
    monoMs: number,
    placed?: (index: number) => void,
  ): Placed {
    const { subjects, recent } = this.#history;
    const index = this.#size;
    const last = subjects.last(sub);
    const before = last === undefined ? undefined : this.#hashOf(sub, last);
    if (last !== undefined && before === undefined)
      throw new Error(`the hash of entry ${last} is not at hand`);
    const bytes = encodeEntry({
      v: 1,
      t,
      id,
      ts: new Date(wallMs).toISOString(),
      boot: this.#boot,
      mono: monoMs,
      sub,
      prev: before?.toString('hex') ?? null,
      actor: jsonObject(actor),
      d: jsonObject(d),
    });
    const hash = leafHash(bytes);
    // From here on nothing throws: the entry has its place.
    subjects.add(sub, id);
    recent.set(index, hash);
    if (sub === LOG_SUBJECT) this.#logHash = hash;
    this.#size += 1;
    placed?.(index);
    this.#onPlaced({ bytes, hash });
    return { index, hash, bytes };
  }

  #hashOf(sub: string, last: number): Buffer | undefined {
    return sub === LOG_SUBJECT ? this.#logHash : this.#history.recent.get(last);
  }
}

/** What JSON makes of it: members that are undefined are not there. */
function jsonObject(value: Record<string, unknown>): JsonObject {
  const json: unknown = JSON.parse(JSON.stringify(value));
  if (!isObject(json)) throw new LedgerError('expected actor and d as objects');
  return json;
}

function isObject(value: unknown): value is JsonObject {
  // Only ever called on what JSON.parse returned, where every object is one of these.
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
