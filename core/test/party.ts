import type { CallMode, CallView, EndReason, Recording, RecordingFormat } from '#protocol';
import { Front } from './front.ts';
import type { Figures, Journey, Played, Seen } from './journey.ts';
import type { RealBrowser, Tab, TabOptions } from './tabs.ts';

type Name = 'alice' | 'bob';
/** What can be asked of a page: the methods of `Journey`. */
type Asked = {
  [Key in keyof Journey]: Journey[Key] extends (...args: never[]) => unknown ? Key : never;
}[keyof Journey];

/** Nothing that a person waits for may take longer, on a machine that is busy with tests. */
const PATIENCE_MS = 30_000;

/** What the page has, as its scripts see it. */
interface JourneyWindow {
  ready: Promise<void>;
  journey: Journey;
}

/** One person at one tab of one browser, with a way of their own to the server. */
export class Party {
  readonly as: Name;
  readonly tab: Tab;
  readonly front: Front;

  private constructor(as: Name, tab: Tab, front: Front) {
    this.as = as;
    this.tab = tab;
    this.front = front;
  }

  /** Opens a tab and waits until the person is signed in. */
  static async open(as: Name, browser: RealBrowser, server: string, options?: TabOptions): Promise<Party> {
    const front = await Front.open(server);
    try {
      const party = new Party(as, await browser.tab(options), front);
      await party.load();
      return party;
    } catch (error) {
      await front.close();
      throw error;
    }
  }

  /** Loads the page, anew if need be. */
  async load(): Promise<void> {
    await this.tab.open(`${this.front.url}/journey/?as=${this.as}`);
    await this.online();
  }

  async reload(): Promise<void> {
    await this.tab.reload();
    await this.online();
  }

  /** Waits for a page that was just loaded. */
  async online(): Promise<void> {
    await this.tab.run(() => (globalThis as unknown as JourneyWindow).ready, undefined);
    await this.waitFor('be online', (seen) => seen.type === 'connection' && seen.state === 'online');
  }

  call(mode: CallMode): Promise<void> {
    return this.#ask('call', mode);
  }

  /** Waits for the ringing and accepts. */
  async accept(): Promise<void> {
    await this.rings();
    await this.#ask('accept');
  }

  async decline(): Promise<void> {
    await this.rings();
    await this.#ask('decline');
  }

  /** Ends the call, or takes it back while it rings. */
  hangup(): Promise<void> {
    return this.#ask('hangup');
  }

  mute(muted: boolean): Promise<void> {
    return this.#ask('mute', muted);
  }

  figures(): Promise<Figures> {
    return this.#ask('figures');
  }

  /** Lets so many packets (20 ms of speech each) more be heard, and answers how much energy was played with them. */
  async hears(packets: number): Promise<number> {
    const before = (await this.figures()).inbound;
    const { inbound } = await this.#ask('hear', before.packets + packets, PATIENCE_MS).catch(
      (error: unknown) => {
        throw new Error(`${this.as} did not hear ${packets} packets more (${before.packets} before)`, {
          cause: error,
        });
      },
    );
    return inbound.totalAudioEnergy - before.totalAudioEnergy;
  }

  /** Waits until a recording is Available or Failed, and answers its row in this person's list. */
  async finished(recordingId: string | undefined): Promise<Recording> {
    await this.waitFor(
      'see the recording finished',
      (seen) =>
        seen.type === 'recording' &&
        seen.recordingId === recordingId &&
        (seen.state === 'available' || seen.state === 'failed'),
    );
    return this.row(recordingId);
  }

  /** The same for a page that may have come too late to be told. */
  async settled(recordingId: string): Promise<Recording> {
    const row = await this.row(recordingId);
    return row.state === 'available' || row.state === 'failed' ? row : this.finished(recordingId);
  }

  async row(recordingId: string | undefined): Promise<Recording> {
    const row = (await this.#ask('recordings')).find(({ id }) => id === recordingId);
    if (row === undefined) throw new Error(`${this.as} has no recording ${recordingId} in the list`);
    return row;
  }

  play(recordingId: string, toSecond: number, format?: RecordingFormat): Promise<Played> {
    return format === undefined
      ? this.#ask('play', recordingId, toSecond)
      : this.#ask('play', recordingId, toSecond, format);
  }

  loudness(recordingId: string): Promise<number[]> {
    return this.#ask('loudness', recordingId);
  }

  async copy(recordingId: string): Promise<Buffer> {
    return Buffer.from(await this.#ask('copy', recordingId), 'base64');
  }

  microphones(): Promise<string[]> {
    return this.#ask('microphones');
  }

  useMicrophone(id?: string): Promise<void> {
    return id === undefined ? this.#ask('useMicrophone') : this.#ask('useMicrophone', id);
  }

  /** When the other side is first heard, in Unix time with fractions. */
  firstSound(): Promise<number> {
    return this.#ask('firstSound', PATIENCE_MS);
  }

  /** When the page was first told so, in Unix time with fractions. */
  async when(fits: (seen: Seen) => boolean): Promise<number> {
    return (await this.waitFor('be told what is measured', fits)).atMs;
  }

  async rings(): Promise<CallView> {
    const seen = await this.waitFor('be called', ({ type }) => type === 'incoming');
    if (seen.type !== 'incoming') throw new Error('not a ringing');
    return seen.call;
  }

  /** Waits until the newest call of the page is in this state, and answers it as it was then. */
  async sees(state: CallView['state'] | 'recording'): Promise<CallView> {
    const seen = await this.waitFor(
      `see the call ${state}`,
      ({ type, call }: Seen & { call?: CallView }) =>
        type === 'call' && (state === 'recording' ? call?.recording === true : call?.state === state),
    );
    if (seen.type !== 'call' || seen.call === undefined) throw new Error('not a call');
    return seen.call;
  }

  /** Waits for the end of the call, and answers its reason and the error that the page's own side failed with. */
  async ends(): Promise<{ reason: EndReason | undefined; error: string | undefined }> {
    const seen = await this.waitFor('see the call end', ({ type }) => type === 'ended');
    return seen.type === 'ended'
      ? { reason: seen.reason, error: seen.error }
      : { reason: undefined, error: undefined };
  }

  /** The first thing that fits, of those since the last `forget` and those to come. `what` completes "alice did not …". */
  async waitFor(what: string, fits: (seen: Seen) => boolean, ms = PATIENCE_MS): Promise<Seen> {
    const deadline = Date.now() + ms;
    for (;;) {
      const seen = await this.seen();
      const found = seen.find(fits);
      if (found !== undefined) return found;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${this.as} did not ${what} within ${ms} ms; ${story(seen, this.tab)}`);
      await this.#ask('moreThan', seen.length, left);
    }
  }

  /** Everything that the SDK told this page since it was loaded, or since `forget`. */
  seen(): Promise<Seen[]> {
    return this.tab.run(() => (globalThis as unknown as JourneyWindow).journey.seen, undefined);
  }

  /** Before the next call in the same page: what was seen so far counts no more. */
  forget(): Promise<void> {
    return this.tab.run(
      () => void (globalThis as unknown as JourneyWindow).journey.seen.splice(0),
      undefined,
    );
  }

  async close(): Promise<void> {
    await this.tab.close().catch(() => undefined);
    await this.front.close();
  }

  #ask<K extends Asked>(what: K, ...args: Parameters<Journey[K]>): Promise<Awaited<ReturnType<Journey[K]>>> {
    return this.tab.run(
      // The page's method of this name takes these arguments and answers this: `Journey` says so on both sides.
      ({ what, args }) =>
        ((globalThis as unknown as JourneyWindow).journey[what] as (...args: unknown[]) => never)(...args),
      { what, args: args as unknown[] },
    );
  }
}

function story(seen: Seen[], tab: Tab): string {
  const events = seen.map((one) => {
    if (one.type === 'connection') return `${one.type} ${one.state}`;
    if (one.type === 'call')
      return `call ${one.call?.state ?? 'none'}${one.call?.recording ? ' recording' : ''}`;
    if (one.type === 'ended') return `ended ${one.reason} ${one.error ?? ''}`.trim();
    if (one.type === 'trouble') return `trouble ${one.error}`;
    return one.type;
  });
  const complaints = tab.complaints.length > 0 ? `; the page says: ${tab.complaints.join(' / ')}` : '';
  return `seen in ${tab.kind}: ${events.join(', ') || 'nothing'}${complaints}`;
}
