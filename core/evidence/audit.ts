import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { NoteVerifier } from '#ledger';
import { LedgerError, openVerifier, parseCheckpoint } from '#ledger';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { accessPaths, accessSignerDir, dataPaths, isErrno } from '#store';
import { auditAccess } from './audit-access.ts';
import type { AuditFolder, RecordingFiles } from './audit-files.ts';
import { listRecordingFiles, readSmall, statOf, walkForLinks } from './audit-files.ts';
import { auditJournals } from './audit-journals.ts';
import type { LedgerFacts } from './audit-ledger.ts';
import { auditLedger } from './audit-ledger.ts';
import type { AuditProgress } from './audit-pace.ts';
import { Pace } from './audit-pace.ts';
import type { Quarantine } from './audit-quarantine.ts';
import { auditQuarantine } from './audit-quarantine.ts';
import { auditRecording } from './audit-recording.ts';
import type { AuditReport, Finding } from './audit-report.ts';
import { AuditFindings } from './audit-report.ts';
import { auditVerifiers } from './audit-verifiers.ts';
import { MAX_OPENING_BYTES, parseOpening } from './opening.ts';

export type { AuditProgress } from './audit-pace.ts';
export type { AuditCounts, AuditReport, Finding, FindingKind, Severity } from './audit-report.ts';
export { FINDING_KINDS, findingSentence } from './audit-report.ts';

export interface AuditOptions {
  dataDir: string;
  /** The signer's memory, outside the data folder: with it an older copy of the folder is told from the newest. */
  signerDir?: string;
  /** The server's age identity: then journals and recordings are decrypted too. */
  identity?: string;
  bytesPerSecond?: number;
  signal?: AbortSignal;
  onProgress?: (progress: AuditProgress) => void;
  /** Each finding as it is made; of those of a recording that is being changed some may be taken back in the report. */
  onFinding?: (finding: Finding) => void;
  /**
   * Where among the recordings to begin, from 0 to 1: for whoever may be stopped before the end each time, so that in the
   * long run every one has its turn.
   */
  from?: number;
  /** Entries whose recordings are held in memory at a time; for tests. */
  entriesAPass?: number;
  /** Milliseconds of any monotonic clock, and waiting by it; for tests. */
  now?: () => number;
  wait?: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

/** Entries whose recordings are held in memory at a time: some 50 MB. A larger ledger is read several times. */
const ENTRIES_A_PASS = 262_144;
const MAX_PASSES = 1024;
/** A note of three lines and two signatures has some 400 bytes. */
const MAX_CHECKPOINT_BYTES = 4096;

interface Audit {
  options: AuditOptions;
  paths: DataPaths;
  folder: AuditFolder;
  quarantined: Quarantine;
}

/**
 * Checks a data folder against its ledger: every entry, tile, checkpoint, journal and sealed file. Needs neither database
 * nor secret, opens nothing for writing and follows no link. A server may run meanwhile: files are listed before the
 * ledger is read, so that whatever was listed has its entries, and what comes later is left for the next time.
 * Memory: the entries of a quarter of a million at a time, whatever the folder's size.
 *
 * @throws VerbatimError `not_found` when there is no such folder; what the disk says when the ledger cannot be read; the
 *   signal's reason
 */
export async function auditFolder(options: AuditOptions): Promise<AuditReport> {
  const startedMs = performance.now();
  const { dataDir, signal, bytesPerSecond, onProgress, now, wait } = options;
  await assertFolder(dataDir);
  const findings = new AuditFindings(options.onFinding);
  const pace = new Pace({ bytesPerSecond, signal, onProgress, now, wait });
  const folder: AuditFolder = { dataDir, findings, pace };
  const paths = dataPaths(dataDir);
  const access = accessPaths(paths).ledger;
  for (const dir of [paths.ledger, access, paths.quarantine, paths.verifiers])
    pace.totalBytes += await walkForLinks(folder, dir);
  await walkForLinks(folder, paths.keys);
  const quarantined = await auditQuarantine(folder, paths.quarantine);
  await auditVerifiers(folder, paths.verifiers);
  const audit: Audit = { options, paths, folder, quarantined };

  const { entriesAPass = ENTRIES_A_PASS } = options;
  const passes = Math.min(MAX_PASSES, Math.max(1, Math.ceil((await sizeHintOf(paths, pace)) / entriesAPass)));
  let reading: LedgerFacts['reading'] | undefined;
  for (let pass = 0; pass < passes; pass += 1) {
    const done = await auditPass(audit, (recordingId) => passOf(recordingId, passes) === pass, pass === 0);
    reading ??= done;
  }
  findings.counts.bytes = pace.doneBytes;
  pace.finish();
  return findings.report({
    origin: reading?.origin,
    checkpoint: reading?.checkpoint?.note,
    elapsedMs: performance.now() - startedMs,
  });
}

/** One share of the recordings. The first pass also tells what is wrong with the ledger itself. */
async function auditPass(
  audit: Audit,
  mine: (recordingId: string) => boolean,
  first: boolean,
): Promise<LedgerFacts['reading']> {
  const { folder, paths, options } = audit;
  const before = await ledgerMark(paths);
  const sizeHint = await sizeHintOf(paths, folder.pace);
  const files = await listRecordingFiles(folder, paths, mine, first);
  const sizes = await checkpointSizes(audit, files);
  const { signerDir } = options;
  const read = await auditLedger({
    folder,
    paths,
    signerDir,
    mine,
    sizeHint,
    sizes,
    findings: first ? folder.findings : undefined,
  });
  if (first) {
    const memory = signerDir === undefined ? undefined : accessSignerDir(signerDir);
    await auditAccess(folder, paths, memory, read.facts.anchors);
  }
  const recordings = rotated(
    [...new Set([...files.keys(), ...read.facts.recordings.keys()])],
    options.from ?? 0,
  );
  const doubtful = new Map<string, Finding[]>();
  for (const recording of recordings) {
    folder.findings.counts.recordings += read.facts.recordings.has(recording) ? 1 : 0;
    const found = await auditOne(audit, recording, files.get(recording), read);
    if (found.some(({ severity }) => severity === 'fault')) doubtful.set(recording, found);
    else for (const finding of found) folder.findings.add(finding);
  }
  // A removal or a finalisation that went on meanwhile changes what a file should be: those are looked at once more.
  const changed = doubtful.size > 0 && (await ledgerMark(paths)) !== before;
  for (const found of (changed ? await lookAgain(audit, [...doubtful.keys()]) : doubtful).values()) {
    for (const finding of found) folder.findings.add(finding);
  }
  return read.reading;
}

function rotated<T>(list: readonly T[], from: number): T[] {
  const at = Math.floor(from * list.length);
  return [...list.slice(at), ...list.slice(0, at)];
}

/** The same recordings, with the ledger as it is by now. */
async function lookAgain(audit: Audit, recordings: readonly string[]): Promise<Map<string, Finding[]>> {
  const { folder, paths, options } = audit;
  const again = new Set(recordings);
  const mine = (recordingId: string): boolean => again.has(recordingId);
  const sizeHint = await sizeHintOf(paths, folder.pace);
  const files = await listRecordingFiles(folder, paths, mine, false);
  const sizes = await checkpointSizes(audit, files);
  const read = await auditLedger({
    folder,
    paths,
    signerDir: options.signerDir,
    mine,
    sizeHint,
    sizes,
    findings: undefined,
  });
  const found = new Map<string, Finding[]>();
  for (const recording of recordings) {
    found.set(recording, await auditOne(audit, recording, files.get(recording), read));
  }
  return found;
}

/** What is found of one recording. Counts go to the report at once, so what is looked at twice counts twice. */
async function auditOne(
  { folder, paths, options, quarantined }: Audit,
  recording: string,
  listed: RecordingFiles | undefined,
  { reading, facts, roots, incomplete }: LedgerFacts,
): Promise<Finding[]> {
  const found: Finding[] = [];
  const { counts } = folder.findings;
  const aside: AuditFolder = { ...folder, findings: { counts, add: (finding) => void found.push(finding) } };
  const files = listed ?? { pay: false, hdr: false, salt: false, evd: false, journals: [], others: [] };
  const { identity } = options;
  const known = facts.recordings.get(recording);
  if (known === undefined && incomplete) return found;
  if (known === undefined) await auditUnknown(aside, paths, recording, files, facts.firstMs);
  else {
    await auditRecording({
      folder: aside,
      paths,
      facts: known,
      files,
      origin: reading.origin,
      verifiers: verifiersOf(reading),
      roots,
      incomplete,
      ledgerUntilMs: facts.lastMs ?? 0,
      identity,
      quarantined: quarantined.paths,
    });
  }
  const journals = {
    folder: aside,
    paths,
    facts: known ?? { recording, call: undefined, consents: {} },
    ledgerFromMs: known === undefined && wasEntered(files) ? undefined : facts.firstMs,
    quarantined: quarantined.names,
    identity,
  };
  await auditJournals(journals, files.journals);
  return found;
}

/** A salt comes before the first entry and audio after the second, so both together had entries; an opening had all. */
function wasEntered({ evd, salt, pay, hdr, journals }: RecordingFiles): boolean {
  return evd || (salt && (pay || hdr || journals.length > 0));
}

/** Files of a recording that is in no entry. */
async function auditUnknown(
  folder: AuditFolder,
  paths: DataPaths,
  recording: string,
  files: RecordingFiles,
  ledgerFromMs: number | undefined,
): Promise<void> {
  const entered = wasEntered(files);
  for (const kind of ['pay', 'hdr', 'evd', 'salt'] as const) {
    if (!files[kind]) continue;
    const file = `recordings/${recording}.${kind}`;
    const found = await statOf(join(paths.recordings, `${recording}.${kind}`));
    if (kind === 'evd') {
      const problem = 'was made after an entry that the ledger does not have';
      folder.findings.add({ severity: 'fault', kind: 'no_entry', file, recording, problem });
    } else if (entered) {
      const problem = 'belongs to no call of the ledger, although its consents were entered';
      folder.findings.add({ severity: 'fault', kind: 'no_entry', file, recording, problem });
    } else if (kind === 'salt') {
      // It comes before the first entry, so a crash between the two leaves it.
      const problem = 'was made for a call that was never entered';
      folder.findings.add({ severity: 'note', kind: 'unfinished', file, recording, problem });
    } else if (found !== undefined && found.mtimeMs < (ledgerFromMs ?? Number.NEGATIVE_INFINITY)) {
      const problem = 'is older than the ledger, which knows nothing of it';
      folder.findings.add({ severity: 'note', kind: 'before_ledger', file, recording, problem });
    } else {
      const problem = 'belongs to no call of the ledger';
      folder.findings.add({ severity: 'fault', kind: 'no_entry', file, recording, problem });
    }
  }
}

/** Sizes of the checkpoints that openings keep. What cannot be read is told when the recording's turn comes. */
async function checkpointSizes(
  { folder, paths }: Audit,
  files: ReadonlyMap<string, RecordingFiles>,
): Promise<Set<number>> {
  const sizes = new Set<number>();
  for (const [recording, { evd }] of files) {
    if (!evd) continue;
    try {
      const bytes = await readSmall(paths.evidence(recording), MAX_OPENING_BYTES, folder.pace);
      if (bytes !== undefined) sizes.add(sizeOf(parseOpening(bytes).checkpoint));
    } catch (error) {
      if (folder.pace.aborted || isErrno(error, 'EIO') || isErrno(error, 'EACCES')) throw error;
    }
  }
  return sizes;
}

/** How many entries there are about, by a head that nobody has verified yet: only the number of passes depends on it. */
async function sizeHintOf(paths: DataPaths, pace: Pace): Promise<number> {
  const bytes = await readSmall(join(paths.ledger, 'checkpoint'), MAX_CHECKPOINT_BYTES, pace).catch(
    () => undefined,
  );
  try {
    return bytes === undefined ? 0 : sizeOf(bytes.toString('utf8'));
  } catch {
    return 0;
  }
}

/** Of a signed note, without looking at its signatures. */
function sizeOf(note: string): number {
  return parseCheckpoint(note.slice(0, note.lastIndexOf('\n\n') + 1)).size;
}

function passOf(recordingId: string, passes: number): number {
  return Number.parseInt(recordingId.slice(0, 8), 16) % passes;
}

/** Differs when entries came in between. */
async function ledgerMark({ ledger }: DataPaths): Promise<string> {
  const marks: string[] = [];
  for (const path of [join(ledger, 'checkpoint'), ...(await namesIn(join(ledger, 'wal')))]) {
    const file = await statOf(path);
    marks.push(`${path} ${file?.size} ${file?.mtimeMs} ${file?.ino}`);
  }
  return marks.join('\n');
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return (await readdir(dir)).sort().map((name) => join(dir, name));
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return [];
    throw error;
  }
}

/** Keys that the entries name and, where those cannot be read, that the published checkpoint is signed with. */
function verifiersOf({ vkeys, checkpoint }: LedgerFacts['reading']): NoteVerifier[] {
  return [...new Set([...vkeys, ...(checkpoint?.signedBy ?? [])])].flatMap((vkey) => {
    try {
      return [openVerifier(vkey)];
    } catch (error) {
      // The ledger's own reader told what is wrong with it.
      if (error instanceof LedgerError) return [];
      throw error;
    }
  });
}

async function assertFolder(dataDir: string): Promise<void> {
  try {
    // The folder itself may be reached by a link: where it lies is the operator's choice.
    if ((await stat(dataDir)).isDirectory()) return;
  } catch (cause) {
    if (!isErrno(cause, 'ENOENT')) throw cause;
  }
  throw new VerbatimError('not_found', `There is no data folder ${dataDir}.`);
}
