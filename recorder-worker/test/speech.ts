import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Speech out of espeak-ng, encoded by libopus and decoded by ffmpeg: none of it is ours. */
export const SPEECH_RATE = 8_000;

export interface Speech {
  /** Mono samples at SPEECH_RATE. */
  source: Float32Array;
  /** The Opus packets of 20 ms that libopus made of it. */
  packets: Uint8Array[];
}

export function speak(text: string, voice: string, frameMs = 20): Speech {
  const dir = mkdtempSync(join(tmpdir(), 'verbatim-speech-'));
  try {
    const wav = join(dir, 'speech.wav');
    const ogg = join(dir, 'speech.ogg');
    execFileSync('espeak-ng', ['-v', voice, '-w', wav, text]);
    const encode = [
      '-i',
      wav,
      '-ac',
      '1',
      '-ar',
      '48000',
      '-c:a',
      'libopus',
      '-b:a',
      '32k',
      '-application',
      'voip',
    ];
    ffmpeg([...encode, '-frame_duration', String(frameMs), '-page_duration', '20000', ogg]);
    return { source: decode(['-i', wav], 1), packets: oggPackets(readFileSync(ogg)).slice(2) };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The decoders of ffmpeg: its own, and the one of libopus that browsers use. */
export type Decoder = 'opus' | 'libopus';

/** Left and right of an audio file as ffmpeg decodes it. */
export function decodeFile(path: string, decoder: Decoder): Float32Array[] {
  const interleaved = decode(['-c:a', decoder, '-i', path], 2);
  return [0, 1].map((channel) =>
    Float32Array.from({ length: interleaved.length / 2 }, (_, i) => interleaved[i * 2 + channel] ?? 0),
  );
}

/**
 * The highest normalised correlation of `part` with `whole` over all shifts up to `maxShift` samples either way: 1 is the
 * same sound, 0 nothing in common.
 */
export function correlation(whole: Float32Array, part: Float32Array, maxShift: number): number {
  let best = 0;
  const energy = (of: Float32Array, from: number, length: number) => {
    let sum = 0;
    for (let i = 0; i < length; i += 1) sum += (of[from + i] ?? 0) ** 2;
    return sum;
  };
  const own = energy(part, 0, part.length);
  for (let shift = 0; shift <= maxShift; shift += 1) {
    let product = 0;
    for (let i = 0; i < part.length; i += 1) product += (part[i] ?? 0) * (whole[shift + i] ?? 0);
    best = Math.max(best, product / Math.sqrt(own * energy(whole, shift, part.length) + 1e-12));
  }
  return best;
}

function ffmpeg(args: string[]): Buffer {
  return execFileSync('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-nostdin', '-y', ...args], {
    maxBuffer: 1 << 28,
  });
}

function decode(input: string[], channels: number): Float32Array {
  const raw = ffmpeg([...input, '-ac', String(channels), '-ar', String(SPEECH_RATE), '-f', 'f32le', '-']);
  return new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
}

/** The packets of an Ogg stream (RFC 3533): pages with their lacing values, packets that may span pages. */
function oggPackets(ogg: Buffer): Uint8Array[] {
  const packets: Uint8Array[] = [];
  let parts: Buffer[] = [];
  for (let at = 0; at < ogg.length; ) {
    const segments = ogg[at + 26] ?? 0;
    let data = at + 27 + segments;
    for (let i = 0; i < segments; i += 1) {
      const size = ogg[at + 27 + i] ?? 0;
      parts.push(ogg.subarray(data, data + size));
      data += size;
      if (size < 255) {
        packets.push(Buffer.concat(parts));
        parts = [];
      }
    }
    at = data;
  }
  return packets;
}
