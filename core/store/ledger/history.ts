import type { Entry } from '#ledger';
import { LedgerError, openNote, openVerifier, parseEntry } from '#ledger';
import type { Findings } from './findings.ts';
import { MAX_FINDINGS } from './findings.ts';
import { rotationText } from './keys.ts';
import type { ScannedEntry } from './scan.ts';
import { Subjects } from './subjects.ts';

/** Subjects are short-lived, so the entry before is nearly always among these. 32 bytes each and their slot. */
const RECENT_HASHES = 65_536;

export interface Rotation {
  /** The entry. Heads that cover it are signed by the new key. */
  index: number;
  old: string;
  new: string;
}

/** An operator said that the head the signer remembers is lost, and that the log goes on without it. */
export interface AcceptedHead {
  index: number;
  size: number;
  root: string;
}

/** What the entries say when they are read in order: subjects, keys, accepted losses. Holds no entry. */
export class History {
  readonly subjects = new Subjects();
  readonly recent = new RecentHashes();
  origin: string | undefined;
  firstVkey: string | undefined;
  readonly rotations: Rotation[] = [];
  accepted: AcceptedHead | undefined;
  /** Entries of the largest head whose loss was accepted. */
  acceptedSize = 0;
  /** Keys of logs that were there before this one was begun anew, oldest first. */
  earlierVkeys: readonly string[] = [];
  lastTs: string | undefined;
  /** Hashes of the first entries that could not be read: one of their subjects may follow them. */
  readonly #unread = new Set<string>();

  /** Some entries could not be read: what they say of keys is not known. */
  get incomplete(): boolean {
    return this.#unread.size > 0;
  }

  /** Every key the log was signed with, oldest first. */
  get vkeys(): string[] {
    return this.firstVkey === undefined
      ? []
      : [this.firstVkey, ...this.rotations.map((rotation) => rotation.new)];
  }

  /** The key that signs a head of this size. */
  vkeyAt(size: number): string | undefined {
    const last = this.rotations.findLast(({ index }) => index < size);
    return last?.new ?? this.firstVkey;
  }

  /**
   * Takes the next entry of the log and checks what only the log as a whole can tell: `prev`, and that an id is used
   * once in its subject. `hashAt` reads the hash of an entry that is long past.
   */
  async add(
    { index, bytes, hash, file }: ScannedEntry,
    findings: Findings,
    hashAt: (index: number) => Promise<Buffer | undefined>,
  ): Promise<Entry | undefined> {
    const entry =
      bytes === undefined ? undefined : parsed(bytes, (problem) => findings.add(file, problem, index));
    if (entry === undefined) {
      if (index === 0) findings.add(file, 'the first entry is not a sys.init that can be read', 0);
      if (this.#unread.size < MAX_FINDINGS) this.#unread.add(hash.toString('hex'));
      this.subjects.skip();
      this.recent.set(index, hash);
      return undefined;
    }
    const { sub, id } = entry;
    const last = this.subjects.last(sub);
    const before = last === undefined ? undefined : (this.recent.get(last) ?? (await hashAt(last)));
    const follows = (before?.toString('hex') ?? null) === entry.prev;
    if (!follows && !this.#unread.has(entry.prev ?? '')) {
      const expected = last === undefined ? 'none' : `entry ${last}`;
      findings.add(file, `names another entry before it of subject ${sub} than ${expected}`, index);
    }
    const same = this.subjects.find(sub, id);
    if (same !== undefined) findings.add(file, `has the subject and id of entry ${same}`, index);
    this.note(entry, index, (problem) => findings.add(file, problem, index));
    this.subjects.add(sub, id);
    this.recent.set(index, hash);
    return entry;
  }

  /** What an entry changes in how the log itself is read. */
  note(entry: Entry, index: number, wrong: (problem: string) => void): void {
    const { t, d } = entry;
    this.lastTs = entry.ts;
    if ((t === 'sys.init') !== (index === 0)) wrong('sys.init is the first entry and no other');
    if (index === 0) {
      this.origin = textOf(d, 'origin');
      this.firstVkey = textOf(d, 'vkey');
      this.earlierVkeys = textsOf(memberOf(d, 'earlier'));
    } else if (t === 'key.rotate') {
      const rotation = { index, old: textOf(d, 'old') ?? '', new: textOf(d, 'new') ?? '' };
      if (rotation.old !== this.vkeys.at(-1)) wrong('replaces a key that was not in force');
      else if (!isAgreed(rotation, this.origin ?? '', d)) wrong('is not signed by the key that it brings in');
      this.rotations.push(rotation);
    } else if (t === 'config.change' && textOf(d, 'what') === 'head-accepted') {
      const lost = memberOf(d, 'lost');
      const [size, root] = [memberOf(lost, 'size'), textOf(lost, 'root')];
      if (typeof size === 'number' && root !== undefined) {
        this.accepted = { index, size, root };
        this.acceptedSize = Math.max(this.acceptedSize, size);
      }
    }
  }
}

/** Leaf hashes of the last entries. */
export class RecentHashes {
  readonly #hashes = new Map<number, Buffer>();

  get(index: number): Buffer | undefined {
    return this.#hashes.get(index);
  }

  set(index: number, hash: Buffer): void {
    // A copy: the hash may be a part of a whole file's bytes.
    this.#hashes.set(index, Buffer.from(hash));
    if (this.#hashes.size <= RECENT_HASHES) return;
    for (const oldest of this.#hashes.keys()) {
      this.#hashes.delete(oldest);
      return;
    }
  }
}

function parsed(bytes: Buffer, wrong: (problem: string) => void): Entry | undefined {
  try {
    return parseEntry(bytes);
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    wrong(error.problem);
    return undefined;
  }
}

/** Whether the new key itself signed that it takes over: nobody can name a key that is not theirs. */
function isAgreed(rotation: Rotation, origin: string, d: unknown): boolean {
  const reason = textOf(d, 'reason') ?? '';
  const text = rotationText({ origin, old: rotation.old, new: rotation.new, reason });
  try {
    return openNote(textOf(d, 'proof') ?? '', [openVerifier(rotation.new)]).text === text;
  } catch (error) {
    if (error instanceof LedgerError) return false;
    throw error;
  }
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === name)?.[1];
}

function textOf(value: unknown, name: string): string | undefined {
  const member = memberOf(value, name);
  return typeof member === 'string' ? member : undefined;
}

/** The texts in a list; a member that is none is passed over. */
function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}
