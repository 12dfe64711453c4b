import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { leafHash, openNote, openVerifier, parseCheckpoint, parseProof, verifyConsistency, verifyInclusion } from '#ledger';
import type { DataPaths } from '#store';
import { dataPaths, Ledger } from '#store';
import type { OpenLedgerReport } from './open-ledger.ts';

const USAGE = `usage: scripts/bench/ledger [--entries 1000000] [--seconds 2] [--runs 5] [--json]

Makes a ledger in a temporary folder, which it removes, with the server's own writer, and measures:

  append    durable entries a second and how long each took, with 1, 16 and 256 appenders that each wait for their
            entry; tiles and signed heads are written meanwhile as in the server
  fill      until there are so many entries, with ${2_000} on their way at a time, heads included
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
    await fill(ledger, entries, paths);
    await measureProofs(ledger);
    const began = performance.now();
    await ledger.close();
    results.push({ name: 'close', figures: { ms: performance.now() - began } });
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

async function measureAppends(ledger: Ledger, appenders: number, seconds: number, runs: number): Promise<void> {
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
  latencies.sort((a, b) => a - b);
  const name = `append, ${appenders} at a time`;
  const p99 = latencies[Math.floor(latencies.length * 0.99)] ?? 0;
  const figures = { 'entries/s': spreadOf(rates), 'ms each': spreadOf(latencies), 'ms p99': p99 };
  results.push({ name, figures });
}

async function fill(ledger: Ledger, entries: number, paths: DataPaths): Promise<void> {
  const from = ledger.size;
  const began = performance.now();
  for (let batch = 1; ledger.size < entries; batch += 1) {
    const count = Math.min(BATCH, entries - ledger.size);
    await Promise.all(Array.from({ length: count }, () => append(ledger)));
    if (batch % BATCHES_AHEAD === 0) await ledger.covered(ledger.size - 1);
  }
  await ledger.covered(ledger.size - 1);
  const seconds = (performance.now() - began) / 1000;
  const figures = {
    entries: ledger.size,
    seconds,
    'entries/s': (ledger.size - from) / seconds,
    'MB on disk': (await bytesOf(paths.ledger)) / 1e6,
  };
  results.push({ name: 'fill', figures });
}

async function measureProofs(ledger: Ledger): Promise<void> {
  const note = ledger.checkpoint ?? '';
  const { size, root } = parseCheckpoint(openNote(note, [openVerifier(ledger.vkey)]).text);
  const sizes = { hashes: [] as number[], bytes: [] as number[], make: [] as number[], check: [] as number[] };
  for (let n = 0; n < PROOFS; n += 1) {
    const index = randomInt(size);
    const leaf = leafHash(await ledger.entry(index));
    const began = performance.now();
    const text = await ledger.proof(index, note);
    const made = performance.now();
    const { hashes } = parseProof(text);
    verifyInclusion({ index, size, leaf, proof: hashes, root });
    sizes.check.push(performance.now() - made);
    sizes.make.push(made - began);
    sizes.hashes.push(hashes.length);
    sizes.bytes.push(text.length);
  }
  results.push({ name: 'inclusion proof', figures: proofFigures(sizes) });

  const older = { hashes: [] as number[], bytes: [] as number[], make: [] as number[], check: [] as number[] };
  for (let n = 0; n < PROOFS; n += 1) {
    const from = 1 + randomInt(size - 1);
    const began = performance.now();
    const proof = await ledger.consistency(from, size);
    const made = performance.now();
    const fromRoot = consistentRoot(from, proof);
    const checkFrom = performance.now();
    // The older root is not kept anywhere; a wrong one costs as much to refuse as the right one to accept.
    try {
      verifyConsistency({ from, to: size, fromRoot, toRoot: root, proof });
    } catch {
      // Expected, unless the older tree was complete.
    }
    older.check.push(performance.now() - checkFrom);
    older.make.push(made - began);
    older.hashes.push(proof.length);
    older.bytes.push(proof.length * 32);
  }
  results.push({ name: 'consistency proof', figures: proofFigures(older) });
}
