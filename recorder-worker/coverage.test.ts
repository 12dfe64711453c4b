import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Decrypter } from 'age-encryption';
import fc from 'fast-check';
import t from 'tap';
import { finaliseRecording } from './finalise.ts';
import type { GeneratedCall, GeneratedRecord, LegPlan, SentFrame } from './test/calls.ts';
import { generateCall, MONOTONIC_START_US, PLAIN_LEG } from './test/calls.ts';
import { checkFile } from './test/check.ts';
import { readWithMediabunny } from './test/independent.ts';
import type { GeneratedMark } from './test/journals.ts';
import { createKeys, writeJournal } from './test/journals.ts';

const RECORDING = '018f0000-0000-7000-8000-000000000001';
const keys = await createKeys();
const FRAME_MS = 20;
const FRAME_SAMPLES = FRAME_MS * 48;
/** What every generated packet needs from being said to the recorder: its own length and the way. */
const TRANSIT_MS = FRAME_MS + 15;

/** A stretch of the call, in milliseconds of it. */
interface Part {
  fromMs: number;
  toMs: number;
}

interface Epochs {
  call: GeneratedCall;
  /** One for each epoch, in order: what its recorder heard. */
  parts: readonly Part[];
  marks?: readonly (readonly GeneratedMark[])[];
  recorders?: readonly string[];
  clocksUs?: readonly number[];
  wallStep?: { monotonicUs: number; ms: number };
}

const callUs = (ms: number) => MONOTONIC_START_US + ms * 1000;

/** The number that a generated frame carries, of a whole RTP packet; undefined for RTCP. */
function frameNumber(packet: Buffer): number | undefined {
  if ((packet[1] ?? 0) >= 200) return undefined;
  const start = 12 + ((packet[0] ?? 0) & 0x10 ? 4 + packet.readUInt16BE(14) * 4 : 0);
  return packet.readUInt32BE(start + 2);
}

/** Writes the epochs, finalises them, and says beside the report which frames each recorder heard. */
async function finalise(dir: string, { call, parts, marks, recorders, clocksUs, wallStep }: Epochs) {
  const journals: string[] = [];
  const heard: SentFrame[][] = [];
  let prev: string | undefined;
  for (const [i, { fromMs, toMs }] of parts.entries()) {
    const records = call.records.filter(
      ({ monotonicUs }) => monotonicUs >= callUs(fromMs) && monotonicUs < callUs(toMs),
    );
    const written = await writeJournal({
      dir,
      keys,
      recording: RECORDING,
      records,
      epoch: i + 1,
      recorder: recorders?.[i] ?? `recorder-${i + 1}`,
      marks: marks?.[i] ?? [],
      clockUs: clocksUs?.[i] ?? 0,
      end: i === parts.length - 1 ? 'hangup' : null,
      ...(prev === undefined ? {} : { prev }),
      ...(wallStep === undefined ? {} : { wallStep }),
    });
    journals.push(written.path);
    prev = written.head;
    heard.push(framesIn(call, records));
  }
  await mkdir(join(dir, 'out'), { recursive: true });
  const [pay, hdr] = [join(dir, 'out', 'a.pay'), join(dir, 'out', 'a.hdr')];
  const result = await finaliseRecording({ journals, recordingId: RECORDING, ...keys, pay, hdr });
  if (!result.ok) throw new Error(`${result.reason}: ${result.detail}`);
  const decrypter = new Decrypter();
  decrypter.addIdentity(keys.identity);
  const webm = await decrypter.decrypt(Buffer.concat([await readFile(hdr), await readFile(pay)]));
  return { result, heard, webm, hdr };
}

function framesIn(call: GeneratedCall, records: readonly GeneratedRecord[]): SentFrame[] {
  const numbers = [new Set<number>(), new Set<number>()] as const;
  for (const { leg, packet } of records) {
    const number = frameNumber(packet);
    if (number !== undefined) numbers[leg].add(number);
  }
  return call.frames.flat().filter(({ leg, payload }) => numbers[leg].has(payload.readUInt32BE(2)));
}

const leg = fc.record({
  seed: fc.nat(),
  ppm: fc.integer({ min: -80, max: 80 }),
  jitterMs: fc.constantFrom(0, 2, 5),
  dtx: fc.constantFrom(0, 0.3),
  loss: fc.constantFrom(0, 0.02),
  /** A recorder that took over was given new streams, or the same ones. */
  newStream: fc.boolean(),
});

const plan = fc.record({
  seed: fc.nat(),
  legs: fc.tuple(leg, leg),
  // What each recorder heard, and how long nobody did before the next.
  spans: fc.array(
    fc.record({
      heardMs: fc.integer({ min: 4_000, max: 14_000 }),
      holeMs: fc.integer({ min: 200, max: 9_000 }),
      clockUs: fc.integer({ min: -4_000_000_000, max: 9_000_000_000 }),
    }),
    { minLength: 2, maxLength: 4 },
  ),
  mutes: fc.array(
    fc.record({
      leg: fc.constantFrom(0 as const, 1 as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      lengthMs: fc.integer({ min: 100, max: 8_000 }),
      lateMs: fc.option(fc.integer({ min: 0, max: 3_000 }), { nil: undefined }),
    }),
    { maxLength: 3 },
  ),
});

t.test(
  'F37 over epochs of recorders with clocks of their own, holes and mutes are where they were',
  async (t) => {
    const root = t.testdir({});
    let [run, holesSeen, mutesSeen, worstHoleMs, worstPlaceMs, worstMuteMs] = [0, 0, 0, 0, 0, 0];
    await fc.assert(
      fc.asyncProperty(plan, async ({ seed, legs, spans, mutes }) => {
        const dir = join(root, `${run++}`);
        await mkdir(dir);
        const parts: Part[] = [];
        let at = 0;
        for (const { heardMs, holeMs } of spans) {
          parts.push({ fromMs: at, toMs: at + heardMs });
          at += heardMs + holeMs;
        }
        const durationMs = at;
        const call = generateCall({
          seed,
          durationMs,
          legs: legs.map(
            ({ newStream, ...rest }, i): LegPlan => ({
              ...PLAIN_LEG,
              ...rest,
              ssrc: 0x1000 * (i + 1),
              ...(newStream && parts[1] !== undefined ? { ssrcChangeMs: parts[1].fromMs - TRANSIT_MS } : {}),
            }),
          ) as [LegPlan, LegPlan],
        });
        // Mutes that the recorders could be told of: inside what one of them heard, one after the other for each leg.
        const marks = parts.map((): GeneratedMark[] => []);
        const expected: { leg: 0 | 1; fromMs: number; toMs: number }[] = [];
        for (const { leg, share, lengthMs, lateMs } of mutes) {
          const part = parts[Math.floor(share * 0.999 * parts.length)] as Part;
          const fromMs = part.fromMs + 3_100 + Math.floor(share * 500);
          const toMs = Math.min(fromMs + lengthMs, part.toMs - 200);
          if (
            toMs <= fromMs ||
            expected.some(
              (other) => other.leg === leg && other.fromMs < part.toMs && other.toMs > part.fromMs,
            )
          )
            continue;
          expected.push({ leg, fromMs, toMs });
          const list = marks[parts.indexOf(part)] as GeneratedMark[];
          const delay = Math.min(lateMs ?? 0, toMs - fromMs);
          list.push({
            mark: 'mute',
            leg,
            monotonicUs: callUs(fromMs + delay),
            ...(lateMs === undefined ? {} : { happenedMsBefore: delay }),
          });
          list.push({ mark: 'unmute', leg, monotonicUs: callUs(toMs) });
        }
        const clocksUs = spans.map(({ clockUs }) => Math.max(clockUs, 1 - MONOTONIC_START_US));
        const { result, heard, webm } = await finalise(dir, { call, parts, marks, clocksUs });

        // The truth: when the frames were said that each recorder heard.
        const said = heard.map((frames) => frames.map(({ saidMs }) => saidMs));
        const first = Math.min(...said.flat());
        const wanted = said.slice(1).map((next, i) => ({
          fromMs: Math.max(...(said[i] as number[])) + FRAME_MS,
          toMs: Math.min(...next),
        }));
        if (result.holes?.length !== wanted.length)
          throw new Error(`${result.holes?.length} of ${wanted.length} holes`);
        for (const [i, { atMs, lengthMs }] of (result.holes ?? []).entries()) {
          const { fromMs, toMs } = wanted[i] as Part;
          holesSeen += 1;
          worstHoleMs = Math.max(worstHoleMs, Math.abs(lengthMs - (toMs - fromMs)));
          worstPlaceMs = Math.max(worstPlaceMs, Math.abs(atMs - (fromMs - first)));
        }
        for (const { leg, fromMs, toMs } of expected) {
          // What was said at that moment reaches the recorder later: the mark is told at the recorder's time.
          const from = fromMs - TRANSIT_MS - first;
          const spansOfLeg = result.legs[leg]?.mutes ?? [];
          const off = Math.min(
            ...spansOfLeg.map(({ atMs, lengthMs }) =>
              Math.max(Math.abs(atMs - from), Math.abs(lengthMs - (toMs - fromMs))),
            ),
          );
          mutesSeen += 1;
          worstMuteMs = Math.max(worstMuteMs, off);
        }
        for (const [i, { mutes: told = [] }] of result.legs.entries())
          if (told.length !== expected.filter(({ leg }) => leg === i).length)
            throw new Error('another number of mutes');

        // The audio: every frame that a recorder heard, once, where it was said.
        const heardCall: GeneratedCall = {
          ...call,
          frames: [0, 1].map((leg) => heard.flat().filter((frame) => frame.leg === leg)) as [
            SentFrame[],
            SentFrame[],
          ],
        };
        const checked = checkFile(heardCall, await readWithMediabunny(webm));
        if (checked.strayMs > 50) throw new Error(`a frame is ${checked.strayMs} ms from its place`);
      }),
      { numRuns: Number(process.env.RUNS ?? 25) },
    );
    t.ok(holesSeen > 25 && mutesSeen > 5, `${holesSeen} holes, ${mutesSeen} mutes`);
    t.ok(worstHoleMs <= 50, `holes have their length within ${worstHoleMs.toFixed(1)} ms`);
    t.ok(worstPlaceMs <= 50, `holes have their place within ${worstPlaceMs.toFixed(1)} ms`);
    t.ok(worstMuteMs <= 50, `mutes are right within ${worstMuteMs.toFixed(1)} ms`);
  },
);

const plain = (durationMs: number) =>
  generateCall({ seed: 5, durationMs, legs: [PLAIN_LEG, { ...PLAIN_LEG, ssrc: 0x2000 }] });

t.test(
  'F37 the report has the sums of the file and of its header, the end cause and the reconnects',
  async (t) => {
    const dir = t.testdir({});
    const { result, webm, hdr } = await finalise(dir, {
      call: plain(6_000),
      parts: [{ fromMs: 0, toMs: 7_000 }],
      marks: [
        [
          { mark: 'reattach', leg: 1, monotonicUs: callUs(2_000) },
          { mark: 'reattach', leg: 1, monotonicUs: callUs(3_000) },
          { mark: 'reattach', leg: 0, monotonicUs: callUs(4_000) },
          { mark: 'mute', leg: 0, monotonicUs: callUs(5_000) },
          { mark: 'mute', leg: 0, monotonicUs: callUs(5_500) },
        ],
      ],
    });
    t.equal(result.sha512, createHash('sha512').update(webm).digest('hex'));
    t.equal(result.crc32, crc32OfBits(webm));
    const header = await readFile(hdr);
    t.same(result.hdr, {
      sizeBytes: header.length,
      sha256: createHash('sha256').update(header).digest('hex'),
    });
    t.equal(result.endReason, 'hangup');
    t.same(result.holes, []);
    t.equal(result.recovered, undefined, 'nothing had to be recovered');
    t.same(
      result.legs.map(({ reconnects }) => reconnects),
      [1, 2],
    );
    const [mute] = result.legs[0]?.mutes ?? [];
    t.same(result.legs[0]?.mutes?.length, 1, 'muted once');
    t.ok(Math.abs((mute?.atMs ?? 0) - (5_000 - TRANSIT_MS)) <= FRAME_MS, `at ${mute?.atMs} ms`);
    t.equal((mute?.atMs ?? 0) + (mute?.lengthMs ?? 0), result.durationMs, 'nobody took it back: to the end');
    t.same(result.legs[1]?.mutes, []);
  },
);

t.test('F37 a recorder that only changed files left no hole; one that was attached again did', async (t) => {
  const call = plain(8_000);
  const same = ['recorder-1', 'recorder-1'];
  const clocksUs = [700, 700];
  const base = { call, recorders: same, clocksUs };
  // It writes what was not acknowledged a second time, marks too.
  const again = { mark: 'reattach', leg: 0, monotonicUs: callUs(3_500), happenedMsBefore: 5 } as const;
  const files = await finalise(t.testdir({}), {
    ...base,
    marks: [[again], [again]],
    parts: [
      { fromMs: 0, toMs: 4_000 },
      { fromMs: 3_000, toMs: 9_000 },
    ],
  });
  t.same(files.result.holes, []);
  t.equal(files.result.legs[0]?.reconnects, 1, 'a mark that was written twice counts once');
  t.same(
    files.result.recovered?.map(({ epoch, status, tailBytes }) => [epoch, status, tailBytes]),
    [[1, 'torn', 0]],
    'the first of the two has no END',
  );
  t.equal(files.result.truncated, false);
  for (const [name, marks, toMs] of [
    ['by its own word', [[], [{ mark: 'reattach', monotonicUs: callUs(4_400) } as const]], 4_400],
    ['by more than any pause', undefined, 6_000],
  ] as const) {
    const { result } = await finalise(t.testdir({}), {
      ...base,
      ...(marks === undefined ? {} : { marks }),
      parts: [
        { fromMs: 0, toMs: 4_000 },
        { fromMs: toMs, toMs: 9_000 },
      ],
    });
    t.equal(result.holes?.length, 1, name);
    t.ok(Math.abs((result.holes?.[0]?.lengthMs ?? 0) - (toMs - 4_000)) <= 2 * FRAME_MS, name);
    t.same(
      result.legs.map(({ reconnects }) => reconnects),
      [0, 0],
      'that is no reconnect of a side',
    );
  }
});

t.test('F37 a wall clock that is set in the middle of an epoch moves no hole', async (t) => {
  for (const ms of [3_600_000, -86_400_000]) {
    const call = plain(16_000);
    const { result, webm, heard } = await finalise(t.testdir({}), {
      call,
      clocksUs: [0, 123_456_789],
      wallStep: { monotonicUs: callUs(3_000), ms },
      parts: [
        { fromMs: 0, toMs: 6_000 },
        { fromMs: 8_500, toMs: 17_000 },
      ],
    });
    t.ok(Math.abs((result.holes?.[0]?.lengthMs ?? 0) - 2_500) <= 50, JSON.stringify(result.holes));
    const frames = [0, 1].map((leg) => heard.flat().filter((frame) => frame.leg === leg));
    const [caller = [], callee = []] = frames;
    const { strayMs } = checkFile({ ...call, frames: [caller, callee] }, await readWithMediabunny(webm));
    t.ok(strayMs <= 50, `${strayMs} ms`);
  }
});

t.test('F37 a file with a track for each leg has its gaps, holes and mutes too', async (t) => {
  // Frames of 60 ms against ones of 20 ms whose config changes all the time do not fit together.
  const call = generateCall({
    seed: 3,
    durationMs: 20_000,
    legs: [
      { ...PLAIN_LEG, configChanges: 25 },
      { ...PLAIN_LEG, ssrc: 0x2000, frameSamples: FRAME_SAMPLES * 3 },
    ],
  });
  const { result } = await finalise(t.testdir({}), {
    call,
    parts: [
      { fromMs: 0, toMs: 8_000 },
      { fromMs: 12_000, toMs: 21_000 },
    ],
    marks: [
      [{ mark: 'mute', leg: 1, monotonicUs: callUs(5_000) }],
      [{ mark: 'unmute', leg: 1, monotonicUs: callUs(13_000) }],
    ],
  });
  t.equal(result.combined, false);
  const near = (span: { atMs: number; lengthMs: number } | undefined, atMs: number, lengthMs: number) =>
    span !== undefined && Math.abs(span.atMs - atMs) <= 120 && Math.abs(span.lengthMs - lengthMs) <= 120;
  t.ok(near(result.holes?.[0], 8_000, 4_000), JSON.stringify(result.holes));
  for (const { gaps } of result.legs) t.ok(near(gaps[0], 8_000, 4_000), JSON.stringify(gaps));
  t.ok(near(result.legs[1]?.mutes?.[0], 5_000, 8_000), JSON.stringify(result.legs[1]?.mutes));
});

/** The CRC-32 of ISO 3309, bit by bit. */
function crc32OfBits(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0);
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}
