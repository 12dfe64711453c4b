import { Frontier } from '#ledger';
import type { DataPaths, LedgerReading } from '#store';
import { readLedger } from '#store';
import { FactsReader } from './audit-facts.ts';
import type { AuditFolder } from './audit-files.ts';
import type { FindingSink } from './audit-report.ts';

export interface LedgerAudit {
  folder: AuditFolder;
  paths: DataPaths;
  signerDir: string | undefined;
  /** Whose entries are kept. */
  mine: (recordingId: string) => boolean;
  /** What the published checkpoint says, whether it verifies or not. */
  sizeHint: number;
  /** Sizes at which the root is wanted, for checkpoints that openings keep. */
  sizes: ReadonlySet<number>;
  /** Undefined when only the facts are wanted: the rest was told before. */
  findings: FindingSink | undefined;
}

export interface LedgerFacts {
  reading: LedgerReading;
  facts: FactsReader;
  /** By size. */
  roots: Map<number, Buffer>;
  /** Not every entry could be read, so that a file without an entry is no fault of the file. */
  incomplete: boolean;
}

/**
 * The ledger from its first entry to its last. What it says of itself is checked by its own reader; here it is told, and
 * what the entries say of recordings is gathered.
 * @throws what the disk says when it cannot be read
 */
export async function auditLedger(audit: LedgerAudit): Promise<LedgerFacts> {
  const { folder, paths, signerDir, mine, sizes, sizeHint, findings } = audit;
  const facts = new FactsReader(mine, findings);
  const roots = new Map<number, Buffer>();
  const frontier = new Frontier();
  const reader = readLedger(paths, { live: true, ...(signerDir === undefined ? {} : { signerDir }) });
  for await (const { index, bytes, hash, entry } of reader.entries()) {
    frontier.append(hash);
    if (sizes.has(frontier.size)) roots.set(frontier.size, frontier.root());
    if (entry === undefined) facts.unread += 1;
    else facts.add(index, hash, entry);
    await folder.pace.spend(bytes?.length ?? 0);
  }
  const reading = reader.result;
  const incomplete = facts.unread > 0 || reading.size < sizeHint;
  if (findings !== undefined) tell(audit, findings, reading);
  if (findings !== undefined && incomplete) {
    const problem = 'could not be read as a whole, so not every recording can be held against its entries';
    findings.add({ severity: 'note', kind: 'ledger', problem: `the ledger ${problem}` });
  }
  return { reading, facts, roots, incomplete };
}

function tell({ signerDir }: LedgerAudit, findings: FindingSink, reading: LedgerReading): void {
  const { findingCount, size, checkpoint, memory, exists } = reading;
  for (const { file, entry, problem } of reading.findings) {
    findings.add({
      severity: 'fault',
      kind: 'ledger',
      file,
      ...(entry === undefined ? {} : { entry }),
      problem,
    });
  }
  if (findingCount > reading.findings.length) {
    const problem = `${findingCount - reading.findings.length} more faults of the ledger were counted`;
    findings.add({ severity: 'fault', kind: 'ledger', problem });
  }
  findings.counts.entries = size;
  findings.counts.covered = Math.min(size, checkpoint?.size ?? 0);
  const newer = size - (checkpoint?.size ?? 0);
  if (newer > 0) {
    const problem =
      newer === 1
        ? 'an entry is newer than the checkpoint and not yet covered by a signature'
        : `${newer} entries are newer than the checkpoint and not yet covered by a signature`;
    findings.add({ severity: 'note', kind: 'uncovered', entry: checkpoint?.size ?? 0, problem });
  }
  if (exists && memory === undefined) {
    const problem =
      signerDir === undefined
        ? 'was not looked at: an older copy of the whole folder looks the same without it'
        : 'is not there: an older copy of the whole folder looks the same without it';
    findings.add({
      severity: 'note',
      kind: 'signer_memory',
      file: signerDir ?? 'the signer’s memory',
      problem,
    });
  }
}
