import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { dataPaths, FLAG_RTCP, parseJournalName, readIdentity, readJournal, recordsOf } from '#store';
import { extractStreams, opusFrames } from '../../recorder-worker/mux-read.ts';
import { runCommand } from '../media-worker/command.ts';

export interface FrameProof {
  /** Frames of each leg that are the same in the journal and in the file. */
  frames: { caller: number; callee: number };
  /** What differs, in words; empty when every frame of the file is the captured one and none is missing. */
  faults: string[];
}

/** SHA-256 of a file's bytes, hex. */
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/**
 * Compares every Opus frame of a finished file with the RTP payloads in the journals, byte for byte, in both
 * directions: the file holds exactly what was captured, once each, in the order of the sequence numbers.
 */
export async function compareFrames(
  webm: Uint8Array,
  dataDir: string,
  recordingId: string,
): Promise<FrameProof> {
  const captured = await capturedFrames(dataDir, recordingId);
  const file = extractStreams(webm);
  const proof: FrameProof = { frames: { caller: 0, callee: 0 }, faults: [] };
  for (const side of ['caller', 'callee'] as const) {
    const want = captured[side];
    const have = file[side].flatMap(({ packet }) => opusFrames(packet).map((frame) => Buffer.from(frame)));
    const first = want.findIndex((frame, index) => have[index]?.equals(frame) !== true);
    if (want.length === 0) proof.faults.push(`the journal holds no audio of the ${side}`);
    else if (first >= 0) proof.faults.push(`frame ${first} of the ${side} is not the captured one`);
    else if (have.length !== want.length)
      proof.faults.push(`the file has ${have.length} frames of the ${side}, the journal ${want.length}`);
    proof.frames[side] = first < 0 ? want.length : first;
  }
  return proof;
}

/** Every captured frame of both legs: duplicates out, in the order of the sequence numbers. */
async function capturedFrames(
  dataDir: string,
  recordingId: string,
): Promise<Record<'caller' | 'callee', Buffer[]>> {
  const paths = dataPaths(dataDir);
  const identity = await readIdentity(paths.secrets);
  const epochs = (await readdir(paths.journals))
    .map(parseJournalName)
    .flatMap((name) => (name?.recording === recordingId ? [name.epoch] : []))
    .sort((a, b) => a - b);
  const legs: [Leg, Leg] = [new Leg(), new Leg()];
  for (const epoch of epochs) {
    const journal = await readJournal(paths.journal(recordingId, epoch), { identity });
    for await (const block of journal) {
      for (const { leg, flags, packet } of recordsOf(block)) {
        if ((flags & FLAG_RTCP) === 0) (leg === 0 ? legs[0] : legs[1]).add(packet);
      }
    }
  }
  return { caller: legs[0].frames(), callee: legs[1].frames() };
}

/** The RTP packets of one leg by SSRC, in the order in which the SSRCs appeared. */
class Leg {
  readonly #streams = new Map<number, { last: number; payloads: Map<number, Buffer> }>();

  /**
   * RFC 3550 section 5.1:  0 V=2(2) P(1) X(1) CC(4) · 1 M(1) PT(7) · 2 sequence(16) · 4 timestamp · 8 SSRC ·
   * 12 CC x CSRC · with X: profile(16) length(16) words · payload · with P: the last byte counts the padding
   */
  add(packet: Buffer): void {
    const sequence = packet.readUInt16BE(2);
    const ssrc = packet.readUInt32BE(8);
    const stream = this.#streams.get(ssrc) ?? { last: sequence, payloads: new Map<number, Buffer>() };
    this.#streams.set(ssrc, stream);
    // The nearest number with these 16 bits: sequence numbers wrap.
    const extended = stream.last + (((sequence - stream.last) << 16) >> 16);
    stream.last = Math.max(stream.last, extended);
    if (!stream.payloads.has(extended)) stream.payloads.set(extended, payloadOf(packet));
  }

  frames(): Buffer[] {
    return [...this.#streams.values()].flatMap(({ payloads }) =>
      [...payloads.entries()]
        .sort(([a], [b]) => a - b)
        .filter(([, payload]) => payload.length > 0)
        .flatMap(([, payload]) => opusFrames(payload).map((frame) => Buffer.from(frame))),
    );
  }
}

function payloadOf(packet: Buffer): Buffer {
  const first = packet.readUInt8(0);
  let start = 12 + (first & 0x0f) * 4;
  if ((first & 0x10) !== 0) start += 4 + packet.readUInt16BE(start + 2) * 4;
  const padding = (first & 0x20) === 0 ? 0 : packet.readUInt8(packet.length - 1);
  return packet.subarray(start, packet.length - padding);
}

/** What ffprobe says about an audio file. @throws Error when it is none */
export async function probe(path: string): Promise<{ codec: string; channels: number; durationMs: number }> {
  const entries = 'stream=codec_name,channels:format=duration';
  const { code, output } = await runCommand('ffprobe', [
    '-v',
    'error',
    '-of',
    'json',
    '-show_entries',
    entries,
    path,
  ]);
  if (code !== 0) throw new Error(`ffprobe does not read ${path}: ${output.trim()}`);
  const answer: { streams?: { codec_name?: string; channels?: number }[]; format?: { duration?: string } } =
    JSON.parse(output);
  const [stream] = answer.streams ?? [];
  return {
    codec: stream?.codec_name ?? 'none',
    channels: stream?.channels ?? 0,
    durationMs: Math.round(Number(answer.format?.duration ?? 0) * 1000),
  };
}
