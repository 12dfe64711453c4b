/** A fault is what must not be; a note is what somebody who judges the folder should know. */
export type Severity = 'fault' | 'note';

/** What can be found, in the order in which it is told. */
export const FINDING_KINDS = {
  unreadable: 'files that the disk does not give back',
  symlink: 'links where files belong',
  special_file: 'things that are no regular files',
  ledger: 'the ledger contradicts itself',
  entry_body: 'entries that do not say what their type says',
  entry_order: 'entries in an impossible order',
  no_entry: 'files that belong to no entry',
  missing_file: 'files that an entry names and that are not there',
  journal_identity: 'journals of another recording',
  journal_damage: 'journals whose chain is broken',
  journal_head: 'journals that do not have the entered heads',
  sealed_file: 'sealed files that are not the entered ones',
  salt: 'salts that are none, or of another recording',
  opening: 'openings that do not open what was entered',
  verifier: 'verifiers that are not what their name says',
  audio: 'audio that is not what was entered',
  not_removed: 'files of removed recordings',
  removal: 'removals that nobody ordered',
  quarantine: 'quarantined files',
  access_log: 'the log of who listened contradicts itself or the ledger',
  signer_memory: 'the memory of the signer',
  clock_step: 'steps of the clock',
  uncovered: 'entries newer than the checkpoint',
  unfinished: 'recordings that are not finished',
  before_ledger: 'recordings of before the ledger',
  stray_file: 'files that are no part of the evidence',
} as const;
export type FindingKind = keyof typeof FINDING_KINDS;

export interface Finding {
  severity: Severity;
  kind: FindingKind;
  /** Relative to the data folder, or absolute for a file outside it. */
  file?: string;
  /** Index in the ledger. */
  entry?: number;
  recording?: string;
  problem: string;
}

/** What was looked at. */
export interface AuditCounts {
  entries: number;
  /** Entries that the published checkpoint covers. */
  covered: number;
  recordings: number;
  journals: number;
  journalBlocks: number;
  sealedFiles: number;
  salts: number;
  openings: number;
  /** Only with the key. */
  decrypted: number;
  quarantined: number;
  /** Entries of the access log. */
  accesses: number;
  bytes: number;
}

export interface AuditReport {
  /** True when there is no fault. */
  ok: boolean;
  faults: number;
  notes: number;
  /** How many of each kind and severity. */
  byKind: { kind: FindingKind; severity: Severity; count: number }[];
  /** Faults first, then notes, each by kind; the first `MAX_FINDINGS` of each severity. */
  findings: Finding[];
  counts: AuditCounts;
  /** Of the log: its name, and the newest published head as signed note. */
  origin: string | undefined;
  checkpoint: string | undefined;
  elapsedMs: number;
}

/** More is only counted: a folder that was overwritten as a whole would name each of its files. */
export const MAX_FINDINGS = 1000;

/** Where findings go: to the report, or aside until it is clear that they stay. */
export interface FindingSink {
  readonly counts: AuditCounts;
  add(finding: Finding): void;
}

export class AuditFindings implements FindingSink {
  readonly counts: AuditCounts = {
    entries: 0,
    covered: 0,
    recordings: 0,
    journals: 0,
    journalBlocks: 0,
    sealedFiles: 0,
    salts: 0,
    openings: 0,
    decrypted: 0,
    quarantined: 0,
    accesses: 0,
    bytes: 0,
  };
  readonly #kept = { fault: [] as Finding[], note: [] as Finding[] };
  readonly #byKind = new Map<string, { kind: FindingKind; severity: Severity; count: number }>();
  readonly #onFinding: ((finding: Finding) => void) | undefined;

  constructor(onFinding?: (finding: Finding) => void) {
    this.#onFinding = onFinding;
  }

  add(finding: Finding): void {
    const { kind, severity } = finding;
    const key = `${severity} ${kind}`;
    const counted = this.#byKind.get(key);
    if (counted === undefined) this.#byKind.set(key, { kind, severity, count: 1 });
    else counted.count += 1;
    const kept = this.#kept[severity];
    if (kept.length < MAX_FINDINGS) kept.push(finding);
    this.#onFinding?.(finding);
  }

  report(more: Pick<AuditReport, 'origin' | 'checkpoint' | 'elapsedMs'>): AuditReport {
    const byKind = [...this.#byKind.values()].sort(inOrder);
    const count = (severity: Severity): number =>
      byKind.reduce((sum, each) => sum + (each.severity === severity ? each.count : 0), 0);
    const [faults, notes] = [count('fault'), count('note')];
    const findings = [...this.#kept.fault.toSorted(inOrder), ...this.#kept.note.toSorted(inOrder)];
    return { ok: faults === 0, faults, notes, byKind, findings, counts: this.counts, ...more };
  }
}

const ORDER = Object.keys(FINDING_KINDS);
const inOrder = (
  a: { severity: Severity; kind: FindingKind },
  b: { severity: Severity; kind: FindingKind },
): number =>
  a.severity === b.severity ? ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind) : a.severity === 'fault' ? -1 : 1;

/** One sentence: file, entry, what is wrong. */
export function findingSentence({ file, entry, recording, problem }: Finding): string {
  const where = [
    file,
    entry === undefined ? undefined : `entry ${entry}`,
    file === undefined && recording !== undefined ? `recording ${recording}` : undefined,
  ].filter((part) => part !== undefined);
  return `${where.join(', ')}${where.length > 0 ? ': ' : ''}${problem}`;
}
