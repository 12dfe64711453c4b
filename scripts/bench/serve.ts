import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openSealed } from '#store';
import type { SealedSource } from '../../core/library/index.ts';
import { Remuxes } from '../../core/library/remux/remuxes.ts';
import { finaliseRecording } from '../../recorder-worker/finalise.ts';
import { createKeys, writeJournal } from '../../recorder-worker/test/journals.ts';
import { generatedRecords } from './generated-call.ts';

const USAGE = `usage: scripts/bench/serve [--minutes 60] [--runs 9]

Finalises the journal of a generated call and reads the recording as it is served: as WebM, MP4 and Ogg.

  index    the first time MP4 or Ogg is asked for: every packet is found (WebM needs none)
  first    open, and the first byte
  seek     open, and 64 KiB from a random place
  MB/s     the whole file, decrypted, remuxed and dropped
`;

const RECORDING = '018f0000-0000-7000-8000-0000000000bc';
const SEEK_BYTES = 65_536;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    runs: { type: 'string', default: '9' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) process.stdout.write(USAGE);
else await main(whole('minutes', values.minutes), whole('runs', values.runs));

async function main(minutes: number, runs: number): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-bench-'));
  try {
    const keys = await createKeys();
    const records = generatedRecords(minutes);
    const { path: journal } = await writeJournal({ dir, keys, recording: RECORDING, records });
    const sealed = { pay: join(dir, 'a.pay'), hdr: join(dir, 'a.hdr') };
    const result = await finaliseRecording({
      journals: [journal],
      recordingId: RECORDING,
      ...keys,
      ...sealed,
    });
    if (!result.ok) throw new Error(`${result.reason}: ${result.detail}`);
    console.log(
      `a recording of ${minutes} min, ${(result.sizeBytes / 1e6).toFixed(1)} MB; ms: median (least-most)`,
    );
    const open = (): Promise<SealedSource> => openSealed({ ...sealed, identity: keys.identity });
    await measure('webm', runs, { open });
    for (const container of ['mp4', 'ogg'] as const) {
      const remuxes = new Remuxes(open);
      await measure(container, runs, {
        open: () => remuxes.open(RECORDING, 'ab'.repeat(32), container),
        forget: () => remuxes.forget(RECORDING),
      });
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function measure(
  name: string,
  runs: number,
  { open, forget }: { open: () => Promise<SealedSource>; forget?: () => void },
): Promise<void> {
  const times = { index: [] as number[], first: [] as number[], seek: [] as number[], rate: [] as number[] };
  for (let run = 0; run < runs; run += 1) {
    if (forget !== undefined) {
      forget();
      times.index.push(await timed(async () => (await open()).close()));
    }
    times.first.push(await timed(() => read(open, 0, 1)));
    times.seek.push(await timed(() => read(open, (size) => randomInt(size - SEEK_BYTES), SEEK_BYTES)));
    let bytes = 0;
    const ms = await timed(async () => {
      bytes = await read(open, 0, Number.POSITIVE_INFINITY);
    });
    times.rate.push(bytes / 1_000 / ms);
  }
  const cells = Object.entries(times)
    .filter(([, values]) => values.length > 0)
    .map(([what, values]) => `${what === 'rate' ? 'MB/s' : what} ${spread(values)}`);
  console.log(`${name.padEnd(5)} ${cells.join('   ')}`);
}

async function read(
  open: () => Promise<SealedSource>,
  at: number | ((sizeBytes: number) => number),
  length: number,
): Promise<number> {
  const source = await open();
  try {
    const offset = typeof at === 'number' ? at : at(source.sizeBytes);
    let bytes = 0;
    for await (const piece of source.stream(offset, Math.min(offset + length, source.sizeBytes)))
      bytes += (piece as Buffer).length;
    return bytes;
  } finally {
    await source.close();
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function spread(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const cell = (value: number | undefined) => (value ?? 0).toFixed(1);
  return `${cell(sorted[sorted.length >> 1])} (${cell(sorted[0])}-${cell(sorted.at(-1))})`;
}

function whole(name: string, value: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= 1 && number <= 1440) return number;
  process.stderr.write(`--${name}: expected a whole number from 1 to 1440, got ${value}\n${USAGE}`);
  process.exit(2);
}
