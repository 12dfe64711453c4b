import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Entry } from '#ledger';
import { LedgerError, parseEntry, TILE_WIDTH } from '#ledger';
import type { DataPaths } from '../paths.ts';
import { Edge } from './edge.ts';
import { Findings } from './findings.ts';
import type { Head } from './head.ts';
import { MAX_NOTE_BYTES, readHead, unprovenHead } from './head.ts';
import { History } from './history.ts';
import type { LogKey } from './keys.ts';
import { isVkey, nameOfVkey, nextKeyPath, readKey, readVkeys } from './keys.ts';
import type { Listing } from './listing.ts';
import { listTree, readWhole } from './listing.ts';
import type { Replayed } from './replay.ts';
import { replaySegments } from './replay.ts';
import type { Anchor, ScannedEntry } from './scan.ts';
import { Scan } from './scan.ts';
import { memoryPath, readMemory } from './signer.ts';
import { BUNDLES, treePath } from './tree-path.ts';
import { listOpenings, missedOpening, missedText } from './witnesses.ts';
import type { FoundSegment } from './write-ahead.ts';
import { readSegments } from './write-ahead.ts';

const MAX_LOOKS = 5;
const LOOK_AGAIN_MS = 20;

export interface LoadOptions {
  paths: DataPaths;
  /** Undefined for a reader without access to it: the signer's memory is then not looked at. */
  signerDir: string | undefined;
  /** False for a reader without access to the secrets. */
  withKey: boolean;
  /** A writer may be at work meanwhile. */
  live?: boolean;
  /** An operator begins the log anew: that openings of an earlier one are there is known. */
  anew?: boolean;
}

/** An entry as it was read and understood. */
export interface ReadEntry extends ScannedEntry {
  /** Undefined where the bytes are no entry. */
  entry: Entry | undefined;
}

/** Of this log alone: by its entries, or by the public list where not all of those can be read. */
export function ownVkeys({ history, vkeys, origin }: Pick<Loaded, 'history' | 'vkeys' | 'origin'>): string[] {
  const named = history.vkeys;
  if (named.length > 0 && !history.incomplete) return named;
  return vkeys.filter((vkey) => isVkey(vkey) && nameOfVkey(vkey) === (history.origin ?? origin));
}

/** A log as it was found. Nothing on disk was changed to read it. */
export interface Loaded {
  /** There is no log here at all. */
  empty: boolean;
  origin: string | undefined;
  key: LogKey | undefined;
  nextKey: LogKey | undefined;
  vkeys: string[];
  history: History;
  /** The tree that is durable, and with what the write-ahead segments hold beyond it. */
  baseEdge: Edge;
  edge: Edge;
  replayed: Replayed;
  segments: FoundSegment[];
  listing: Listing;
  checkpoint: Head | undefined;
  memory: Head | undefined;
  /** True when the log goes on although the signer remembers another head: an entry says who accepted that. */
  lossAccepted: boolean;
  /** The only thing wrong is that the signer remembers a head that this log does not lead to. */
  rolledBack: boolean;
  findings: Findings;
}

/**
 * Reads and checks a whole log: every entry, every tile, the checkpoint, the keys, the signer's memory and the
 * write-ahead segments. What is wrong goes to `findings`; only what the disk refuses is thrown.
 */
export async function loadLedger(options: LoadOptions): Promise<Loaded> {
  const reading = scanLedger(options);
  for (;;) {
    const { value, done } = await reading.next();
    if (done) return value;
  }
}

/** The same, entry by entry, with memory for 256 of them. */
export async function* scanLedger(
  options: LoadOptions,
  onTotal: (entries: number) => void = () => undefined,
): AsyncGenerator<ReadEntry, Loaded, void> {
  const { paths, signerDir } = options;
  const findings = new Findings();
  const name = (path: string): string => shortName(paths.dataDir, path);

  // Before anything else: what is listed here has its entries in what is read afterwards.
  const openings = options.anew ? [] : await listOpenings(paths);
  // A writer at work moves entries from here to the tree, so the segments are read before it.
  const { segments, replayed } = await readWriteAhead(join(paths.ledger, 'wal'), options.live === true);
  if (replayed.problem !== undefined) {
    findings.add(name(replayed.problem.path), replayed.problem.problem, replayed.problem.entry);
  }

  const published = (await readVkeys(paths)) ?? undefined;
  const key = options.withKey ? await keyIn(paths.ledgerKey, name, findings) : undefined;
  const nextKey = options.withKey ? await keyIn(nextKeyPath(paths), name, findings) : undefined;
  // A public list that was damaged must not keep a reader without the key from telling that it is the list: the key that
  // the log itself begins with is tried too. The list is compared with it afterwards, so it is trusted for nothing else.
  const named = options.withKey ? undefined : await firstVkey(paths.ledger);
  const usable = [
    ...(published ?? []),
    ...[key, nextKey].flatMap((one) => one?.vkey ?? []),
    named ?? '',
  ].filter(isVkey);
  // The list may begin with the keys of an earlier log; `named`, where it can be read, comes last.
  const origin = key?.signer.name ?? usable.map(nameOfVkey).at(-1);

  const checkpointPath = join(paths.ledger, 'checkpoint');
  const checkpointNote = await readWhole(checkpointPath, MAX_NOTE_BYTES);
  const memoryNote = signerDir === undefined ? undefined : await readMemory(signerDir);
  const listing = await listTree(paths.ledger);
  const empty =
    checkpointNote === undefined &&
    memoryNote === undefined &&
    replayed.entries.length === 0 &&
    replayed.problem === undefined &&
    listing.levels.size === 0;

  const head = (note: string | undefined, wrong: (problem: string) => Head | undefined): Head | undefined => {
    if (note === undefined) return undefined;
    try {
      return readHead(note, origin ?? '', [...new Set(usable)]);
    } catch (error) {
      if (!(error instanceof LedgerError)) throw error;
      return wrong(error.problem);
    }
  };
  const checkpoint = head(checkpointNote?.toString('utf8'), (problem) => {
    findings.add(name(checkpointPath), problem);
    return undefined;
  });
  const memoryFile = memoryPath(signerDir ?? '');
  // A key that signed the memory and is unknown here may be one of the entries that are lost.
  let unproven: string | undefined;
  const memory = head(memoryNote, (problem) => {
    const told = unprovenHead(memoryNote ?? '', origin ?? '');
    if (told === undefined || told.size <= (checkpoint?.size ?? 0)) findings.add(name(memoryFile), problem);
    else unproven = problem;
    return unproven === undefined ? undefined : told;
  });
  if (checkpointNote === undefined && !empty) {
    // The first head ever is of one entry. So this is no crash at the very beginning.
    const begun =
      memory === undefined ? listing.widths(BUNDLES, 0).every((width) => width === 1) : memory.size === 1;
    if (!begun) findings.add(name(checkpointPath), 'is missing');
  }
  if (memory !== undefined && checkpoint !== undefined && memory.size < checkpoint.size) {
    const problem = `the signer remembers ${memory.size} entries, but the published checkpoint has ${checkpoint.size}`;
    findings.add(name(memoryFile), problem);
  }

  // The signer's memory is written before the checkpoint: after a crash the tree holds what the memory says.
  const ahead = memory !== undefined && unproven === undefined && hasTree(listing, memory.size);
  const base = Math.max(checkpoint?.size ?? 0, ahead ? memory.size : 0);
  const anchors: Anchor[] = replayed.roots.map(({ size, root, path, offsetBytes }) => {
    const wrong = (problem: string): void => findings.add(name(path), problem);
    return { size, root, what: `the commit at byte ${offsetBytes}`, wrong };
  });
  if (checkpoint !== undefined) {
    const wrong = (problem: string): void => findings.add(name(checkpointPath), problem);
    anchors.push({ ...checkpoint, what: 'the checkpoint', wrong });
  }
  let memoryProblem: string | undefined;
  if (memory !== undefined) {
    const wrong = (problem: string): void => {
      memoryProblem = problem;
    };
    anchors.push({ ...memory, what: 'the head that the signer remembers', wrong });
  }
  for (const path of listing.strange) findings.add(name(path), 'is not a regular file');

  const scan = new Scan({
    dataDir: paths.dataDir,
    ledgerDir: paths.ledger,
    listing,
    base,
    replayed,
    anchors,
    findings,
    live: options.live === true,
  });
  const history = new History();
  const hashAt = (index: number): Promise<Buffer | undefined> => hashOnDisk(paths.ledger, listing, index);
  onTotal(scan.total);
  for await (const group of scan.run()) {
    for (const scanned of group) {
      yield { ...scanned, entry: await history.add(scanned, findings, hashAt) };
    }
  }

  const lossAccepted =
    memory !== undefined &&
    history.accepted?.size === memory.size &&
    history.accepted.root === memory.root.toString('hex');
  const sound = findings.count === 0;
  if (unproven !== undefined) {
    // Where the entries are all there, no key of theirs can be unknown.
    memoryProblem =
      memory !== undefined && memory.size > scan.edge.size
        ? `${memoryProblem}, and it was signed by a key that they do not name`
        : unproven;
  }
  if (memoryProblem !== undefined && !lossAccepted) findings.add(name(memoryFile), memoryProblem);
  const loaded: Loaded = {
    empty,
    origin,
    key,
    nextKey,
    vkeys: published ?? [],
    history,
    baseEdge: base === 0 ? new Edge() : scan.baseEdge,
    edge: scan.edge,
    replayed,
    segments,
    listing,
    checkpoint,
    memory,
    lossAccepted: lossAccepted && memoryProblem !== undefined,
    rolledBack: false,
    findings,
  };
  if (findings.count === 0) {
    const missed = await missedOpening(paths, openings, {
      empty,
      knows: (recordingId) => history.subjects.last(`rec:${recordingId}`) !== undefined,
      vkeys: history.vkeys,
      acceptedSize: history.acceptedSize,
    });
    if (missed !== undefined) {
      findings.add(name(paths.ledger), `${empty ? 'is gone' : 'lacks entries'}: ${missedText(missed)}`);
    }
  }
  if (!empty)
    checkKeys(loaded, { published, options, name, checkpointPath, memoryFile, allRead: scan.whole });
  const isPast = memory !== undefined && memory.size > scan.edge.size;
  loaded.rolledBack =
    sound &&
    findings.count === 1 &&
    memoryProblem !== undefined &&
    !lossAccepted &&
    (unproven === undefined || isPast);
  return loaded;
}

/** A commit that is just being written may be seen in part, in a way that no crash leaves: then it is read again. */
async function readWriteAhead(
  dir: string,
  live: boolean,
): Promise<{ segments: FoundSegment[]; replayed: Replayed }> {
  for (let look = 1; ; look += 1) {
    const segments = await readSegments(dir);
    const replayed = replaySegments(segments);
    if (replayed.problem === undefined || !live || look === MAX_LOOKS) return { segments, replayed };
    await delay(LOOK_AGAIN_MS);
  }
}

/** The keys that the entries name, against the files and the signatures. */
function checkKeys(
  { history, key, nextKey, checkpoint, memory, findings, origin, edge }: Loaded,
  {
    published,
    options,
    name,
    checkpointPath,
    memoryFile,
    allRead,
  }: {
    published: string[] | undefined;
    allRead: boolean;
    options: LoadOptions;
    name: (path: string) => string;
    checkpointPath: string;
    memoryFile: string;
  },
): void {
  const { paths, withKey } = options;
  // Keys can be held against the entries only where all of them could be read; what could not was told.
  const whole = allRead && !history.incomplete && history.firstVkey !== undefined;
  const own = history.vkeys;
  const named = [...history.earlierVkeys, ...own];
  const last = own.at(-1);
  if (history.origin !== undefined && origin !== undefined && history.origin !== origin) {
    findings.add(
      name(paths.ledgerVkeys),
      `is of the log ${origin}, but the first entry names ${history.origin}`,
    );
  }
  // A rotation that was not ended: the new key is still beside the old one, and may lack in the list.
  const rotating = nextKey !== undefined && nextKey.vkey === last && key?.vkey === own.at(-2);
  if (withKey && key === undefined) {
    if (!findings.list.some(({ file }) => file === name(paths.ledgerKey))) {
      findings.add(name(paths.ledgerKey), 'is missing: without it nothing can be signed');
    }
  } else if (withKey && whole && key?.vkey !== last && !rotating) {
    findings.add(name(paths.ledgerKey), 'is not the key that the log names');
  }
  // Without the secrets a list that ends before the last rotation cannot be told from one in progress.
  const mayLack = withKey ? rotating : true;
  const equal = (list: readonly string[]): boolean => list.join('\n') === published?.join('\n');
  if (published === undefined) findings.add(name(paths.ledgerVkeys), 'is missing');
  else if (
    whole &&
    !equal(named) &&
    !(mayLack && history.rotations.length > 0 && equal(named.slice(0, -1)))
  ) {
    findings.add(name(paths.ledgerVkeys), 'does not list the keys that the log names');
  }
  for (const [head, path] of [
    [checkpoint, checkpointPath],
    [memory, memoryFile],
  ] as const) {
    // Of a head past the entries nobody here knows which key was in force.
    const isPast = head === undefined || head.size > edge.size;
    const wanted = isPast ? undefined : history.vkeyAt(head.size);
    if (whole && head !== undefined && wanted !== undefined && !head.signedBy.includes(wanted)) {
      findings.add(name(path), 'is not signed by the key that was in force at its size');
    }
  }
}

async function keyIn(
  path: string,
  name: (path: string) => string,
  findings: Findings,
): Promise<LogKey | undefined> {
  try {
    return await readKey(path);
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    findings.add(name(path), error.problem);
    return undefined;
  }
}

function hasTree(listing: Listing, size: number): boolean {
  if (size === 0) return false;
  const number = Math.floor((size - 1) / TILE_WIDTH);
  return listing.widths(BUNDLES, number).some((width) => width >= size - number * TILE_WIDTH);
}

/** What `sys.init` names, as far as it can be read; checked by nobody. */
async function firstVkey(ledgerDir: string): Promise<string | undefined> {
  try {
    const partial = join(ledgerDir, `${treePath(BUNDLES, 0, TILE_WIDTH)}.p`);
    const [width = '1'] = await readdir(partial).catch(() => []);
    const bytes =
      (await readWhole(join(ledgerDir, treePath(BUNDLES, 0, TILE_WIDTH)))) ??
      (await readWhole(join(partial, width)));
    const length = bytes?.readUInt16BE(0) ?? 0;
    const { t, d } = parseEntry(bytes?.subarray(2, 2 + length) ?? Buffer.alloc(0));
    return t === 'sys.init' && typeof d.vkey === 'string' ? d.vkey : undefined;
  } catch {
    // Whatever is wrong with the bundle is told when its turn comes.
    return undefined;
  }
}

async function hashOnDisk(ledgerDir: string, listing: Listing, index: number): Promise<Buffer | undefined> {
  const number = Math.floor(index / TILE_WIDTH);
  const at = index % TILE_WIDTH;
  const width = listing.widths(0, number).find((width) => width > at);
  if (width === undefined) return undefined;
  const bytes = await readWhole(join(ledgerDir, treePath(0, number, width)));
  return bytes?.subarray(at * 32, (at + 1) * 32);
}

/** Files inside the data folder by their path in it, others by their whole path. */
function shortName(dataDir: string, path: string): string {
  const inside = relative(dataDir, path);
  return inside.startsWith('..') ? path : inside;
}
