import '../../core/test/own-network.ts';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { CallMode } from '#protocol';
import { whyNot } from '../../core/test/own-network.ts';
import type { Party } from '../../core/test/party.ts';
import { openTheatre } from '../../core/test/theatre.ts';

const USAGE = `usage: scripts/bench/feel [--rounds 5] [--calls 100]

How a call feels, measured in the pages of two people in Chromium on this machine, each at the moment when the page
itself asks or is told. Starts a temporary server in a network namespace of its own, which needs root.

  --rounds N   calls of each mode that are timed, one after the other
  --calls N    short voice calls in one page, before and after which its memory is read; 0 for none

  ring         from asking for the call until the other page rings; a secure call reads the disclosure text first
  hearing      from asking to accept until both have heard the other: Recording comes first in a secure call
  available    from asking to hang up until the page is told that the recording is Available
  first sound  from play() of a fresh audio element to its first progress, the grant for the address not included
  memory       JavaScript heap, DOM nodes and event listeners of the caller's page, after a collection of garbage
`;

const MAX_ROUNDS = 100;
const MAX_CALLS = 1_000;
/** So long a timed call lasts, in packets of 20 ms: there has to be something to play. */
const TALK = 100;

/** Milliseconds of each round, by what was measured. */
type Laps = Map<string, number[]>;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    calls: { type: 'string', default: '100' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) console.log(USAGE);
else
  await main(countOf('rounds', values.rounds, 1, MAX_ROUNDS), countOf('calls', values.calls, 0, MAX_CALLS));

function countOf(name: string, text: string, least: number, most: number): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= least && count <= most) return count;
  console.error(`--${name}: expected a whole number from ${least} to ${most}, got ${JSON.stringify(text)}`);
  process.exit(2);
}

async function main(rounds: number, calls: number): Promise<void> {
  const why = whyNot();
  if (why !== undefined) {
    console.error(`The benchmark cannot run here: ${why}.`);
    process.exitCode = 1;
    return;
  }
  const theatre = await openTheatre();
  try {
    const alice = await theatre.party('alice', 'Chromium');
    const bob = await theatre.party('bob', 'Chromium');
    console.log(`load ${loadavg()[0]?.toFixed(1)}; milliseconds, median (least-most) of ${rounds} rounds`);
    for (const mode of ['voice', 'secure'] as const) {
      const laps: Laps = new Map();
      for (let round = 0; round < rounds; round += 1) await timedCall(alice, bob, mode, laps);
      for (const [what, ms] of laps) console.log(`${mode.padEnd(6)}  ${what.padEnd(11)}  ${summaryOf(ms)}`);
    }
    if (calls > 0) await memoryOf(alice, bob, calls);
  } finally {
    await theatre.close();
  }
}

async function timedCall(alice: Party, bob: Party, mode: CallMode, laps: Laps): Promise<void> {
  const lap = (what: string, ms: number): void => void laps.set(what, [...(laps.get(what) ?? []), ms]);
  const asked = (party: Party, what: string) =>
    party.when((seen) => seen.type === 'asked' && seen.what === what);
  await Promise.all([alice.forget(), bob.forget()]);
  await alice.call(mode);
  lap('ring', (await bob.when(({ type }) => type === 'incoming')) - (await asked(alice, 'call')));

  const heard = [alice.firstSound(), bob.firstSound()];
  await bob.accept();
  lap('hearing', Math.max(...(await Promise.all(heard))) - (await asked(bob, 'accept')));
  await Promise.all([alice.hears(TALK), bob.hears(TALK)]);

  await alice.hangup();
  await Promise.all([alice.ends(), bob.ends()]);
  if (mode === 'voice') return;
  const { recordingId = '' } = await alice.sees('recording');
  await alice.finished(recordingId);
  const available = await alice.when((seen) => seen.type === 'recording' && seen.state === 'available');
  lap('available', available - (await asked(alice, 'hangup')));
  lap('first sound', (await alice.play(recordingId, 1)).firstSoundMs);
}

async function memoryOf(alice: Party, bob: Party, calls: number): Promise<void> {
  const read = async (when: string): Promise<void> => {
    await alice.forget();
    const { heapBytes, nodes, listeners } = (await alice.tab.memory?.()) ?? {
      heapBytes: 0,
      nodes: 0,
      listeners: 0,
    };
    const heap = (heapBytes / 2 ** 20).toFixed(2);
    console.log(`memory  ${when.padEnd(16)}  heap ${heap} MiB, nodes ${nodes}, listeners ${listeners}`);
  };
  await read('before');
  for (let call = 1; call <= calls; call += 1) {
    await Promise.all([alice.forget(), bob.forget()]);
    await alice.call('voice');
    await bob.accept();
    await Promise.all([alice.sees('active'), bob.sees('active')]);
    await alice.hangup();
    await Promise.all([alice.ends(), bob.ends()]);
    if (call % Math.ceil(calls / 4) === 0 || call === calls) await read(`after ${call} calls`);
  }
}

function summaryOf(ms: readonly number[]): string {
  const sorted = ms.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  return `${median.toFixed(0)} (${sorted[0]?.toFixed(0)}-${sorted.at(-1)?.toFixed(0)})`;
}
