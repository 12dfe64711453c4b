import type { CallHistoryItem, CallMode, CallView, Consent, Disclosure, Recording } from '#protocol';

/**
 * What a page may rely on, whatever stands behind the SDK: a real server, or the one in memory that messengers test
 * with (client/sdk/testing.ts). Each row runs in the page as text, so it uses nothing but its arguments; what it
 * answers and what its people were told meanwhile are compared with `expected`.
 */

/** The part of client/sdk `VerbatimClient` that is used here; the SDK's own types need those of the DOM. */
export interface ContractClient {
  device: string;
  userId: string | undefined;
  state: string;
  may: Record<string, boolean>;
  call: CallView | undefined;
  incoming: CallView | undefined;
  muted: boolean;
  durationMs: number;
  connect(): Promise<void>;
  close(): Promise<void>;
  presence(userIds: string[]): Promise<Set<string>>;
  disclosure(locale?: string): Promise<Disclosure>;
  startCall(params: { chatId: string; mode: CallMode; consent?: Consent }): Promise<CallView>;
  accept(consent?: Consent): Promise<CallView>;
  decline(): Promise<void>;
  hangup(): Promise<void>;
  mute(): void;
  unmute(): void;
  listCalls(
    chatId: string,
    page?: { limit?: number; cursor?: string },
  ): Promise<{ calls: CallHistoryItem[]; next?: string }>;
  listRecordings(
    chatId: string,
    page?: { limit?: number; cursor?: string },
  ): Promise<{ recordings: Recording[]; next?: string }>;
  getRecording(id: string): Promise<Recording>;
  playbackUrl(id: string): Promise<string>;
  peaks(id: string): Promise<{ version: number; channels: number; length: number; data: number[] }>;
  timeline(id: string): Promise<{ segments: unknown[]; messages: unknown[] }>;
  on(event: string, listener: (payload: never) => void): () => void;
  once(event: string, accept?: (payload: never) => boolean): Promise<unknown>;
}

export type Who = 'alice' | 'bob' | 'carol';
/** An app that records, with the direct chats `alice-bob` and `alice-carol` and the group `all`; and one that does not. */
export type World = 'records' | 'silent';

export interface PageOptions {
  /** The client's own choice, unless it is given. */
  device?: string;
  /** One token for good, and none after it. */
  fixedToken?: boolean;
  /** An hour, unless it is given. */
  tokenLifetimeMs?: number;
}

export interface Scene {
  /** A page of this person, signed in. What it is told is kept under its name: `bob`, and for a second one `bob 2`. */
  page(who: Who, options?: PageOptions): Promise<ContractClient>;
  /** One that is not signed in yet. */
  unsigned(who: Who, options?: PageOptions): ContractClient;
  /** What a call in this mode needs besides the chat. */
  consent(client: ContractClient, mode: CallMode): Promise<{ consent?: Consent }>;
  /** Calls and waits until it rings at `callee`. */
  ring(caller: ContractClient, callee: ContractClient, chatId: string, mode: CallMode): Promise<CallView>;
  /** Calls, accepts and waits until both are in the active call. */
  talk(caller: ContractClient, callee: ContractClient, chatId: string, mode: CallMode): Promise<CallView>;
  /** Breaks the connection, as a network does. */
  cut(client: ContractClient): void;
  /** Breaks it, and it does not come back before `letBack`. */
  keepAway(client: ContractClient): void;
  letBack(client: ContractClient): void;
  /** How many tokens this page has asked for. */
  tokens(client: ContractClient): number;
  /** The code that a promise is refused with, or `ok`. */
  code(promise: Promise<unknown>): Promise<string>;
  /** Waits for what `ask` answers, as long as it is `undefined`. */
  until<T>(ask: () => T | undefined | Promise<T | undefined>): Promise<T>;
  /** Waits until the next call or ringing of each of these is over. */
  over(...clients: ContractClient[]): Promise<unknown>;
}

/**
 * What a page was told, in order; a call that has not changed counts once. The order between the lists is no promise:
 * they come from different parts of a server.
 */
export interface Told {
  seen: string[];
  recordings?: string[];
  mutes?: string[];
}

export interface Row {
  name: string;
  mode?: CallMode;
  world?: World;
  run(scene: Scene, mode: CallMode): Promise<unknown>;
  expected: { answer: unknown; told: Readonly<Record<string, Told>> };
}

const MODES: readonly CallMode[] = ['voice', 'secure'];
/** The active call of this mode, as it is told. */
const active = (mode: CallMode): string => (mode === 'secure' ? 'call active recording' : 'call active');
/** What both hear of the recording of a call that was active. */
const recordingOf = (mode: CallMode): Pick<Told, 'recordings'> =>
  mode === 'secure' ? { recordings: ['capturing', 'processing', 'available'] } : {};

export const CONTRACT: readonly Row[] = [
  {
    name: 'F12 signing in says who one is and what one may do',
    run: async ({ page }) => {
      const [alice, carol] = [await page('alice'), await page('carol')];
      return [alice.userId, alice.state, alice.may, carol.userId, carol.may];
    },
    expected: {
      answer: [
        'alice',
        'online',
        { voice: true, secure: true, recordings: true },
        'carol',
        { voice: true, secure: false, recordings: false },
      ],
      told: { alice: { seen: ['online'] }, carol: { seen: ['online'] } },
    },
  },
  {
    name: 'a token of nobody is refused for good',
    run: async ({ unsigned, code }) => await code(unsigned('nobody' as Who, { fixedToken: true }).connect()),
    expected: { answer: 'unauthorized', told: { nobody: { seen: ['closed unauthorized'] } } },
  },
  {
    name: 'presence tells who is online, and who has gone is not any more',
    run: async ({ page, until, code }) => {
      const [alice, bob] = [await page('alice'), await page('bob')];
      const before = [...(await alice.presence(['bob', 'nobody', 'bob']))];
      await bob.close();
      await until(async () => ((await alice.presence(['bob'])).size === 0 ? true : undefined));
      return { before, late: await code(bob.presence(['alice'])), again: await code(bob.connect()) };
    },
    expected: {
      answer: { before: ['bob'], late: 'connection_lost', again: 'client_closed' },
      told: { alice: { seen: ['online'] }, bob: { seen: ['online', 'closed client_closed'] } },
    },
  },
  ...MODES.flatMap((mode): Row[] => [
    {
      name: `F7 F8 F9 F18 a ${mode} call rings, is accepted, muted and hung up, and is in the history of both`,
      mode,
      run: async ({ page, talk, over, until, code }, mode) => {
        const [alice, bob] = [await page('alice'), await page('bob')];
        const second = alice.once('timer');
        const started = await talk(alice, bob, 'alice-bob', mode);
        const timer = await second;
        alice.mute();
        await until(() => bob.call?.peerMuted || undefined);
        alice.unmute();
        await until(() => bob.call?.peerMuted === false || undefined);
        const running = (await alice.listCalls('alice-bob')).calls[0];
        const id = started.recordingId;
        const early = id && [
          (await bob.getRecording(id)).state,
          (await bob.listRecordings('alice-bob')).recordings[0]?.id === id,
          await code(bob.playbackUrl(id)),
          await code(bob.peaks(id)),
        ];
        await until(() => alice.durationMs > 600 || undefined);
        const available = [alice, bob].map((each) =>
          each.once('recording', ({ state }: { state: string }) => state === 'available'),
        );
        const end = over(alice, bob);
        await bob.hangup();
        await end;
        if (id) await Promise.all(available);
        const [mine, theirs] = await until(async () => {
          const rows = await Promise.all(
            [alice, bob].map(async (each) => (await each.listCalls('alice-bob', { limit: 1 })).calls[0]),
          );
          return rows.every((row) => row?.callId === started.callId && row.state === 'ended')
            ? rows
            : undefined;
        });
        const copies = id && (await Promise.all([alice, bob].map((each) => each.getRecording(id))));
        const peaks = id && (await alice.peaks(id));
        return {
          started: [started.state, started.side, started.recording, started.mode, started.peer.userId],
          timer,
          running: [running?.state, running?.missed, running?.recordingId === id],
          history: [mine?.side, theirs?.side, mine?.mode, mine?.endReason, mine?.missed, theirs?.missed],
          lasted: (mine?.durationMs ?? 0) > 500,
          names: [mine?.caller, mine?.callee],
          named: mine?.recordingId === id,
          left: [alice.call, bob.call, alice.muted],
          ...(id && copies && peaks
            ? {
                early,
                copies: copies.map((each) => [each.state, each.mode, each.caller, each.callee]),
                same: JSON.stringify(copies[0]) === JSON.stringify(copies[1]),
                lasts: (copies[0]?.durationMs ?? 0) > 300 && (copies[0]?.sizeBytes ?? 0) > 0,
                legs: copies[0]?.legs?.map(({ userId }) => userId),
                listed: (await bob.listRecordings('alice-bob')).recordings[0]?.state,
                url: await code(alice.playbackUrl(id)),
                peaks: [peaks.version, peaks.channels, peaks.length > 0, peaks.data.length / peaks.length],
                timeline: await alice.timeline(id),
              }
            : {}),
        };
      },
      expected: {
        answer: {
          started: ['ringing', 'caller', false, mode, 'bob'],
          timer: { seconds: 0 },
          running: ['active', false, true],
          history: ['caller', 'callee', mode, 'hangup', false, false],
          lasted: true,
          names: [
            { userId: 'alice', name: 'Alice' },
            { userId: 'bob', name: 'Bob' },
          ],
          named: true,
          left: [undefined, undefined, false],
          ...(mode === 'voice'
            ? {}
            : {
                early: ['capturing', true, 'recording_not_ready', 'recording_not_ready'],
                copies: [1, 2].map(() => [
                  'available',
                  'secure',
                  { userId: 'alice', name: 'Alice' },
                  { userId: 'bob', name: 'Bob' },
                ]),
                same: true,
                lasts: true,
                legs: ['alice', 'bob'],
                listed: 'available',
                url: 'ok',
                peaks: [2, 2, true, 4],
                timeline: { segments: [], messages: [] },
              }),
        },
        told: {
          alice: {
            seen: ['online', 'call ringing', 'call connecting', active(mode), 'no call', 'ended hangup'],
            mutes: ['muted', 'unmuted'],
            ...recordingOf(mode),
          },
          bob: {
            seen: [
              'online',
              `incoming ${mode} from alice`,
              'call connecting',
              active(mode),
              'no call',
              'ended hangup',
            ],
            mutes: ['other muted', 'other unmuted'],
            ...recordingOf(mode),
          },
        },
      },
    },
    {
      name: `F10 a ${mode} call is declined, for all devices, and was not missed`,
      mode,
      run: async ({ page, ring, over, until, code }, mode) => {
        const [alice, bob, second] = [await page('alice'), await page('bob'), await page('bob')];
        const rings = second.once('incoming');
        const { callId } = await ring(alice, bob, 'alice-bob', mode);
        await rings;
        const end = over(alice, bob, second);
        await bob.decline();
        await end;
        const row = await until(async () => {
          const [newest] = (await bob.listCalls('alice-bob', { limit: 1 })).calls;
          return newest?.callId === callId && newest.state === 'ended' ? newest : undefined;
        });
        return [row.endReason, row.missed, row.recordingId, await code(second.decline()), bob.incoming];
      },
      expected: {
        answer: ['declined', false, undefined, 'ok', undefined],
        told: {
          alice: { seen: ['online', 'call ringing', 'no call', 'ended declined'] },
          bob: { seen: ['online', `incoming ${mode} from alice`, 'ended declined'] },
          'bob 2': { seen: ['online', `incoming ${mode} from alice`, 'ended declined'] },
        },
      },
    },
    {
      name: `F10 F18 a ${mode} call is taken back, and was missed`,
      mode,
      run: async ({ page, ring, over, until }, mode) => {
        const [alice, bob] = [await page('alice'), await page('bob')];
        const { callId } = await ring(alice, bob, 'alice-bob', mode);
        const end = over(alice, bob);
        await alice.hangup();
        await end;
        const row = await until(async () => {
          const [newest] = (await bob.listCalls('alice-bob', { limit: 1 })).calls;
          return newest?.callId === callId && newest.state === 'ended' ? newest : undefined;
        });
        return [row.endReason, row.missed, row.side, row.durationMs, bob.incoming];
      },
      expected: {
        answer: ['cancelled', true, 'callee', undefined, undefined],
        told: {
          alice: { seen: ['online', 'call ringing', 'no call', 'ended cancelled'] },
          bob: { seen: ['online', `incoming ${mode} from alice`, 'ended cancelled'] },
        },
      },
    },
  ]),
  {
    name: 'F10 nobody answers',
    run: async ({ page, ring, over }) => {
      const [alice, bob] = [await page('alice'), await page('bob')];
      const end = over(alice, bob);
      await ring(alice, bob, 'alice-bob', 'voice');
      await end;
      return undefined;
    },
    expected: {
      answer: undefined,
      told: {
        alice: { seen: ['online', 'call ringing', 'no call', 'ended no_answer'] },
        bob: { seen: ['online', 'incoming voice from alice', 'ended no_answer'] },
      },
    },
  },
  {
    name: 'F10 whoever is offline is not rung, the caller is told at once, and the other has missed it',
    run: async ({ page, code }) => {
      const alice = await page('alice');
      const refused = await code(alice.startCall({ chatId: 'alice-bob', mode: 'voice' }));
      const [row] = (await alice.listCalls('alice-bob')).calls;
      return [refused, row?.endReason, row?.missed, row?.state];
    },
    expected: {
      answer: ['user_offline', 'offline', true, 'ended'],
      told: { alice: { seen: ['online', 'no call'] } },
    },
  },
  {
    name: 'F10 a person is in one call at a time, whatever the device, and a third one is told so',
    run: async ({ page, talk, over, code }) => {
      const [alice, second, bob] = [await page('alice'), await page('alice'), await page('bob')];
      const carol = await page('carol');
      await talk(alice, bob, 'alice-bob', 'voice');
      const codes = [
        await code(alice.startCall({ chatId: 'alice-bob', mode: 'voice' })),
        await code(second.startCall({ chatId: 'alice-bob', mode: 'voice' })),
        await code(carol.startCall({ chatId: 'alice-carol', mode: 'voice' })),
      ];
      const [row] = (await carol.listCalls('alice-carol')).calls;
      const end = over(alice, bob);
      await alice.hangup();
      await end;
      return { codes, busy: [row?.endReason, row?.missed, row?.callee.userId] };
    },
    expected: {
      answer: { codes: ['already_in_call', 'already_in_call', 'user_busy'], busy: ['busy', true, 'alice'] },
      told: {
        alice: {
          seen: ['online', 'call ringing', 'call connecting', 'call active', 'no call', 'ended hangup'],
        },
        'alice 2': { seen: ['online', 'no call'] },
        bob: {
          seen: [
            'online',
            'incoming voice from alice',
            'call connecting',
            'call active',
            'no call',
            'ended hangup',
          ],
        },
        carol: { seen: ['online', 'no call'] },
      },
    },
  },
  {
    name: 'F11 every device rings, also one that comes later; the first accept wins, and the others stop',
    run: async ({ page, ring, over, until, code }) => {
      const [alice, bob] = [await page('alice'), await page('bob')];
      await ring(alice, bob, 'alice-bob', 'voice');
      const second = await page('bob');
      const stopped = over(bob);
      await second.accept();
      await stopped;
      await until(() => (alice.call?.state === 'active' && second.call?.state === 'active') || undefined);
      const late = await code(bob.accept());
      const end = over(alice, second);
      await alice.hangup();
      await end;
      return late;
    },
    expected: {
      answer: 'conflict',
      told: {
        alice: {
          seen: ['online', 'call ringing', 'call connecting', 'call active', 'no call', 'ended hangup'],
        },
        bob: { seen: ['online', 'incoming voice from alice', 'ended answered_elsewhere'] },
        'bob 2': {
          seen: [
            // It rings with the sign-in.
            'incoming voice from alice',
            'online',
            'call connecting',
            'call active',
            'no call',
            'ended hangup',
          ],
        },
      },
    },
  },
  {
    name: 'F5 a secure call needs consent of both to the very text in force',
    run: async ({ page, ring, over, consent, code }) => {
      const [alice, bob] = [await page('alice'), await page('bob')];
      const { consent: agreed } = await consent(alice, 'secure');
      if (agreed === undefined) throw new Error('a secure call has a text');
      const wrong = [
        undefined,
        { ...agreed, disclosureSha256: '0'.repeat(64) },
        { ...agreed, disclosureVersion: agreed.disclosureVersion + 1 },
        { ...agreed, locale: 'de' },
      ];
      const codes: string[] = [];
      for (const each of wrong) {
        const params = { chatId: 'alice-bob', mode: 'secure' as const };
        codes.push(await code(alice.startCall(each === undefined ? params : { ...params, consent: each })));
      }
      await ring(alice, bob, 'alice-bob', 'secure');
      for (const each of wrong) codes.push(await code(bob.accept(each)));
      const rings = [alice.call?.state, bob.incoming?.state];
      const end = over(alice, bob);
      await bob.decline();
      await end;
      return { codes, rings };
    },
    expected: {
      answer: { codes: Array(8).fill('consent_required'), rings: ['ringing', 'ringing'] },
      told: {
        alice: { seen: ['online', 'no call', 'call ringing', 'no call', 'ended declined'] },
        bob: { seen: ['online', 'incoming secure from alice', 'no call', 'ended declined'] },
      },
    },
  },
  {
    name: 'F12 F30 what a role may not do is refused by one code; being called needs no permission',
    run: async ({ page, ring, over, consent, code }) => {
      const [alice, carol] = [await page('alice'), await page('carol')];
      const agreed = await consent(carol, 'secure');
      const codes = [
        await code(carol.startCall({ chatId: 'alice-carol', mode: 'secure', ...agreed })),
        await code(carol.startCall({ chatId: 'alice-carol', mode: 'secure' })),
        await code(carol.listRecordings('alice-carol')),
        await code(carol.getRecording('00000000-0000-4000-8000-000000000000')),
        await code(carol.listCalls('alice-carol')),
      ];
      await ring(alice, carol, 'alice-carol', 'secure');
      const end = over(alice, carol);
      await carol.decline();
      await end;
      return codes;
    },
    expected: {
      answer: ['role_not_allowed', 'role_not_allowed', 'role_not_allowed', 'role_not_allowed', 'ok'],
      told: {
        alice: { seen: ['online', 'call ringing', 'no call', 'ended declined'] },
        carol: { seen: ['online', 'no call', 'incoming secure from alice', 'ended declined'] },
      },
    },
  },
  {
    name: 'F28 an app that does not record has voice calls only',
    world: 'silent',
    run: async ({ page, ring, over, code }) => {
      const [alice, bob] = [await page('alice'), await page('bob')];
      const refused = await code(alice.startCall({ chatId: 'alice-bob', mode: 'secure' }));
      await ring(alice, bob, 'alice-bob', 'voice');
      const end = over(alice, bob);
      await alice.hangup();
      await end;
      return [refused, alice.may.secure, alice.may.voice];
    },
    expected: {
      answer: ['recording_disabled', false, true],
      told: {
        alice: { seen: ['online', 'no call', 'call ringing', 'no call', 'ended cancelled'] },
        bob: { seen: ['online', 'incoming voice from alice', 'ended cancelled'] },
      },
    },
  },
  {
    name: 'a token is renewed on the open connection, before it runs out',
    run: async ({ page, tokens, until, code }) => {
      const alice = await page('alice', { tokenLifetimeMs: 3_000 });
      const first = performance.now() + 3_000;
      await until(() => tokens(alice) > 1 || undefined);
      await until(() => performance.now() > first || undefined);
      return await code(alice.presence(['bob']));
    },
    expected: { answer: 'ok', told: { alice: { seen: ['online'] } } },
  },
  {
    name: 'without a newer token the page is signed off by its name',
    run: async ({ page, until, code }) => {
      const alice = await page('alice', { tokenLifetimeMs: 2_000, fixedToken: true });
      await until(() => alice.state === 'closed' || undefined);
      return await code(alice.listCalls('alice-bob'));
    },
    expected: {
      answer: 'token_expired',
      told: { alice: { seen: ['online', 'reconnecting', 'closed token_expired'] } },
    },
  },
  ...MODES.map((mode): Row => {
    const told = (first: string[]): Told => ({
      seen: [...first, 'call connecting', active(mode), 'no call', 'ended hangup'],
      ...recordingOf(mode),
    });
    const [alice, bob] = [told(['online', 'call ringing']), told(['online', `incoming ${mode} from alice`])];
    bob.seen.splice(4, 0, 'reconnecting', 'online');
    bob.mutes = ['muted'];
    alice.mutes = ['other muted'];
    return {
      name: `F16 a ${mode} call goes on while a connection comes back within the grace period`,
      mode,
      run: async ({ page, talk, cut, over, until }, mode) => {
        const [alice, bob] = [await page('alice'), await page('bob')];
        const { recordingId } = await talk(alice, bob, 'alice-bob', mode);
        bob.mute();
        await until(() => alice.call?.peerMuted || undefined);
        cut(bob);
        await until(() => bob.state === 'reconnecting' || undefined);
        await until(() => bob.state === 'online' || undefined);
        const kept = [bob.call?.state, alice.call?.state, bob.muted, alice.call?.peerMuted];
        const available = [alice, bob].map((each) =>
          each.once('recording', ({ state }: { state: string }) => state === 'available'),
        );
        const end = over(alice, bob);
        await alice.hangup();
        await end;
        if (recordingId) await Promise.all(available);
        return kept;
      },
      expected: { answer: ['active', 'active', true, true], told: { alice, bob } },
    };
  }),
  {
    name: 'F16 whoever stays away longer has left the call, and learns it on coming back',
    run: async ({ page, talk, keepAway, letBack, over }) => {
      const [alice, bob] = [await page('alice'), await page('bob')];
      await talk(alice, bob, 'alice-bob', 'voice');
      const [mine, theirs] = [over(alice), over(bob)];
      keepAway(bob);
      await mine;
      letBack(bob);
      await theirs;
      return alice.call;
    },
    expected: {
      answer: undefined,
      told: {
        alice: {
          seen: [
            'online',
            'call ringing',
            'call connecting',
            'call active',
            'no call',
            'ended connection_lost',
          ],
        },
        bob: {
          seen: [
            'online',
            'incoming voice from alice',
            'call connecting',
            'call active',
            'reconnecting',
            'no call',
            'ended connection_lost',
            'online',
          ],
        },
      },
    },
  },
  {
    name: 'F16 a caller who is lost while it rings has taken the call back after the grace period',
    run: async ({ page, ring, keepAway, over, until }) => {
      const [alice, bob] = [await page('alice'), await page('bob')];
      const { callId } = await ring(alice, bob, 'alice-bob', 'voice');
      const end = over(bob);
      keepAway(alice);
      await end;
      const row = await until(async () => {
        const [newest] = (await bob.listCalls('alice-bob', { limit: 1 })).calls;
        return newest?.callId === callId && newest.state === 'ended' ? newest : undefined;
      });
      return [row.endReason, row.missed];
    },
    expected: {
      answer: ['cancelled', true],
      told: {
        alice: { seen: ['online', 'call ringing', 'reconnecting'] },
        bob: { seen: ['online', 'incoming voice from alice', 'ended cancelled'] },
      },
    },
  },
  {
    name: 'F16 a page that is loaded anew takes the place of the older one, and leaves its call',
    run: async ({ page, talk, over, until }) => {
      const [alice, bob] = [await page('alice'), await page('bob', { device: 'one-device-of-bob' })];
      await talk(alice, bob, 'alice-bob', 'voice');
      const end = over(alice, bob);
      const again = await page('bob', { device: 'one-device-of-bob' });
      await end;
      await until(() => bob.state === 'closed' || undefined);
      return [again.state, again.call];
    },
    expected: {
      answer: ['online', undefined],
      told: {
        alice: {
          seen: ['online', 'call ringing', 'call connecting', 'call active', 'no call', 'ended hangup'],
        },
        bob: {
          seen: [
            'online',
            'incoming voice from alice',
            'call connecting',
            'call active',
            'no call',
            'ended connection_lost connection_lost',
            'closed connection_lost',
          ],
        },
        'bob 2': { seen: ['online'] },
      },
    },
  },
  {
    name: 'a page that goes ends its call for the other side at once',
    run: async ({ page, talk, over }) => {
      const [alice, bob] = [await page('alice'), await page('bob')];
      await talk(alice, bob, 'alice-bob', 'voice');
      const end = over(bob);
      await alice.close();
      await end;
      return alice.state;
    },
    expected: {
      answer: 'closed',
      told: {
        alice: {
          seen: [
            'online',
            'call ringing',
            'call connecting',
            'call active',
            'no call',
            'ended hangup',
            'closed client_closed',
          ],
        },
        bob: {
          seen: [
            'online',
            'incoming voice from alice',
            'call connecting',
            'call active',
            'no call',
            'ended hangup',
          ],
        },
      },
    },
  },
  {
    name: 'F8 whoever is muted before the other accepts is shown as muted then',
    run: async ({ page, ring, over, until }) => {
      const [alice, bob] = [await page('alice'), await page('bob')];
      await ring(alice, bob, 'alice-bob', 'voice');
      alice.mute();
      await bob.accept();
      await until(() => (bob.call?.state === 'active' && bob.call.peerMuted) || undefined);
      const end = over(alice, bob);
      await bob.hangup();
      await end;
      return alice.muted;
    },
    expected: {
      answer: false,
      told: {
        alice: {
          seen: ['online', 'call ringing', 'call connecting', 'call active', 'no call', 'ended hangup'],
          mutes: ['muted'],
        },
        bob: {
          seen: [
            'online',
            'incoming voice from alice',
            'call connecting',
            'call active',
            'no call',
            'ended hangup',
          ],
          mutes: ['other muted'],
        },
      },
    },
  },
  {
    name: 'F18 the history comes in pages, newest first, each call once',
    run: async ({ page, ring, over, until, code }) => {
      const [alice, bob] = [await page('alice'), await page('bob')];
      const placed: string[] = [];
      for (let count = 0; count < 3; count += 1) {
        const { callId } = await ring(alice, bob, 'alice-bob', 'voice');
        placed.unshift(callId);
        const end = over(bob);
        await alice.hangup();
        await end;
      }
      const all = await until(async () => {
        const { calls } = await alice.listCalls('alice-bob', { limit: 3 });
        return calls.every(({ state }) => state === 'ended') ? calls : undefined;
      });
      const first = await alice.listCalls('alice-bob', { limit: 2 });
      const second = await alice.listCalls('alice-bob', { limit: 1, cursor: first.next ?? '' });
      const ids = (calls: CallHistoryItem[]): string => calls.map(({ callId }) => callId).join();
      return {
        whole: ids(all) === placed.join(),
        pages: ids([...first.calls, ...second.calls]) === placed.join(),
        codes: [
          await code(alice.listCalls('alice-bob', { limit: 0 })),
          await code(alice.listCalls('alice-bob', { limit: 101 })),
          await code(alice.listCalls('alice-bob', { cursor: '00000000-0000-4000-8000-000000000000' })),
          await code(alice.listRecordings('alice-bob', { cursor: '00000000-0000-4000-8000-000000000000' })),
        ],
      };
    },
    expected: {
      answer: {
        whole: true,
        pages: true,
        codes: ['bad_request', 'bad_request', 'bad_request', 'bad_request'],
      },
      told: {
        alice: {
          seen: ['online', ...Array(3).fill(['call ringing', 'no call', 'ended cancelled']).flat()],
        },
        bob: {
          seen: ['online', ...Array(3).fill(['incoming voice from alice', 'ended cancelled']).flat()],
        },
      },
    },
  },
  {
    name: 'F2 what is not there, not one’s own or not a chat of two has a name',
    run: async ({ page, code }) => {
      const [alice, bob] = [await page('alice'), await page('bob')];
      const id = '00000000-0000-4000-8000-000000000000';
      return [
        await code(alice.startCall({ chatId: 'no-such-chat', mode: 'voice' })),
        await code(bob.startCall({ chatId: 'alice-carol', mode: 'voice' })),
        await code(alice.startCall({ chatId: 'all', mode: 'voice' })),
        await code(alice.accept()),
        await code(alice.decline()),
        await code(alice.hangup()),
        await code(alice.listRecordings('no-such-chat')),
        await code(bob.listRecordings('alice-carol')),
        await code(alice.listCalls('no-such-chat')),
        await code(bob.listCalls('alice-carol')),
        await code(alice.getRecording(id)),
        await code(alice.playbackUrl(id)),
        await code(alice.peaks(id)),
        await code(alice.timeline(id)),
      ];
    },
    expected: {
      answer: [
        'not_found',
        'not_found',
        'not_a_direct_chat',
        'conflict',
        'ok',
        'ok',
        ...Array(8).fill('not_found'),
      ],
      told: { alice: { seen: ['online', 'no call'] }, bob: { seen: ['online', 'no call'] } },
    },
  },
];
