import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { JournalHead } from '../evidence/index.ts';
import type { FaultNews, FaultOrder } from './fault-daemon-child.ts';

const CHILD = fileURLToPath(new URL('./fault-daemon-child.ts', import.meta.url));
/** Far more than anything takes here; a machine that does other work as well must not fail a row. */
export const PATIENCE_MS = 120_000;
const POLL_MS = 20;

/** One run of `fault-daemon-child.ts`, as the test sees it. Ends with the test at the latest. */
export class FaultDaemon {
  readonly exited: Promise<'exited'>;
  /** Every head of the newest call that it said to be acknowledged. */
  heads: JournalHead[] = [];
  readonly #child: ChildProcess;
  #news: FaultNews[] = [];
  #isOver = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.exited = once(child, 'exit').then(() => {
      this.#isOver = true;
      return 'exited' as const;
    });
    child.on('message', (news: FaultNews) => {
      this.#news.push(news);
      if (news.type === 'head') this.heads.push({ epoch: news.epoch, seq: news.seq, head: news.head });
    });
  }

  static start(t: Test, order: FaultOrder, env: NodeJS.ProcessEnv): FaultDaemon {
    const child = fork(CHILD, [], {
      env: { PATH: process.env.PATH, FAULT_LOG: process.env.FAULT_LOG, ...env },
      execArgv: [],
    });
    const daemon = new FaultDaemon(child);
    t.teardown(() => daemon.kill());
    child.send(order);
    return daemon;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Orders another call. What was said of the one before is forgotten. */
  async place(): Promise<{ recordingId: string; callId: string }> {
    await this.until('ready');
    this.#news = this.#news.filter(({ type }) => type === 'ready');
    this.heads = [];
    this.say('place');
    await this.until('placed');
    const placed = this.heard('placed');
    if (placed === undefined) throw new Error('it ended before it had placed a call');
    return placed;
  }

  /** What it said of this kind, if it has; of the newest call. */
  heard<T extends FaultNews['type']>(type: T): Extract<FaultNews, { type: T }> | undefined {
    const isWanted = (news: FaultNews): news is Extract<FaultNews, { type: T }> => news.type === type;
    return this.#news.find(isWanted);
  }

  /** Waits for one of these, or for its end; answers which of them came, the first in the list when several have. */
  async until(...types: readonly FaultNews['type'][]): Promise<FaultNews['type'] | 'exited'> {
    const came = () => types.find((type) => this.heard(type) !== undefined);
    await waitFor(`the daemon says ${types.join(' or ')}`, () => came() !== undefined || this.#isOver);
    return came() ?? 'exited';
  }

  /**
   * Hangs up. `before` is done when the recorder has taken all that was sent and nothing of the call's end has begun.
   * Returns at once when the call is lost, or the daemon is.
   */
  async hangUp(before: () => Promise<void> = async () => undefined): Promise<void> {
    this.say('hang up');
    await this.until('sent', 'lost');
    await before();
    this.say('end');
  }

  say(word: string): void {
    if (this.#child.connected) this.#child.send(word, () => undefined);
  }

  /** Without a chance to do anything. Its workers notice, and leave. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  async close(): Promise<void> {
    this.say('close');
    await this.exited;
  }
}

/** @throws Error when it does not become true within `PATIENCE_MS` */
export async function waitFor(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const until = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > until) throw new Error(`in vain: ${what}`);
    await delay(POLL_MS);
  }
}
