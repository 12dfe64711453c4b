import { dataPaths, Ledger } from '#store';

/** What a fresh process needs to open a ledger. Told to the parent as one line of JSON. */
export interface OpenLedgerReport {
  openMs: number;
  /** Resident memory before and after, in bytes, and the most there ever was. */
  rssBefore: number;
  rssAfter: number;
  rssMost: number;
  /** Of the index over all entries. */
  indexBytes: number;
  size: number;
  /** From the start of the opened log to the first durable entry of this run. */
  firstAppendMs: number;
}

const [dataDir, signerDir] = process.argv.slice(2);
if (dataDir === undefined || signerDir === undefined) throw new Error('usage: open-ledger.ts DATA SIGNER');

const ignore = (): void => undefined;
const rssBefore = process.memoryUsage.rss();
const began = performance.now();
const ledger = await Ledger.open({
  paths: dataPaths(dataDir),
  signerDir,
  version: 'bench',
  log: { info: ignore, warn: ignore, error: ignore },
  onAlarm: (problem) => {
    throw new Error(problem);
  },
});
const opened = performance.now();
const rssAfter = process.memoryUsage.rss();
const { size, indexBytes } = ledger;
await ledger.append({
  t: 'config.change',
  id: `opened.${process.pid}`,
  sub: 'log',
  actor: { kind: 'server' },
  d: { what: 'bench' },
});
const report: OpenLedgerReport = {
  openMs: opened - began,
  rssBefore,
  rssAfter,
  // The system counts in KiB.
  rssMost: process.resourceUsage().maxRSS * 1024,
  indexBytes,
  size,
  firstAppendMs: performance.now() - opened,
};
await ledger.close();
process.stdout.write(`${JSON.stringify(report)}\n`);
