import type { Counter, Gauge, Histogram, Registry } from '../registry.ts';

type Mode = 'voice' | 'secure';

/** How a call went, when it is over. */
export interface EndedCall {
  mode: Mode;
  reason: string;
  startedAt: Date;
  acceptedAt: Date | null;
  activeAt: Date | null;
  endedAt: Date;
}

/** What is asked of calls and of those who are signed in, at each scrape. */
export interface CallSources {
  calls: { readonly running: readonly { mode: Mode; phase: string }[] };
  devices: { readonly size: { users: number; connections: number } };
}

const PHASES = ['ringing', 'connecting', 'active'] as const;
const RING_S = [1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 180] as const;
const SHORT_S = [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20] as const;
const TALK_S = [5, 15, 30, 60, 180, 600, 1_800, 3_600, 7_200] as const;

/** Calls, from the ring to the end, and the sockets of those who may be called. */
export class CallFigures {
  readonly #registry: Registry;
  readonly #started: Counter;
  readonly #refused: Counter;
  readonly #ended: Counter;
  readonly #ring: Histogram;
  readonly #accept: Histogram;
  readonly #arm: Histogram;
  readonly #talk: Histogram;
  readonly #running: Gauge;
  readonly #sockets: Gauge;
  readonly #users: Gauge;

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#running = registry.gauge('verbatim_calls', 'Calls that run now.', ['mode', 'state']);
    this.#started = registry.counter('verbatim_calls_started_total', 'Calls that began to ring.', ['mode']);
    this.#refused = registry.counter(
      'verbatim_calls_refused_total',
      'Calls that were asked for and did not ring, by the code of the error.',
      ['mode', 'code'],
    );
    this.#ended = registry.counter('verbatim_calls_ended_total', 'Calls that ended, by the reason.', [
      'mode',
      'reason',
    ]);
    this.#ring = registry.histogram(
      'verbatim_call_ring_seconds',
      'How long calls rang, until they were accepted or given up.',
      RING_S,
      ['mode'],
    );
    this.#accept = registry.histogram(
      'verbatim_call_accept_seconds',
      'From accepting a call to both sides hearing each other.',
      SHORT_S,
      ['mode'],
    );
    this.#arm = registry.histogram(
      'verbatim_call_arm_seconds',
      'From accepting a secure call to audio of both sides being durable on a recorder.',
      SHORT_S,
    );
    this.#talk = registry.histogram(
      'verbatim_call_talk_seconds',
      'How long both sides heard each other, of calls that ended.',
      TALK_S,
      ['mode'],
    );
    this.#sockets = registry.gauge('verbatim_sockets', 'Signed-in signaling sockets.');
    this.#users = registry.gauge('verbatim_users_online', 'Users with a signed-in socket.');
  }

  started(mode: Mode): void {
    this.#started.inc([mode]);
  }

  refused(mode: Mode, code: string): void {
    this.#refused.inc([mode, code]);
  }

  armed(tookMs: number): void {
    this.#arm.observe(tookMs / 1_000);
  }

  ended({ mode, reason, startedAt, acceptedAt, activeAt, endedAt }: EndedCall): void {
    this.#ended.inc([mode, reason]);
    this.#ring.observe(seconds(startedAt, acceptedAt ?? endedAt), [mode]);
    if (acceptedAt !== null && activeAt !== null) this.#accept.observe(seconds(acceptedAt, activeAt), [mode]);
    if (activeAt !== null) this.#talk.observe(seconds(activeAt, endedAt), [mode]);
  }

  watch({ calls, devices }: CallSources): void {
    this.#registry.onScrape('calls', () => {
      const { running } = calls;
      for (const mode of ['voice', 'secure'] as const)
        for (const phase of PHASES)
          this.#running.set(
            [mode, phase],
            running.filter((call) => call.mode === mode && call.phase === phase).length,
          );
      this.#sockets.set([], devices.size.connections);
      this.#users.set([], devices.size.users);
    });
  }
}

function seconds(from: Date, to: Date): number {
  return (to.getTime() - from.getTime()) / 1_000;
}
