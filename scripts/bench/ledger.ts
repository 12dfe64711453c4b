import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import type { Checkpoint } from '#ledger';
import {
  HASH_BYTES,
  leafHash,
  openNote,
  openVerifier,
  parseCheckpoint,
  parseProof,
  verifyConsistency,
  verifyInclusion,
} from '#ledger';
import type { DataPaths } from '#store';
import { dataPaths, Ledger } from '#store';
import type { OpenLedgerReport } from './open-ledger.ts';

const USAGE = `usage: scripts/bench/ledger [--entries 1000000] [--seconds 2] [--runs 5] [--json]

Makes a ledger in a temporary folder, which it removes, with the server's own writer, and measures:

  append    durable entries a second and how long each took, with 1, 16 and 256 appenders that each wait for their
            entry; tiles and signed heads are written meanwhile as in the server
  fill      until there are so many entries, with 2,000 on their way at a time, heads included
  proofs    bytes and time of inclusion proofs (as C2SP tlog-proof) and consistency proofs over the filled tree
  open      time and memory of a fresh process that opens it, and its first durable entry

Figures are medians with the least and the most beside them.

  --entries N  entries of the filled tree
  --seconds N  of each append run
  --runs N     append runs for each number of appenders, and opens
  --json       one JSON object instead of the table
`;

const APPENDERS = [1, 16, 256];
const BATCH = 2_000;
/** So many batches may be ahead of the published head: far below what the ledger holds in memory. */
const BATCHES_AHEAD = 10;
const PROOFS = 500;
const SUBJECT_ENTRIES = 5;
/** About as long as the entries of a call are on average. */
const DETAIL = 'x'.repeat(500);
const MAX_ENTRIES = 5_000_000;
const MAX_SECONDS = 60;
const MAX_RUNS = 50;

const { values } = parseArgs({
  options: {
    entries: { type: 'string', default: '1000000' },
    seconds: { type: 'string', default: '2' },
    runs: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

/** Median, least and most. */
interface Spread {
  median: number;
  least: number;
  most: number;
}

const results: { name: string; figures: Record<string, Spread | number> }[] = [];
const ignore = (): void => undefined;
let entered = 0;

async function main(entries: number, seconds: number, runs: number): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-bench-'));
  const paths = dataPaths(join(dir, 'data'));
  const signerDir = join(dir, 'signer');
  results.push({ name: 'machine', figures: { 'load before': loadavg()[0] ?? 0 } });
  let ledger: Ledger | undefined;
  try {
    ledger = await Ledger.open({
      paths,
      signerDir,
      version: 'bench',
      log: { info: ignore, warn: ignore, error: ignore },
      onAlarm: (problem) => {
        throw new Error(problem);
      },
    });
    for (const appenders of APPENDERS) await measureAppends(ledger, appenders, seconds, runs);
    const heads = await fill(ledger, entries);
    await measureProofs(ledger, heads);
    const began = performance.now();
    await ledger.close();
    const ms = performance.now() - began;
    // Only now is nothing removed any more.
    results.push({ name: 'close', figures: { ms, 'MB on disk': (await bytesOf(paths.ledger)) / 1e6 } });
    await measureOpen(paths, signerDir, runs);
  } finally {
    await ledger?.close();
    await rm(dir, { recursive: true, force: true, maxRetries: 10 });
  }
  if (values.json) process.stdout.write(`${JSON.stringify(results, undefined, 1)}\n`);
  else for (const { name, figures } of results) print(name, figures);
}

async function append(ledger: Ledger): Promise<void> {
  const n = entered++;
  await ledger.append({
    t: 'config.change',
    id: `n.${n}`,
    sub: `bench:${Math.floor(n / SUBJECT_ENTRIES)}`,
    actor: { kind: 'server' },
    d: { what: DETAIL },
  });
}

async function measureAppends(
  ledger: Ledger,
  appenders: number,
  seconds: number,
  runs: number,
): Promise<void> {
  const rates: number[] = [];
  const latencies: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    let count = 0;
    const began = performance.now();
    const until = began + seconds * 1000;
    await Promise.all(
      Array.from({ length: appenders }, async () => {
        while (performance.now() < until) {
          const from = performance.now();
          await append(ledger);
          latencies.push(performance.now() - from);
          count += 1;
        }
      }),
    );
    rates.push((count * 1000) / (performance.now() - began));
    await ledger.covered(ledger.size - 1);
  }
  const name = `append, ${appenders} at a time`;
  const p99 = latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length * 0.99)] ?? 0;
  const figures = { 'entries/s': spreadOf(rates), 'ms each': spreadOf(latencies), 'ms p99': p99 };
  results.push({ name, figures });
}

/** Fills the log. Answers heads that were published on the way. */
async function fill(ledger: Ledger, entries: number): Promise<Checkpoint[]> {
  const heads: Checkpoint[] = [];
  const keep = async (): Promise<void> => {
    heads.push(headOf(ledger, await ledger.covered(ledger.size - 1)));
  };
  const from = ledger.size;
  const began = performance.now();
  for (let batch = 1; ledger.size < entries; batch += 1) {
    const count = Math.min(BATCH, entries - ledger.size);
    await Promise.all(Array.from({ length: count }, () => append(ledger)));
    if (batch % BATCHES_AHEAD === 0) await keep();
  }
  await keep();
  const seconds = (performance.now() - began) / 1000;
  const figures = {
    entries: ledger.size,
    seconds,
    'entries/s': (ledger.size - from) / seconds,
  };
  results.push({ name: 'fill', figures });
  return heads;
}

async function measureProofs(ledger: Ledger, heads: readonly Checkpoint[]): Promise<void> {
  const note = ledger.checkpoint ?? '';
  const { size, root } = headOf(ledger, note);
  const inclusion = new ProofFigures();
  for (let n = 0; n < PROOFS; n += 1) {
    const index = randomInt(size);
    const leaf = leafHash(await ledger.entry(index));
    const began = performance.now();
    const text = await ledger.proof(index, note);
    const made = performance.now();
    const { hashes } = parseProof(text);
    verifyInclusion({ index, size, leaf, proof: hashes, root });
    inclusion.add({
      hashes: hashes.length,
      bytes: text.length,
      makeMs: made - began,
      checkMs: performance.now() - made,
    });
  }
  results.push({ name: 'inclusion proof', figures: inclusion.figures });

  const consistency = new ProofFigures();
  for (let n = 0; n < PROOFS; n += 1) {
    const older = heads[randomInt(heads.length)];
    if (older === undefined) break;
    const began = performance.now();
    const proof = await ledger.consistency(older.size, size);
    const made = performance.now();
    verifyConsistency({ from: older.size, to: size, fromRoot: older.root, toRoot: root, proof });
    const [hashes, bytes] = [proof.length, proof.length * HASH_BYTES];
    consistency.add({ hashes, bytes, makeMs: made - began, checkMs: performance.now() - made });
  }
  results.push({ name: 'consistency proof', figures: consistency.figures });
}

/** Each in a process of its own, so that its memory is that of opening and nothing else. */
async function measureOpen(paths: DataPaths, signerDir: string, runs: number): Promise<void> {
  const reports: OpenLedgerReport[] = [];
  const child = fileURLToPath(new URL('./open-ledger.ts', import.meta.url));
  for (let run = 0; run < runs; run += 1) {
    const { stdout } = await promisify(execFile)(process.execPath, [child, paths.dataDir, signerDir]);
    reports.push(JSON.parse(stdout) as OpenLedgerReport);
  }
  const of = (pick: (report: OpenLedgerReport) => number): Spread => spreadOf(reports.map(pick));
  const figures = {
    'entries found': of(({ size }) => size),
    seconds: of(({ openMs }) => openMs / 1000),
    'MB before': of(({ rssBefore }) => rssBefore / 1e6),
    'MB after': of(({ rssAfter }) => rssAfter / 1e6),
    'MB at most': of(({ rssMost }) => rssMost / 1e6),
    'MB of index': of(({ indexBytes }) => indexBytes / 1e6),
    'ms first entry': of(({ firstAppendMs }) => firstAppendMs),
  };
  results.push({ name: 'open', figures });
}

class ProofFigures {
  readonly #all = {
    hashes: [] as number[],
    bytes: [] as number[],
    makeMs: [] as number[],
    checkMs: [] as number[],
  };

  add(proof: { hashes: number; bytes: number; makeMs: number; checkMs: number }): void {
    this.#all.hashes.push(proof.hashes);
    this.#all.bytes.push(proof.bytes);
    this.#all.makeMs.push(proof.makeMs);
    this.#all.checkMs.push(proof.checkMs);
  }

  get figures(): Record<string, Spread> {
    const { hashes, bytes, makeMs, checkMs } = this.#all;
    return {
      hashes: spreadOf(hashes),
      bytes: spreadOf(bytes),
      'ms to make': spreadOf(makeMs),
      'ms to check': spreadOf(checkMs),
    };
  }
}

function headOf(ledger: Ledger, note: string): Checkpoint {
  return parseCheckpoint(openNote(note, [openVerifier(ledger.vkey)]).text);
}

async function bytesOf(dir: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  return bytes;
}

function spreadOf(all: readonly number[]): Spread {
  const sorted = all.toSorted((a, b) => a - b);
  const median = sorted[sorted.length >> 1] ?? 0;
  return { median, least: sorted[0] ?? 0, most: sorted.at(-1) ?? 0 };
}

function print(name: string, figures: Record<string, Spread | number>): void {
  for (const [at, [what, value]] of Object.entries(figures).entries()) {
    const text =
      typeof value === 'number'
        ? short(value)
        : `${short(value.median).padEnd(10)} (${short(value.least)} to ${short(value.most)})`;
    console.log(`${(at === 0 ? name : '').padEnd(24)}${what.padEnd(18)}${text}`);
  }
}

function short(value: number): string {
  if (value >= 1000 || Number.isInteger(value)) return String(Math.round(value));
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function whole(name: string, value: string, most: number): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= 1 && number <= most) return number;
  process.stderr.write(`--${name}: expected a whole number from 1 to ${most}, got ${value}\n${USAGE}`);
  process.exit(2);
}

if (values.help) process.stdout.write(USAGE);
else
  await main(
    whole('entries', values.entries, MAX_ENTRIES),
    whole('seconds', values.seconds, MAX_SECONDS),
    whole('runs', values.runs, MAX_RUNS),
  );
