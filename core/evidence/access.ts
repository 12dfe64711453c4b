import { createHmac, randomUUID } from 'node:crypto';
import { Check } from 'typebox/value';
import type { Entry, JsonObject } from '#ledger';
import { parseCheckpoint, parseEntry } from '#ledger';
import type { AccessAction, Played } from '#protocol';
import { Played as PlayedSchema, VerbatimError } from '#protocol';
import type { Ledger } from '#store';
import type { Alarms, Log } from './alarms.ts';
import type { LedgerPort } from './book.ts';
import { ENTER_TIMEOUT_MS, inTime, noteText, SERVER, subjectOf } from './book.ts';

/** Who did it. */
export type AccessActor =
  | { kind: 'user'; userId: string }
  | { kind: 'app' }
  /** `adminId` is the console's own id of the admin. */
  | { kind: 'admin'; adminId: string };

/** One thing that was done with the recordings of a chat (F31); never what is in them. */
export interface Access {
  action: AccessAction;
  appId: string;
  chatId: string;
  /** Absent for a list of the whole chat. */
  recordingId?: string;
  actor: AccessActor;
  /** Of a `play_end`: how much went out. */
  played?: Played;
  /** The same again is entered once; without one every time counts. */
  once?: string;
}

/** What an admin did, other than looking at a recording (F43). */
export interface AdminAct {
  /** Such as `admin.sign-in` or `hold.set`. */
  act: string;
  /** The console's own id of the admin; undefined for somebody who is not signed in, and for the command line. */
  adminId?: string;
  /** The id of what it was done to. */
  about?: string;
  detail?: Record<string, string | number | boolean>;
}

/** An entry as it is read back; who it was is a pseudonym until somebody compares. */
export interface FoundAccess {
  index: number;
  at: string;
  action: string;
  kind: string;
  /** See `AccessLog.pseudonym`; absent for the app's server. */
  by: string | undefined;
  played?: Played;
}

/** What the access log needs of a ledger. */
export type AccessLedger = Pick<
  Ledger,
  'append' | 'entry' | 'placesOf' | 'checkpoint' | 'origin' | 'size' | 'state' | 'close'
>;

export interface AccessLogOptions {
  /** The second log: the same format in a folder of its own. */
  ledger: AccessLedger;
  /** The first log, in which the heads of the second one are anchored. */
  main: Pick<LedgerPort, 'append'> & Pick<Ledger, 'entry' | 'placesOf'>;
  /** 32 bytes: what makes pseudonyms of ids. Who has it can tell who listened. */
  nameKey: Buffer;
  alarms: Alarms;
  log: Log;
  /** How long one entry is waited for; for tests. */
  timeoutMs?: number;
  anchorEveryMs?: number;
}

const HOUR_MS = 3_600_000;
/** Of the ledger's own entries that are looked through for anchors: two years of hours. */
const MAX_ANCHORS_READ = 20_000;
/** Ids that were entered lately and need not be looked up again; the oldest go first. */
const MAX_RECENT = 10_000;

/**
 * Who listed, played and downloaded what: a second log of the ledger's format, whose heads are entered in the first one
 * every hour (F31, F39). An access is durable before the first byte leaves, and without it nothing is served.
 */
export class AccessLog {
  readonly #options: AccessLogOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #recent = new Set<string>();
  #anchoring: Promise<void> = Promise.resolve();
  #anchored = 0;

  constructor(options: AccessLogOptions) {
    this.#options = options;
    const everyMs = options.anchorEveryMs ?? HOUR_MS;
    this.#timer = setInterval(() => void this.anchor(), everyMs);
    this.#timer.unref();
  }

  /**
   * Resolves when the access is durable: only then may anything be served.
   * @throws VerbatimError `unavailable` when the log takes no entries
   */
  async enter(access: Access): Promise<void> {
    const { action, appId, chatId, recordingId, actor, once, played } = access;
    const chat = this.#chat(appId, chatId);
    const sub = recordingId === undefined ? chat : subjectOf(recordingId);
    const id = once === undefined ? randomUUID() : `${action}.${once}`;
    const key = `${sub} ${id}`;
    if (once !== undefined && this.#recent.has(key)) return;
    const entry = {
      t: 'access' as const,
      id,
      sub,
      actor: this.#actorOf(appId, actor),
      d: {
        action,
        ...(recordingId === undefined ? {} : { chat }),
        ...(played === undefined ? {} : { played: { ...played } }),
      },
    };
    await this.#append(entry);
    if (once !== undefined) this.#remember(key);
  }

  /**
   * Resolves when what an admin does is durable: only then is it done.
   * @throws VerbatimError `unavailable` when the log takes no entries
   */
  async act({ act, adminId, about, detail = {} }: AdminAct): Promise<void> {
    await this.#append({
      t: 'admin' as const,
      id: randomUUID(),
      sub: 'console',
      actor: adminId === undefined ? SERVER : this.#actorOf('', { kind: 'admin', adminId }),
      d: { act, ...(about === undefined ? {} : { about }), ...detail },
    });
  }

  async #append(entry: Parameters<AccessLedger['append']>[0]): Promise<void> {
    const { ledger, alarms, timeoutMs = ENTER_TIMEOUT_MS } = this.#options;
    try {
      await inTime(ledger.append(entry), timeoutMs, 'the access log did not take an entry in time');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      await alarms.raise('access_unwritable', 'log', reason);
      throw new VerbatimError('unavailable', 'the access log takes no entries, so nothing is served', {
        cause: error,
      });
    }
    await alarms.clear('access_unwritable', 'log');
  }

  /**
   * What was done with a recording, its chat's lists since it began included, newest first: at most `limit`, from before
   * the place `before` on.
   */
  async of(
    recording: { id: string; appId: string; chatId: string; startedAt: string },
    page: { before?: number; limit: number },
  ): Promise<FoundAccess[]> {
    const { ledger } = this.#options;
    const own = ledger.placesOf(subjectOf(recording.id));
    const lists = ledger.placesOf(this.#chat(recording.appId, recording.chatId));
    const found: FoundAccess[] = [];
    for (const index of newestFirst(own, lists)) {
      if (page.before !== undefined && index >= page.before) continue;
      const entry = parseEntry(await ledger.entry(index));
      // Both chains go back in time: what is older than the recording is about earlier ones.
      if (entry.ts < recording.startedAt) break;
      found.push(accessOf(index, entry));
      if (found.length === page.limit) break;
    }
    return found;
  }

  /** What stands for a user in the entries: the same for the same user of an app, and telling nothing without the key. */
  pseudonym(appId: string, userId: string): string {
    return this.#hmac('user', appId, userId);
  }

  /** Enters the newest head of the second log in the first one, when it has grown. Never rejects. */
  anchor(): Promise<void> {
    this.#anchoring = this.#anchoring.then(() => this.#anchor());
    return this.#anchoring;
  }

  /**
   * Holds this log against its heads in the first one: a log that was removed together with its memory begins anew, and
   * only the anchors tell. Raises an alarm, or ends it. Never rejects.
   */
  async checkAnchored(): Promise<void> {
    const { ledger, main, alarms, log } = this.#options;
    try {
      let looked = 0;
      for (const index of main.placesOf('log')) {
        looked += 1;
        if (looked > MAX_ANCHORS_READ) break;
        const { t, d } = parseEntry(await main.entry(index));
        if (t !== 'audit.anchor' || typeof d.size !== 'number' || d.size <= ledger.size) continue;
        const problem = `it has ${ledger.size} entries, and entry ${index} of the ledger anchors ${d.size}`;
        return await alarms.raise('access_lost', 'log', problem);
      }
      await alarms.clear('access_lost', 'log');
    } catch (error) {
      // A ledger that cannot be read has its own alarm.
      log.warn({ err: error }, 'the access log could not be held against its anchors');
    }
  }

  /** Why nothing is entered; undefined when all is well. */
  get trouble(): string | undefined {
    const { state } = this.#options.ledger;
    return state.mode === 'read-only' ? state.problem : undefined;
  }

  /** Anchors what there is, and closes the second log; the first one is not its own. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.anchor();
    await this.#options.ledger.close();
  }

  async #anchor(): Promise<void> {
    const { ledger, main, log } = this.#options;
    const note = ledger.checkpoint;
    if (note === undefined) return;
    const { size, root } = parseCheckpoint(noteText(note));
    if (size <= this.#anchored) return;
    try {
      await main.append({
        t: 'audit.anchor',
        id: `audit.anchor.${size}`,
        sub: 'log',
        actor: SERVER,
        d: { origin: ledger.origin, size, root: root.toString('hex') },
      });
      this.#anchored = size;
    } catch (error) {
      // The ledger has raised its own alarm; the next hour anchors this head or a newer one.
      log.warn({ err: error }, 'a head of the access log could not be anchored');
    }
  }

  #actorOf(appId: string, actor: AccessActor): JsonObject {
    switch (actor.kind) {
      case 'user':
        return { kind: 'user', by: this.pseudonym(appId, actor.userId) };
      case 'admin':
        return { kind: 'admin', by: this.#hmac('admin', '', actor.adminId) };
      case 'app':
        return { kind: 'app' };
    }
  }

  /** The subject of a chat's own entries. */
  #chat(appId: string, chatId: string): string {
    return `chat:${this.#hmac('chat', appId, chatId)}`;
  }

  /** The separator occurs in no id. */
  #hmac(what: string, appId: string, id: string): string {
    return createHmac('sha256', this.#options.nameKey)
      .update(`verbatim/access/v1\n${what}\n${appId}\n${id}`)
      .digest('hex');
  }

  #remember(key: string): void {
    this.#recent.add(key);
    if (this.#recent.size <= MAX_RECENT) return;
    for (const oldest of this.#recent) {
      this.#recent.delete(oldest);
      return;
    }
  }
}

function accessOf(index: number, { ts, actor, d }: Entry): FoundAccess {
  const { action, played } = d;
  const { kind, by } = actor;
  return {
    index,
    at: ts,
    action: typeof action === 'string' ? action : 'unknown',
    kind: typeof kind === 'string' ? kind : 'unknown',
    by: typeof by === 'string' ? by : undefined,
    ...(Check(PlayedSchema, played) ? { played } : {}),
  };
}

/** Two falling sequences as one. */
function* newestFirst(a: Iterable<number>, b: Iterable<number>): Generator<number> {
  const [left, right] = [a[Symbol.iterator](), b[Symbol.iterator]()];
  let [x, y] = [left.next(), right.next()];
  while (!x.done || !y.done) {
    if (!x.done && (y.done || x.value > y.value)) {
      yield x.value;
      x = left.next();
    } else if (!y.done) {
      yield y.value;
      y = right.next();
    }
  }
}
