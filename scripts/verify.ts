import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig } from '#config';
import { dataPaths, readIdentity } from '#store';
import type { BundleReport } from '../client/verify/index.ts';
import { MAX_BUNDLE_BYTES, verifyBundle } from '../client/verify/index.ts';
import type { AuditReport, Finding } from '../core/evidence/audit.ts';
import { auditFolder, FINDING_KINDS, findingSentence } from '../core/evidence/audit.ts';
import { assertDataFolder } from './lib/data-folder.ts';
import { OperatorError, sentenceOf } from './lib/operator-error.ts';
import { ProgressBar } from './lib/progress-bar.ts';

const HELP = `Usage: scripts/verify [OPTIONS]
       scripts/verify --bundle FILE [--json]

Checks a data folder against its ledger: every entry, tile, checkpoint, journal and sealed file. Needs no network, no
database and no secret, and changes nothing. The server may run meanwhile, or not.

  --data-dir DIR    (or --data) the data folder; that of the settings unless given
  --signer-dir DIR  the signer's memory; that of the settings, or DIR.signer beside the data folder. Without it an
                    older copy of the whole folder cannot be told from the newest
  --with-key        opens the audio too, with the key in the data folder's secrets/
  --rate MB/S       reads no faster than this
  --bundle FILE     checks an evidence bundle instead of a folder
  --config FILE     settings, as for scripts/start
  --json            prints one line of JSON instead

Ends with 0 when all is well, 1 when something is not, 2 when it could not be checked.
`;

const MEGABYTE = 1_000_000;
/** Notes that are printed in full; all of them are in the JSON. */
const MAX_PRINTED_NOTES = 20;

const root = resolve(import.meta.dirname, '..');

const OK = 0;
const FAULTY = 1;
const UNUSABLE = 2;

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${sentenceOf(error)}\n`);
  process.exitCode = UNUSABLE;
}

type Options = ReturnType<typeof parse>;

async function main(argv: string[]): Promise<number> {
  const options = parse(argv);
  if (options.help) {
    process.stdout.write(HELP);
    return OK;
  }
  return options.bundle === undefined
    ? verifyFolder(options)
    : verifyFile(options.bundle, options.json === true);
}

function parse(args: string[]) {
  return parseArgs({
    args,
    options: {
      'data-dir': { type: 'string' },
      // As `start` and `ledger` call it.
      data: { type: 'string' },
      'signer-dir': { type: 'string' },
      'with-key': { type: 'boolean' },
      rate: { type: 'string' },
      bundle: { type: 'string' },
      config: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  }).values;
}

async function verifyFolder(options: Options): Promise<number> {
  const { dataDir, signerDir } = foldersOf(options);
  await assertDataFolder(dataDir);
  const bytesPerSecond = rateOf(options.rate);
  const identity = options['with-key'] ? await readIdentity(dataPaths(dataDir).secrets) : undefined;
  const bar = new ProgressBar(process.stderr);
  const stop = new AbortController();
  const onInterrupt = (): void => stop.abort(new OperatorError('Stopped before everything was checked.'));
  process.once('SIGINT', onInterrupt);
  let report: AuditReport;
  try {
    report = await auditFolder({
      dataDir,
      signerDir,
      signal: stop.signal,
      onProgress: (progress) => bar.show(progress),
      ...(identity === undefined ? {} : { identity }),
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
    });
  } finally {
    process.removeListener('SIGINT', onInterrupt);
    bar.end();
  }
  const text = options.json ? `${JSON.stringify({ dataDir, ...report })}\n` : tableOf(dataDir, report);
  process.stdout.write(text);
  return report.ok ? OK : FAULTY;
}

/** The settings say where the folders are, unless both are given. */
function foldersOf(options: Options): { dataDir: string; signerDir: string } {
  const given = options['data-dir'] ?? options.data;
  const config =
    given !== undefined && options.config === undefined
      ? undefined
      : loadConfig({ ...(options.config ? { path: resolve(options.config) } : {}), cwd: root });
  const dataDir = given === undefined ? config?.dataDir : resolve(given);
  if (dataDir === undefined) throw new OperatorError('There is no data folder in the settings: see --help.');
  const signer = options['signer-dir'];
  return {
    dataDir,
    signerDir: signer === undefined ? (config?.ledger.signerDir ?? `${dataDir}.signer`) : resolve(signer),
  };
}

/** Megabytes a second as bytes. */
function rateOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const rate = Number(text);
  if (!(rate > 0) || !Number.isFinite(rate))
    throw new OperatorError(`--rate takes a number of MB/s above 0, got "${text}".`);
  return rate * MEGABYTE;
}

function tableOf(dataDir: string, report: AuditReport): string {
  const { counts, origin, findings, byKind, faults, elapsedMs } = report;
  const seconds = elapsedMs / 1000;
  const speed = `${(counts.bytes / MEGABYTE / Math.max(seconds, 0.001)).toFixed(0)} MB/s`;
  const rows: [string, string][] = [
    ['data folder', dataDir],
    [
      'ledger',
      origin === undefined ? 'none' : `${origin}: ${counts.entries} entries, ${counts.covered} covered`,
    ],
    ['recordings', `${counts.recordings} in the ledger`],
    ['journals', `${counts.journals} with ${counts.journalBlocks} blocks`],
    [
      'sealed files',
      `${counts.sealedFiles}${counts.decrypted > 0 ? `, ${counts.decrypted} recordings decrypted` : ''}`,
    ],
    ['salts, openings', `${counts.salts}, ${counts.openings}`],
    ['quarantined', `${counts.quarantined}`],
    ['read', `${(counts.bytes / MEGABYTE).toFixed(1)} MB in ${seconds.toFixed(1)} s, ${speed}`],
  ];
  const lines = rows.map(([name, value]) => `${name.padEnd(17)}${value}`);
  if (byKind.length > 0) lines.push('', 'found');
  for (const { kind, severity, count } of byKind) {
    lines.push(`  ${severity.padEnd(7)}${FINDING_KINDS[kind].padEnd(54)}${String(count).padStart(7)}`);
  }
  lines.push(...faultLines(report));
  const notes = findings.filter(({ severity }) => severity === 'note');
  if (notes.length > 0) lines.push('', 'notes');
  for (const note of notes.slice(0, MAX_PRINTED_NOTES)) lines.push(`  ${findingSentence(note)}`);
  if (report.notes > MAX_PRINTED_NOTES) lines.push(`  and ${report.notes - MAX_PRINTED_NOTES} more (--json)`);
  lines.push(
    '',
    faults === 0 ? 'No fault found.' : faults === 1 ? '1 fault found.' : `${faults} faults found.`,
  );
  return lines.map((line) => `${line}\n`).join('');
}

/** The first class of faults one by one, the rest as a number. */
function faultLines({ findings, faults }: AuditReport): string[] {
  const [first] = findings;
  if (first === undefined || first.severity !== 'fault') return [];
  const ofClass = findings.filter((each: Finding) => each.severity === 'fault' && each.kind === first.kind);
  const lines = [
    '',
    `faults: ${FINDING_KINDS[first.kind]}`,
    ...ofClass.map((each) => `  ${findingSentence(each)}`),
  ];
  const rest = faults - ofClass.length;
  if (rest > 0) lines.push(`  and ${rest} more ${rest === 1 ? 'fault' : 'faults'} (--json)`);
  return lines;
}

async function verifyFile(file: string, json: boolean): Promise<number> {
  const report = await verifyBundle(await bytesOf(resolve(file)));
  process.stdout.write(
    json ? `${JSON.stringify({ bundle: resolve(file), ...report })}\n` : bundleText(report),
  );
  return report.ok ? OK : FAULTY;
}

async function bytesOf(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const handle = await open(path, 'r');
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) {
      throw new OperatorError(`${path} is no file: --bundle takes the zip as it was downloaded.`);
    }
    const { size } = stat;
    if (size > MAX_BUNDLE_BYTES)
      throw new OperatorError(`${path} has ${size} bytes: no evidence bundle is so large.`);
    const bytes = new Uint8Array(size);
    let filled = 0;
    while (filled < size) {
      const { bytesRead } = await handle.read(bytes, filled, size - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } finally {
    await handle.close();
  }
}

function bundleText({ ok, checks, facts }: BundleReport): string {
  const lines = checks.map(
    (each) => `${each.ok ? 'ok    ' : 'FAULT '}${each.check.padEnd(20)}${each.detail}`,
  );
  if (ok && facts !== undefined) {
    lines.push('');
    const rows: [string, string][] = [
      ['call', `${facts.startedAt} to ${facts.endedAt}`],
      ['caller, callee', `${facts.caller}, ${facts.callee}`],
      ['SHA-256', facts.sha256],
      ['ledger', facts.origin],
      ...facts.vkeys.map((vkey): [string, string] => ['signed by', vkey]),
    ];
    lines.push(...rows.map(([name, value]) => `${name.padEnd(17)}${value}`));
  }
  lines.push('', ok ? 'No fault found.' : 'This bundle proves nothing.');
  return lines.map((line) => `${line}\n`).join('');
}
