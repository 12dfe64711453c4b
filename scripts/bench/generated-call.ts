import { generateCall, PLAIN_LEG } from '../../recorder-worker/test/calls.ts';

/** Two legs with what networks and sound cards do to them: loss, retransmissions, jitter, drift. */
export function generatedRecords(minutes: number): ReturnType<typeof generateCall>['records'] {
  const shape = { ...PLAIN_LEG, loss: 0.01, retransmit: 0.5, duplicate: 0.002, reorder: 0.005, jitterMs: 6 };
  return generateCall({
    seed: 1,
    durationMs: minutes * 60_000,
    payloadBytes: 80,
    legs: [
      { ...shape, ppm: 60, firstSequence: 65_000, firstTimestamp: 4_294_000_000 },
      { ...shape, ssrc: 0x2000, ppm: -60, startMs: 240, configChanges: 0.05 },
    ],
  }).records;
}
