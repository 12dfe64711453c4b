import { frameSamplesOf } from '../opus/packet.ts';
import type { GeneratedCall } from './calls.ts';
import type { IndependentFile } from './independent.ts';
import { readBoth, readSingle } from './independent.ts';

export interface Checked {
  /** Frames of each leg that the file has and the call had. */
  frames: [number, number];
  /** The most by which two frames that are played at once were said apart. */
  apartMs: number;
  /** The same over the last minute of the file. */
  apartAtEndMs: number;
  /** The most by which file time and true time differ, taking the first frame as the origin. */
  strayMs: number;
}

interface PlayedFrame {
  bytes: Uint8Array;
  atMs: number;
}

/**
 * Compares every frame of a finished file with what a generated call delivered: the same frames, in the order in which
 * they were said, none missing, none twice, byte for byte. Throws at the first difference.
 */
export function checkFile(call: GeneratedCall, file: IndependentFile): Checked {
  const played = playedFrames(file);
  const said = [new Map<number, number>(), new Map<number, number>()] as const;
  const checked: Checked = { frames: [0, 0], apartMs: 0, apartAtEndMs: 0, strayMs: 0 };
  for (const leg of [0, 1] as const) {
    const expected = call.frames[leg];
    const found = played.flatMap((slot) => slot[leg]);
    expected.forEach(({ payload }, i) => {
      const frame = found[i];
      if (frame === undefined || !payload.subarray(1).equals(frame.bytes)) {
        throw new Error(`leg ${leg}: frame ${i} of ${expected.length} is not the one that was sent`);
      }
    });
    if (found.length !== expected.length) {
      throw new Error(`leg ${leg}: the file has ${found.length} frames, ${expected.length} were sent`);
    }
    checked.frames[leg] = found.length;
    for (const { payload, saidMs } of expected) said[leg].set(payload.readUInt32BE(2), saidMs);
  }
  const saidAt = (leg: 0 | 1, frame: PlayedFrame) =>
    said[leg].get(Buffer.from(frame.bytes).readUInt32BE(1)) ?? Number.NaN;
  let origin: number | undefined;
  for (const [left, right] of played) {
    for (const [leg, frames] of [left, right].entries()) {
      for (const frame of frames) {
        const shift = saidAt(leg === 0 ? 0 : 1, frame) - frame.atMs;
        origin ??= shift;
        checked.strayMs = Math.max(checked.strayMs, Math.abs(shift - origin));
      }
    }
    for (const a of left) {
      for (const b of right) {
        const apart = Math.abs(saidAt(0, a) - a.atMs - (saidAt(1, b) - b.atMs));
        checked.apartMs = Math.max(checked.apartMs, apart);
        if (a.atMs > file.durationSeconds * 1000 - 60_000)
          checked.apartAtEndMs = Math.max(checked.apartAtEndMs, apart);
      }
    }
  }
  return checked;
}

/** Per slot of the file, per leg, the frames that were heard and when they are played. */
function playedFrames(file: IndependentFile): [PlayedFrame[], PlayedFrame[]][] {
  const [first, second] = file.tracks;
  if (first === undefined) throw new Error('the file has no track');
  if (second !== undefined) {
    return [
      ...first.packets.map((packet): [PlayedFrame[], PlayedFrame[]] => [
        heard(readSingle(packet.data), packet.seconds),
        [],
      ]),
      ...second.packets.map((packet): [PlayedFrame[], PlayedFrame[]] => [
        [],
        heard(readSingle(packet.data), packet.seconds),
      ]),
    ];
  }
  return first.packets.map(({ data, seconds }) => {
    const [left, right] = readBoth(data);
    return [heard(left, seconds), heard(right, seconds)];
  });
}

function heard(packet: { toc: number; frames: Uint8Array[] }, seconds: number): PlayedFrame[] {
  const frameMs = frameSamplesOf(packet.toc) / 48;
  return packet.frames
    .map((bytes, i) => ({ bytes, atMs: seconds * 1000 + i * frameMs }))
    .filter(({ bytes }) => bytes.length > 0);
}
