import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { FinaliseStage } from '../../recorder-worker/finalise.ts';
import { finaliseRecording } from '../../recorder-worker/finalise.ts';
import { createKeys, writeJournal } from '../../recorder-worker/test/journals.ts';
import { generatedRecords } from './generated-call.ts';

const USAGE = `usage: scripts/bench/finalise [--minutes 60] [--runs 5] [--calls 1]

Writes the journal of a generated call (two legs, 50 packets a second each, loss, jitter, drift and sender
reports) and finalises it, and prints how long each stage takes. With --calls N it also finalises N such
recordings one after the other, as after N hang-ups at once.

  read     read, verify, decrypt, order and align
  mux      WebM in memory
  seal     encrypt, write, fsync
  compare  decrypt the written file and compare it with a second read and remux of the journal
  rename   give it its name, fsync the directory
  cpu      processor time of the whole, all threads: on a busy machine the figure to compare
`;

type Row = FinaliseStage | 'total' | 'cpu';

const STAGES: readonly FinaliseStage[] = ['read', 'mux', 'seal', 'compare', 'rename'];
const RECORDING = '018f0000-0000-7000-8000-0000000000bb';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    runs: { type: 'string', default: '5' },
    calls: { type: 'string', default: '1' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) process.stdout.write(USAGE);
else await main(whole('minutes', values.minutes), whole('runs', values.runs), whole('calls', values.calls));

async function main(minutes: number, runs: number, calls: number): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-bench-'));
  try {
    const keys = await createKeys();
    const records = generatedRecords(minutes);
    const { path: journal } = await writeJournal({ dir, keys, recording: RECORDING, records });
    const { size } = await stat(journal);
    const finalise = (name: string, times: Map<Row, number[]>) =>
      timed(times, 'total', () =>
        finaliseRecording({
          journals: [journal],
          recordingId: RECORDING,
          ...keys,
          pay: join(dir, `${name}.pay`),
          hdr: join(dir, `${name}.hdr`),
          onStage: (stage, ms) => add(times, stage, ms),
        }),
      );
    const times = new Map<Row, number[]>();
    for (let run = 0; run < runs; run += 1) {
      const result = await finalise(`run-${run}`, times);
      if (!result.ok) throw new Error(`${result.reason}: ${result.detail}`);
      if (run === 0) {
        const packets = result.legs.reduce((sum, leg) => sum + leg.packets, 0);
        console.log(
          `journal ${mb(size)} MB, ${packets} packets, ${minutes} min; file ${mb(result.sizeBytes)} MB, combined ${result.combined}`,
        );
      }
    }
    console.log(
      `${'stage'.padEnd(10)}${'median ms'.padStart(11)}${'least'.padStart(9)}${'most'.padStart(9)}`,
    );
    for (const stage of [...STAGES, 'total', 'cpu'] as const) row(stage, times.get(stage) ?? []);
    const verifyToMux = sums(times, ['read', 'mux']);
    row('read+mux', verifyToMux);
    if (calls > 1) {
      const start = performance.now();
      for (let call = 0; call < calls; call += 1) await finalise(`call-${call}`, new Map());
      console.log(
        `${calls} recordings of ${minutes} min: ${((performance.now() - start) / 1000).toFixed(2)} s`,
      );
    }
    console.log(`memory ${mb(process.resourceUsage().maxRSS * 1024)} MB at most, the generator included`);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function timed<T>(times: Map<Row, number[]>, name: 'total', work: () => Promise<T>) {
  const start = performance.now();
  const cpu = process.cpuUsage();
  const result = await work();
  add(times, name, performance.now() - start);
  const { user, system } = process.cpuUsage(cpu);
  add(times, 'cpu', (user + system) / 1000);
  return result;
}

function add(times: Map<Row, number[]>, name: Row, ms: number): void {
  times.set(name, [...(times.get(name) ?? []), ms]);
}

function sums(times: Map<Row, number[]>, names: FinaliseStage[]): number[] {
  const columns = names.map((name) => times.get(name) ?? []);
  return (columns[0] ?? []).map((_, run) => columns.reduce((sum, column) => sum + (column[run] ?? 0), 0));
}

function row(name: string, values: readonly number[]): void {
  const sorted = [...values].sort((a, b) => a - b);
  const cell = (value: number | undefined) => (value ?? 0).toFixed(1);
  console.log(
    name.padEnd(10) +
      cell(sorted[sorted.length >> 1]).padStart(11) +
      cell(sorted[0]).padStart(9) +
      cell(sorted.at(-1)).padStart(9),
  );
}

function mb(bytes: number): string {
  return (bytes / 1_000_000).toFixed(1);
}

function whole(name: string, value: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= 1 && number <= 1440) return number;
  process.stderr.write(`--${name}: expected a whole number from 1 to 1440, got ${value}\n${USAGE}`);
  process.exit(2);
}
