import { Frontier } from '#ledger';
import type { DataPaths } from '#store';
import { accessPaths, readLedger } from '#store';
import type { AuditFolder } from './audit-files.ts';

/** A head of the access log that the ledger keeps. */
export interface Anchor {
  /** Index of its entry in the ledger. */
  entry: number;
  size: number;
  /** Hex. */
  root: string;
}

/** The log of who listened: whole in itself, and with every head that the ledger anchors. */
export async function auditAccess(
  folder: AuditFolder,
  paths: DataPaths,
  signerDir: string | undefined,
  anchors: readonly Anchor[],
): Promise<void> {
  const { findings, pace } = folder;
  const wanted = new Map(anchors.map((anchor) => [anchor.size, anchor]));
  const frontier = new Frontier();
  const reader = readLedger(accessPaths(paths), {
    live: true,
    ...(signerDir === undefined ? {} : { signerDir }),
  });
  const fault = (problem: string, more: { file?: string; entry?: number } = {}): void =>
    findings.add({ severity: 'fault', kind: 'access_log', problem, ...more });
  for await (const { bytes, hash } of reader.entries()) {
    frontier.append(hash);
    await pace.spend(bytes?.length ?? 0);
    const anchor = wanted.get(frontier.size);
    if (anchor === undefined) continue;
    wanted.delete(frontier.size);
    if (frontier.root().toString('hex') !== anchor.root)
      fault(`the first ${anchor.size} entries are not those that the ledger anchors`, {
        entry: anchor.entry,
        file: 'access',
      });
  }
  const { findings: own, findingCount, size } = reader.result;
  findings.counts.accesses = size;
  for (const { file, entry, problem } of own)
    fault(entry === undefined ? problem : `entry ${entry} of the access log: ${problem}`, { file });
  if (findingCount > own.length)
    fault(`${findingCount - own.length} more faults of the access log were counted`);
  for (const anchor of wanted.values())
    fault(`has ${size} entries, and the ledger anchors a head of ${anchor.size}`, {
      entry: anchor.entry,
      file: 'access',
    });
}
