import type { DataPaths, JournalReader, JournalResult } from '#store';
import { readJournal } from '#store';
import type { JournalStateBody } from './audit-bodies.ts';
import type { RecordingFacts } from './audit-facts.ts';
import type { AuditFolder } from './audit-files.ts';
import { shortName, statOf } from './audit-files.ts';
import type { FindingKind, Severity } from './audit-report.ts';
import { MAX_ENTRY_JOURNALS } from './finish.ts';

export interface JournalAudit {
  folder: AuditFolder;
  paths: DataPaths;
  facts: RecordingFacts;
  /** When the ledger began: journals of before it are in no entry. */
  ledgerFromMs: number | undefined;
  /** Names of journals in quarantine. */
  quarantined: ReadonlySet<string>;
  identity: string | undefined;
}

interface WantedHead {
  head: string;
  seq: number;
  /** Who names it. */
  by: string;
  entry: number | undefined;
}

/** The journals of one recording: their chains, and the heads that entries name. */
export async function auditJournals(audit: JournalAudit, epochs: readonly number[]): Promise<void> {
  const { facts, paths, folder } = audit;
  const named = namedJournals(facts);
  const all = [...new Set([...epochs, ...named.map(({ epoch }) => epoch)])].sort((a, b) => a - b);
  for (const [n, epoch] of all.entries()) {
    const path = paths.journal(facts.recording, epoch);
    const stat = await statOf(path);
    if (stat === undefined) missing(audit, path, named, epoch);
    // What is no file was told when the folder was listed.
    if (stat?.isFile() !== true) continue;
    if (facts.removed?.done === true) {
      const [kind, problem] = ['not_removed', 'is still there, although the recording was removed'] as const;
      const { index: entry } = facts.removed;
      folder.findings.add({ severity: 'fault', kind, file: shortName(folder, path), entry, problem });
      continue;
    }
    // While it is being removed, its header may be zeros already: what it was counts no more.
    if (facts.removed !== undefined) continue;
    // What a recorder that took over says of the journal before it.
    const next = all[n + 1];
    const after = next === undefined ? undefined : await prevOf(paths.journal(facts.recording, next));
    await auditJournal(audit, path, epoch, after);
  }
}

/** What entries say about the journals: rec.final has the last word, then the last rec.failed. */
function namedJournals({ final, failed, removed }: RecordingFacts): { epoch: number; entry: number }[] {
  if (removed !== undefined) return [];
  const by = final ?? failed;
  const list = final?.body.journals ?? failed?.journals ?? [];
  return by === undefined ? [] : list.map(({ epoch }) => ({ epoch, entry: by.index }));
}

function missing(
  { folder, facts, quarantined }: JournalAudit,
  path: string,
  named: readonly { epoch: number; entry: number }[],
  epoch: number,
): void {
  const entry = named.find((each) => each.epoch === epoch)?.entry;
  const file = shortName(folder, path);
  // A recording that failed over its journals keeps them there; a final one needs them where they were.
  if (facts.final === undefined && quarantined.has(file.split('/').at(-1) ?? '')) return;
  if (entry === undefined) return;
  const { recording } = facts;
  folder.findings.add({
    severity: 'fault',
    kind: 'missing_file',
    file,
    entry,
    recording,
    problem: 'is missing',
  });
}

/** The head that a journal's header says it follows. */
async function prevOf(path: string): Promise<string | undefined> {
  const stat = await statOf(path);
  if (stat?.isFile() !== true) return undefined;
  const reader = await readJournal(path);
  try {
    return reader.header?.prev ?? undefined;
  } finally {
    await reader.close();
  }
}

async function auditJournal(
  audit: JournalAudit,
  path: string,
  epoch: number,
  nextPrev: string | undefined,
): Promise<void> {
  const { folder, facts, identity } = audit;
  const { recording, start, final } = facts;
  const file = shortName(folder, path);
  const add = (severity: Severity, kind: FindingKind, problem: string, entry?: number): void =>
    folder.findings.add({
      severity,
      kind,
      file,
      recording,
      problem,
      ...(entry === undefined ? {} : { entry }),
    });

  const wanted: WantedHead[] = [];
  if (start?.body.journal.epoch === epoch) {
    wanted.push({ ...start.body.journal, by: 'call.start', entry: start.index });
  }
  if (nextPrev !== undefined)
    wanted.push({ head: nextPrev, seq: -1, by: 'the journal after it', entry: undefined });
  const reader = await readJournal(path, identity === undefined ? {} : { identity });
  const result = await readThrough(audit, reader, wanted);
  folder.findings.counts.journals += 1;

  const { header } = reader;
  if (header === undefined)
    add(settled(facts) ? 'fault' : 'note', 'journal_damage', 'its header is not whole');
  else if (header.recording !== recording || header.epoch !== epoch) {
    add('fault', 'journal_identity', `is epoch ${header.epoch} of recording ${header.recording}`);
    return;
  } else if (facts.call !== undefined && header.call !== facts.call) {
    add('fault', 'journal_identity', `is of call ${header.call}, its entries are of ${facts.call}`);
  }
  if (facts.call === undefined) {
    const old =
      header !== undefined && Date.parse(header.created) < (audit.ledgerFromMs ?? Number.NEGATIVE_INFINITY);
    if (old) add('note', 'before_ledger', 'is older than the ledger, which knows nothing of it');
    else add('fault', 'no_entry', 'belongs to no call of the ledger');
    return;
  }
  judge(facts, epoch, result, wanted, add);
  if (
    final !== undefined &&
    header !== undefined &&
    // One that is as long as it can be names the first ones only; the coverage report, whose hash it has, names all.
    final.body.journals.length < MAX_ENTRY_JOURNALS &&
    !final.body.journals.some((each) => each.epoch === epoch)
  ) {
    add('fault', 'journal_head', 'is not among the journals that rec.final names', final.index);
  }
}

/** Every block; heads that are met are taken off the list. */
async function readThrough(
  { folder }: JournalAudit,
  reader: JournalReader,
  wanted: WantedHead[],
): Promise<JournalResult> {
  try {
    let readBytes = 0;
    const begun = wanted.findIndex(({ head, seq }) => head === reader.startHead && seq <= 0);
    if (begun >= 0) wanted.splice(begun, 1);
    for await (const { head, seq, sizeBytes } of reader) {
      const at = wanted.findIndex((each) => each.head === head && (each.seq === seq || each.seq === -1));
      if (at >= 0) wanted.splice(at, 1);
      readBytes += sizeBytes;
      folder.findings.counts.journalBlocks += 1;
      await folder.pace.spend(sizeBytes);
    }
    const { result } = reader;
    // Headers and tails.
    await folder.pace.spend(Math.max(0, result.sizeBytes - readBytes));
    return result;
  } finally {
    await reader.close();
  }
}

/** Is there an entry that says how the journals ended? Before it a journal may be in the making, or not recovered. */
function settled({ final, failed }: RecordingFacts): boolean {
  return final !== undefined || failed !== undefined;
}

function judge(
  facts: RecordingFacts,
  epoch: number,
  result: JournalResult,
  wanted: readonly WantedHead[],
  add: (severity: Severity, kind: FindingKind, problem: string, entry?: number) => void,
): void {
  const { final, failed, recovered } = facts;
  const { status, seq, head, problem = 'its chain is broken' } = result;
  const says = (states: readonly JournalStateBody[] | undefined): boolean =>
    states?.some((state) => isSame(state, epoch, result)) === true;
  const known = says(failed?.journals) || says(recovered?.journals);

  for (const each of wanted) {
    const what = each.seq < 0 ? 'a head' : `the head of block ${each.seq}`;
    const said = `does not hold ${what} that ${each.by} names`;
    // Until somebody wrote down how it ended, what was acknowledged may still lie in a recorder's log.
    if (!known) add(settled(facts) ? 'fault' : 'note', 'journal_head', said, each.entry);
  }
  const entered = final?.body.journals.find((each) => each.epoch === epoch);
  if (entered !== undefined && final !== undefined && (entered.seq !== seq || entered.head !== head)) {
    const problem = `ends with block ${seq}, head ${head || 'none'}; rec.final says block ${entered.seq}, head ${entered.head}`;
    add('fault', 'journal_head', problem, final.index);
  }
  if (status === 'complete') {
    if (final !== undefined || failed === undefined || known) return;
    const state = failed.journals.find((each) => each.epoch === epoch);
    if (state !== undefined)
      add('fault', 'journal_head', `differs from what rec.failed says of it`, failed.index);
    return;
  }
  if (known) {
    const entry = recovered?.index ?? failed?.index;
    add('note', 'unfinished', `${problem} (${status}, as the ledger says)`, entry);
  } else if (settled(facts)) {
    add('fault', 'journal_damage', `${problem} (${status})`, (final ?? failed)?.index);
  } else if (status === 'torn') {
    add('note', 'unfinished', `${problem}: it is being written, or waits to be recovered`);
  } else add('fault', 'journal_damage', `${problem} (${status})`);
}

function isSame(state: JournalStateBody, epoch: number, result: JournalResult): boolean {
  return (
    state.epoch === epoch &&
    state.seq === result.seq &&
    state.head === result.head &&
    state.status === result.status &&
    state.goodBytes === result.goodBytes &&
    state.goodBytes + state.tailBytes === result.sizeBytes
  );
}
