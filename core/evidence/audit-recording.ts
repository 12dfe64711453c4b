import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { NoteVerifier } from '#ledger';
import {
  commitment,
  LedgerError,
  mark,
  openNote,
  parseCheckpoint,
  parseReceipt,
  partyMark,
  SALT_BYTES,
} from '#ledger';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { openSealed } from '#store';
import type { RecordingFacts } from './audit-facts.ts';
import type { AuditFolder, FileKind, RecordingFiles } from './audit-files.ts';
import { digestOf, readSmall, shortName, statOf } from './audit-files.ts';
import type { FindingKind, Severity } from './audit-report.ts';
import { vconProblem } from './audit-vcon.ts';
import { coverageSha256 } from './coverage.ts';
import type { Opening } from './opening.ts';
import { MAX_OPENING_BYTES, parseOpening } from './opening.ts';

export interface RecordingAudit {
  folder: AuditFolder;
  paths: DataPaths;
  facts: RecordingFacts;
  /** What was there before the entries were read; what came since is left for another time. */
  files: RecordingFiles;
  /** Of the log. */
  origin: string | undefined;
  verifiers: readonly NoteVerifier[];
  /** Roots at the sizes of checkpoints that openings keep. */
  roots: ReadonlyMap<number, Buffer>;
  /** Not every entry could be read. */
  incomplete: boolean;
  /** Time of the last entry. */
  ledgerUntilMs: number;
  identity: string | undefined;
  /** Files in quarantine, by their paths in the data folder. */
  quarantined: readonly string[];
}

/**
 * Between `rec.final` and the opening lie a checkpoint and a small file: a server that was killed there makes it at its
 * next start, so near the ledger's end its absence proves nothing.
 */
const OPENING_WINDOW_MS = 15_000;
/** Plaintext that is decrypted at a time. */
const DECRYPT_BYTES = 256 * 1024;
const SALT_TEXT = /^[0-9a-f]{64}\n$/;

/** Everything of one recording but its journals, held against what the ledger says of it. */
export async function auditRecording(audit: RecordingAudit): Promise<void> {
  const { facts } = audit;
  if (facts.removed !== undefined) {
    await auditRemoved(audit);
    return;
  }
  if (facts.final === undefined) {
    auditUnfinished(audit);
    await auditSalt(audit);
    return;
  }
  const sealed = await auditSealed(audit);
  const salt = await auditSalt(audit);
  const opening = await auditOpening(audit, salt);
  if (audit.identity !== undefined && sealed) await auditAudio(audit, opening, audit.identity);
}

/** `removal.done` is written when the files are gone; `removal.exec` before they go. */
async function auditRemoved(audit: RecordingAudit): Promise<void> {
  const { removed } = audit.facts;
  if (removed === undefined) return;
  if (!removed.done) {
    const problem = 'is being removed; if it still is after the server has run, it was interrupted';
    if (audit.files.hdr) note(audit, 'unfinished', 'hdr', problem, removed.index);
    return;
  }
  for (const kind of ['hdr', 'salt', 'evd', 'pay'] as const) {
    if ((await statOf(pathOf(audit, kind))) !== undefined)
      fault(audit, 'not_removed', kind, 'is still there, although the recording was removed', removed.index);
  }
  // A temporary of a header, or what was kept beside a journal, may open what is elsewhere.
  const { recording } = audit.facts;
  for (const file of [...audit.files.others, ...quarantinedOf(audit)]) {
    // Listed before the entries were read: it may have gone since.
    if ((await statOf(join(audit.folder.dataDir, file))) === undefined) continue;
    audit.folder.findings.add({
      severity: 'fault',
      kind: 'not_removed',
      file,
      recording,
      problem: 'is still there, although the recording was removed',
      entry: removed.index,
    });
  }
}

function quarantinedOf({ quarantined, facts }: RecordingAudit): string[] {
  return quarantined.filter((path) => path.split('/').at(-1)?.startsWith(`${facts.recording}-`) === true);
}

/** Sealed files of a recording that is not final: made before a crash, or being made. */
function auditUnfinished(audit: RecordingAudit): void {
  const { files, facts } = audit;
  for (const kind of ['pay', 'hdr'] as const) {
    if (files[kind]) note(audit, 'unfinished', kind, 'is not entered yet', facts.failed?.index);
  }
  if (files.evd && !audit.incomplete)
    fault(audit, 'opening', 'evd', 'opens a recording that the ledger does not call final');
}

/** True when both files are the ones that were entered. */
async function auditSealed(audit: RecordingAudit): Promise<boolean> {
  const { facts, folder } = audit;
  let sound = true;
  if (facts.final === undefined) return false;
  const { index, body } = facts.final;
  for (const kind of ['pay', 'hdr'] as const) {
    const path = pathOf(audit, kind);
    if (!(await present(audit, kind, index))) {
      sound = false;
      continue;
    }
    const found = await digestOf(path, folder.pace);
    if (found === undefined) continue;
    folder.findings.counts.sealedFiles += 1;
    const entered = body[kind];
    if (found.sizeBytes !== entered.sizeBytes) {
      const problem = `has ${found.sizeBytes} bytes, ${entered.sizeBytes} were entered`;
      fault(audit, 'sealed_file', kind, problem, index);
    } else if (found.sha256 !== entered.sha256) {
      fault(
        audit,
        'sealed_file',
        kind,
        `has the SHA-256 ${found.sha256}, entered was ${entered.sha256}`,
        index,
      );
    } else continue;
    sound = false;
  }
  return sound;
}

/** The salt, when there is one that can be read. */
async function auditSalt(audit: RecordingAudit): Promise<Buffer | undefined> {
  const { facts, files, folder } = audit;
  const { final, start, failed } = facts;
  if (!files.salt && final === undefined) {
    // A call in which nobody was heard loses its salt when it ends.
    if (start === undefined || failed !== undefined) return undefined;
  }
  if (!(await present(audit, 'salt', (final ?? start)?.index))) return undefined;
  const bytes = await small(audit, 'salt', SALT_BYTES * 2 + 1);
  if (bytes === undefined) return undefined;
  folder.findings.counts.salts += 1;
  const text = bytes.toString('latin1');
  if (SALT_TEXT.test(text)) return Buffer.from(text.trimEnd(), 'hex');
  fault(audit, 'salt', 'salt', 'is not 64 hex digits and a newline');
  return undefined;
}

async function auditOpening(audit: RecordingAudit, salt: Buffer | undefined): Promise<Opening | undefined> {
  const { facts, files, folder, ledgerUntilMs } = audit;
  const { final } = facts;
  if (final === undefined) return undefined;
  if (!files.evd) {
    const there = (await statOf(pathOf(audit, 'evd'))) !== undefined;
    // It came while the ledger was read: the next audit looks at it.
    if (there) return undefined;
    if (ledgerUntilMs - final.atMs > OPENING_WINDOW_MS)
      fault(audit, 'missing_file', 'evd', 'is missing', final.index);
    else {
      const problem = 'is not there; if it still is not after the server has run, it was removed';
      note(audit, 'unfinished', 'evd', problem, final.index);
    }
    return undefined;
  }
  const bytes = await small(audit, 'evd', MAX_OPENING_BYTES);
  if (bytes === undefined) return undefined;
  folder.findings.counts.openings += 1;
  let opening: Opening;
  try {
    opening = parseOpening(bytes);
  } catch (error) {
    fault(audit, 'opening', 'evd', messageOf(error), final.index);
    return undefined;
  }
  for (const problem of [
    ...openingProblems(audit, opening, bytes),
    ...(await fileProblems(audit, opening)),
  ]) {
    fault(audit, 'opening', 'evd', problem, final.index);
  }
  // One that was changed is told once, where the verifiers are.
  const { verifier } = opening;
  if (verifier !== null && (await statOf(join(audit.paths.verifiers, verifier))) === undefined)
    fault(audit, 'opening', 'evd', `names the verifier ${verifier}, which is not there`, final.index);
  // Which of the two is wrong cannot be told: they do not belong together.
  if (salt !== undefined)
    for (const problem of saltProblems(facts, opening, salt))
      fault(audit, 'salt', 'salt', problem, final.index);
  return opening;
}

/** What the opening says, against the entries that it opens. */
function* openingProblems(
  { facts, origin, verifiers, roots }: RecordingAudit,
  opening: Opening,
  bytes: Buffer,
): Generator<string, void, void> {
  const { consents, final } = facts;
  const { caller, callee } = consents;
  if (final === undefined || caller === undefined || callee === undefined) return;
  if (`${JSON.stringify(opening)}\n` !== bytes.toString('utf8'))
    yield 'is not written in the one form that counts';
  if (opening.recording !== facts.recording) yield `is of recording ${opening.recording}`;
  if (opening.call !== facts.call) yield `is of call ${opening.call}`;
  if (opening.app !== caller.body.app || opening.app !== callee.body.app)
    yield 'names another app than the consents';
  if (opening.format !== final.body.format) yield 'names another format than rec.final';
  const { entries } = opening;
  if (
    entries.final !== final.index ||
    entries.consentCaller !== caller.index ||
    entries.consentCallee !== callee.index
  )
    yield 'names other entries';
  if (coverageSha256(opening.coverage) !== final.body.coverageSha256)
    yield 'holds another coverage report than was entered';
  if (sealedSize(opening.sizeBytes) !== final.body.pay.sizeBytes)
    yield 'names another size than the sealed file has';
  for (const [side, consent] of Object.entries({ caller, callee })) {
    const shown = side === 'caller' ? opening.disclosures.caller : opening.disclosures.callee;
    const { sha256, version, locale } = consent.body.disclosure;
    if (createHash('sha256').update(shown.text).digest('hex') !== sha256)
      yield `holds another text than the ${side} agreed to`;
    if (shown.version !== version || shown.locale !== locale)
      yield `names another version or language of the text than the ${side} agreed to`;
  }
  const vcon = vconProblem(opening, verifiers);
  if (vcon !== undefined) yield vcon;
  for (const receipt of opening.receipts) {
    const problem = receiptProblem(opening, receipt, origin, verifiers);
    if (problem !== undefined) yield `its receipt of epoch ${receipt.epoch} ${problem}`;
  }
  try {
    const { text, verified } = openNote(opening.checkpoint, verifiers);
    const head = parseCheckpoint(text);
    if (verified.length !== signaturesOn(opening.checkpoint, text))
      yield 'its checkpoint has signatures that are not by the log’s keys';
    if (head.origin !== origin) yield `its checkpoint is of the log ${head.origin}`;
    if (head.size <= final.index) yield `its checkpoint of ${head.size} entries does not cover rec.final`;
    const root = roots.get(head.size);
    if (root === undefined) yield `its checkpoint is of ${head.size} entries, which the ledger does not have`;
    else if (!root.equals(head.root))
      yield `its checkpoint has another root at ${head.size} entries than the ledger`;
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    yield `its checkpoint does not verify: ${error.problem}`;
  }
}

/** What is wrong with a signed head that the opening keeps for the bundle. */
function receiptProblem(
  opening: Opening,
  { epoch, note }: Opening['receipts'][number],
  origin: string | undefined,
  verifiers: readonly NoteVerifier[],
): string | undefined {
  try {
    const { text, verified } = openNote(note, verifiers);
    const facts = parseReceipt(text);
    if (verified.length !== signaturesOn(note, text)) return 'has signatures that are not by the log’s keys';
    const same =
      facts.recordingId === opening.recording &&
      facts.callId === opening.call &&
      facts.epoch === epoch &&
      facts.origin === origin;
    return same ? undefined : 'is about something else';
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    return `does not verify: ${error.problem}`;
  }
}

/** A note ends with one line for each signature; lines of unknown keys would prove nothing, and hide changes. */
function signaturesOn(note: string, text: string): number {
  return note.slice(text.length + 1).split('\n').length - 1;
}

/** The verifier that bundles of this recording carry must be kept. */
async function fileProblems({ paths }: RecordingAudit, { verifier }: Opening): Promise<string[]> {
  if (verifier === null) return [];
  const stat = await statOf(`${paths.verifiers}/${verifier}`);
  return stat?.isDirectory() === true ? [] : [`names the verifier ${verifier}, which is not kept`];
}

/** Who is named, and the file's digests, under the salt: each must give what stands in the ledger. */
function* saltProblems(facts: RecordingFacts, opening: Opening, salt: Buffer): Generator<string, void, void> {
  const { caller, callee } = facts.consents;
  const { final } = facts;
  if (final === undefined || caller === undefined || callee === undefined) return;
  if (partyMark(salt, opening.caller) !== caller.body.party)
    yield 'with the opening it does not give the caller’s mark';
  if (partyMark(salt, opening.callee) !== callee.body.party)
    yield 'with the opening it does not give the callee’s mark';
  const chat = mark(salt, 'chat', opening.chat);
  if (chat !== caller.body.chat || chat !== callee.body.chat)
    yield 'with the opening it does not give the chat’s mark';
  const opened = commitment(salt, Buffer.from(opening.sha256, 'hex'), Buffer.from(opening.sha512, 'hex'));
  if (opened !== final.body.commitment) yield 'with the opening it does not give the commitment to the file';
}

/** The audio itself, with the server's key: its digests must be those of the opening. */
async function auditAudio(
  audit: RecordingAudit,
  opening: Opening | undefined,
  identity: string,
): Promise<void> {
  const { folder, facts } = audit;
  const [sha256, sha512] = [createHash('sha256'), createHash('sha512')];
  let crc = 0;
  let sizeBytes = 0;
  try {
    const sealed = await openSealed({ pay: pathOf(audit, 'pay'), hdr: pathOf(audit, 'hdr'), identity });
    try {
      for (; sizeBytes < sealed.sizeBytes; ) {
        const piece = await sealed.read(sizeBytes, DECRYPT_BYTES);
        sha256.update(piece);
        sha512.update(piece);
        crc = crc32(piece, crc);
        sizeBytes += piece.length;
        await folder.pace.spend(piece.length);
      }
    } finally {
      await sealed.close();
    }
  } catch (error) {
    if (!(error instanceof VerbatimError)) throw error;
    fault(audit, 'audio', 'pay', `does not decrypt: ${error.message}`, facts.final?.index);
    return;
  }
  folder.findings.counts.decrypted += 1;
  if (opening === undefined) return;
  const found = { sizeBytes, sha256: sha256.digest('hex'), sha512: sha512.digest('hex'), crc32: crc };
  for (const [name, value] of Object.entries(found)) {
    const said = new Map<string, unknown>(Object.entries(opening)).get(name);
    if (said !== value)
      fault(
        audit,
        'audio',
        'evd',
        `says ${name} ${String(said)}, the audio has ${value}`,
        facts.final?.index,
      );
  }
}

/** Size of the payload of so many bytes: a nonce of 16, and a tag of 16 for each 64 KiB (FORMAT.md of the store). */
function sealedSize(sizeBytes: number): number {
  return 16 + sizeBytes + Math.max(1, Math.ceil(sizeBytes / 65_536)) * 16;
}

function pathOf({ paths, facts }: RecordingAudit, kind: FileKind): string {
  const { recording } = facts;
  switch (kind) {
    case 'pay':
      return paths.pay(recording);
    case 'hdr':
      return paths.hdr(recording);
    case 'salt':
      return paths.salt(recording);
    case 'evd':
      return paths.evidence(recording);
  }
}

/** A link or a missing file is told. */
async function present(audit: RecordingAudit, kind: FileKind, entry: number | undefined): Promise<boolean> {
  const path = pathOf(audit, kind);
  const stat = await statOf(path);
  if (stat === undefined) fault(audit, 'missing_file', kind, 'is missing', entry);
  // What is no file was told when the folder was listed.
  return stat?.isFile() === true;
}

async function small(audit: RecordingAudit, kind: FileKind, maxBytes: number): Promise<Buffer | undefined> {
  try {
    return await readSmall(pathOf(audit, kind), maxBytes, audit.folder.pace);
  } catch (error) {
    if (!(error instanceof VerbatimError)) throw error;
    fault(audit, kind === 'salt' ? 'salt' : 'opening', kind, error.message);
    return undefined;
  }
}

function fault(
  audit: RecordingAudit,
  kind: FindingKind,
  file: FileKind,
  problem: string,
  entry?: number,
): void {
  add(audit, 'fault', kind, file, problem, entry);
}

function note(
  audit: RecordingAudit,
  kind: FindingKind,
  file: FileKind,
  problem: string,
  entry?: number,
): void {
  add(audit, 'note', kind, file, problem, entry);
}

function add(
  audit: RecordingAudit,
  severity: Severity,
  kind: FindingKind,
  file: FileKind,
  problem: string,
  entry: number | undefined,
): void {
  audit.folder.findings.add({
    severity,
    kind,
    file: shortName(audit.folder, pathOf(audit, file)),
    recording: audit.facts.recording,
    problem,
    ...(entry === undefined ? {} : { entry }),
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
