import { randomInt } from 'node:crypto';
import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/** What one player plays: an address and what goes along with each request. */
export interface Track {
  url: string;
  headers: Record<string, string>;
  sizeBytes: number;
}

export interface PlayersResult {
  requests: number;
  failed: number;
  megabytesPerSecond: number;
  firstByteP50Ms: number;
  firstByteP99Ms: number;
}

/** What a player fetches after a seek: about 45 s of a call. */
const SEEK_BYTES = 262_144;

/** Each player asks for a range at a random place, reads it, waits `pauseMs` and seeks again, for `seconds`. */
export async function runPlayers(
  tracks: readonly Track[],
  { players, seconds, pauseMs }: { players: number; seconds: number; pauseMs: number },
): Promise<PlayersResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: players });
  const firstByteMs: number[] = [];
  let bytes = 0;
  let failed = 0;
  const begun = performance.now();
  const until = begun + seconds * 1_000;
  const one = async (index: number): Promise<void> => {
    const track = tracks[index % tracks.length];
    if (track === undefined) throw new Error('there is nothing to play');
    // Not all at the same moment: people do not press play together.
    await delay(pauseMs === 0 ? randomInt(100) : randomInt(pauseMs));
    while (performance.now() < until) {
      const answer = await seek(track, agent);
      if (answer === undefined) failed += 1;
      else {
        firstByteMs.push(answer.firstByteMs);
        bytes += answer.bytes;
      }
      if (pauseMs > 0) await delay(randomInt(2 * pauseMs));
    }
  };
  await Promise.all(Array.from({ length: players }, (_, index) => one(index)));
  const elapsedMs = performance.now() - begun;
  agent.destroy();
  firstByteMs.sort((a, b) => a - b);
  const at = (share: number): number =>
    firstByteMs[Math.min(firstByteMs.length - 1, Math.floor(share * firstByteMs.length))] ?? 0;
  return {
    requests: firstByteMs.length,
    failed,
    megabytesPerSecond: bytes / 1_000 / elapsedMs,
    firstByteP50Ms: at(0.5),
    firstByteP99Ms: at(0.99),
  };
}

function seek(
  { url, headers, sizeBytes }: Track,
  agent: Agent,
): Promise<{ firstByteMs: number; bytes: number } | undefined> {
  const from = randomInt(Math.max(1, sizeBytes - SEEK_BYTES));
  const range = `bytes=${from}-${from + SEEK_BYTES - 1}`;
  const begun = performance.now();
  return new Promise((resolve) => {
    const asked = request(url, { agent, headers: { ...headers, range } }, (answer) => {
      let firstByteMs: number | undefined;
      let bytes = 0;
      answer.on('data', (piece: Buffer) => {
        firstByteMs ??= performance.now() - begun;
        bytes += piece.length;
      });
      answer.on('end', () =>
        resolve(answer.statusCode === 206 && firstByteMs !== undefined ? { firstByteMs, bytes } : undefined),
      );
      answer.on('error', () => resolve(undefined));
    });
    asked.on('error', () => resolve(undefined));
    asked.end();
  });
}
