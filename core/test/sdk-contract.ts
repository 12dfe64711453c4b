import type { CallMode, CallView, Consent, Disclosure, Recording } from '#protocol';

/**
 * What a page may rely on, whatever stands behind the SDK: a real server, or the one in memory. Each row runs in the
 * page, so it uses nothing but its arguments; what it returns is compared with `expected`.
 */

/** The part of client/sdk `VerbatimClient` that is used here; the SDK's own types need those of the DOM. */
export interface ContractClient {
  userId: string | undefined;
  state: string;
  may: Record<string, boolean>;
  call: CallView | undefined;
  incoming: CallView | undefined;
  muted: boolean;
  connect(): Promise<void>;
  close(): Promise<void>;
  presence(userIds: string[]): Promise<Set<string>>;
  disclosure(locale?: string): Promise<Disclosure>;
  startCall(params: { chatId: string; mode: CallMode; consent?: Consent }): Promise<CallView>;
  accept(consent?: Consent): Promise<CallView>;
  decline(): Promise<void>;
  hangup(): Promise<void>;
  mute(): void;
  listCalls(chatId: string, page?: object): Promise<{ calls: Record<string, unknown>[]; next?: string }>;
  listRecordings(chatId: string): Promise<{ recordings: Recording[] }>;
  getRecording(id: string): Promise<Recording>;
  playbackUrl(id: string): Promise<string>;
  peaks(id: string): Promise<{ version: number; channels: number; length: number; data: number[] }>;
  timeline(id: string): Promise<{ segments: unknown[]; messages: unknown[] }>;
  once(event: string, accept?: (payload: never) => boolean): Promise<unknown>;
}

export interface Scene {
  alice: ContractClient;
  bob: ContractClient;
  chatId: string;
  /** Another device of the same person, online. */
  another(who: 'alice' | 'bob'): Promise<ContractClient>;
  consentTo(disclosure: Disclosure): Consent;
  /** The code that a promise is refused with, or `ok`. */
  code(promise: Promise<unknown>): Promise<string>;
  /** Waits for what `ask` answers, as long as it is not `undefined`. */
  until<T>(ask: () => T | undefined | Promise<T | undefined>): Promise<T>;
  /** How a running call of this client ends. */
  ended(client: ContractClient): Promise<string>;
}

export interface Row {
  name: string;
  run(scene: Scene): Promise<unknown>;
  expected: unknown;
}

export const CONTRACT: readonly Row[] = [
  {
    name: 'signing in says who one is and what one may do',
    run: async ({ alice, bob }) => ({
      users: [alice.userId, bob.userId],
      states: [alice.state, bob.state],
      may: alice.may,
    }),
    expected: {
      users: ['alice', 'bob'],
      states: ['online', 'online'],
      may: { voice: true, secure: true, recordings: true },
    },
  },
  {
    name: 'presence tells who is online, and who has gone is not any more',
    run: async ({ alice, bob, until }) => {
      const before = [...(await alice.presence(['bob', 'nobody']))];
      await bob.close();
      await until(async () => ((await alice.presence(['bob'])).size === 0 ? true : undefined));
      return before;
    },
    expected: ['bob'],
  },
  {
    name: 'F1 F7 F8 F18 a voice call rings, is accepted, muted and hung up, and is in the history of both',
    run: async ({ alice, bob, chatId, ended, until }) => {
      const rings = bob.once('incoming');
      const started = await alice.startCall({ chatId, mode: 'voice' });
      await rings;
      const incoming = bob.incoming;
      const seconds = alice.once('timer');
      const accepted = await bob.accept();
      await until(() => (alice.call?.state === 'active' && bob.call?.state === 'active') || undefined);
      const told = await seconds;
      alice.mute();
      const peerMuted = await until(() => bob.call?.peerMuted || undefined);
      const over = Promise.all([ended(alice), ended(bob)]);
      await alice.hangup();
      const reasons = await over;
      const [mine, theirs] = await until(async () => {
        const rows = await Promise.all(
          [alice, bob].map(async (each) => (await each.listCalls(chatId)).calls[0]),
        );
        return rows.every((row) => row?.callId === started.callId && row?.state === 'ended')
          ? rows
          : undefined;
      });
      return {
        started: [started.state, started.side, started.recording, started.mode],
        rang: [incoming?.callId === started.callId, incoming?.side, incoming?.peer.userId],
        accepted: [accepted.state, accepted.side],
        told,
        peerMuted,
        reasons,
        sides: [mine?.side, theirs?.side],
        history: [mine?.mode, mine?.endReason, mine?.missed, typeof mine?.durationMs, mine?.recordingId],
        left: [alice.call, bob.call, alice.muted],
      };
    },
    expected: {
      started: ['ringing', 'caller', false, 'voice'],
      rang: [true, 'callee', 'alice'],
      accepted: ['connecting', 'callee'],
      told: { seconds: 0 },
      peerMuted: true,
      reasons: ['hangup', 'hangup'],
      sides: ['caller', 'callee'],
      history: ['voice', 'hangup', false, 'number', undefined],
      left: [undefined, undefined, false],
    },
  },
  {
    name: 'F10 a call is declined',
    run: async ({ alice, bob, chatId, ended }) => {
      const rings = bob.once('incoming');
      await alice.startCall({ chatId, mode: 'voice' });
      await rings;
      const over = Promise.all([ended(alice), ended(bob)]);
      await bob.decline();
      return await over;
    },
    expected: ['declined', 'declined'],
  },
  {
    name: 'F10 F18 a call is taken back, and was missed',
    run: async ({ alice, bob, chatId, ended, until }) => {
      const rings = bob.once('incoming');
      const { callId } = await alice.startCall({ chatId, mode: 'voice' });
      await rings;
      const over = Promise.all([ended(alice), ended(bob)]);
      await alice.hangup();
      const reasons = await over;
      const row = await until(async () => {
        const [newest] = (await bob.listCalls(chatId, { limit: 1 })).calls;
        return newest?.callId === callId && newest?.state === 'ended' ? newest : undefined;
      });
      return { reasons, incoming: bob.incoming, missed: row.missed };
    },
    expected: { reasons: ['cancelled', 'cancelled'], incoming: undefined, missed: true },
  },
  {
    name: 'F10 nobody answers',
    run: async ({ alice, bob, chatId, ended }) => {
      const over = Promise.all([ended(alice), ended(bob)]);
      await alice.startCall({ chatId, mode: 'voice' });
      return await over;
    },
    expected: ['no_answer', 'no_answer'],
  },
  {
    name: 'F10 whoever is offline is not rung, and the caller is told at once',
    run: async ({ alice, bob, chatId, code, until }) => {
      await bob.close();
      await until(async () => ((await alice.presence(['bob'])).size === 0 ? true : undefined));
      const refused = await code(alice.startCall({ chatId, mode: 'voice' }));
      const [row] = (await alice.listCalls(chatId)).calls;
      return { refused, call: alice.call, history: [row?.endReason, row?.missed, row?.state] };
    },
    expected: { refused: 'user_offline', call: undefined, history: ['offline', true, 'ended'] },
  },
  {
    name: 'F10 a person is in one call at a time, whatever the device',
    run: async ({ alice, bob, chatId, another, code }) => {
      const [second, rings] = [await another('alice'), bob.once('incoming')];
      await alice.startCall({ chatId, mode: 'voice' });
      await rings;
      const codes = [
        await code(alice.startCall({ chatId, mode: 'voice' })),
        await code(second.startCall({ chatId, mode: 'voice' })),
        await code(bob.startCall({ chatId, mode: 'voice' })),
      ];
      await alice.hangup();
      return codes;
    },
    expected: ['already_in_call', 'already_in_call', 'already_in_call'],
  },
  {
    name: 'F11 every device rings, the first accept wins, and the others stop',
    run: async ({ alice, bob, chatId, another, ended, code, until }) => {
      const second = await another('bob');
      const rings = Promise.all([bob.once('incoming'), second.once('incoming')]);
      await alice.startCall({ chatId, mode: 'voice' });
      await rings;
      const stopped = ended(bob);
      await second.accept();
      const reason = await stopped;
      await until(() => second.call?.state === 'active' || undefined);
      const late = await code(bob.accept());
      const over = ended(second);
      await alice.hangup();
      return { reason, late, over: await over, incoming: bob.incoming };
    },
    expected: { reason: 'answered_elsewhere', late: 'conflict', over: 'hangup', incoming: undefined },
  },
  {
    name: 'F5 a secure call needs consent to the very text in force',
    run: async ({ alice, bob, chatId, code, consentTo }) => {
      const text = await alice.disclosure('en');
      const consent = consentTo(text);
      const other = { ...consent, disclosureSha256: '0'.repeat(64) };
      const start = (params: object) => code(alice.startCall({ chatId, mode: 'secure', ...params }));
      const codes = [await start({}), await start({ consent: other })];
      const rings = bob.once('incoming');
      codes.push(await start({ consent }));
      await rings;
      codes.push(await code(bob.accept()), await code(bob.accept(other)));
      const stillRings = bob.incoming?.state;
      await alice.hangup();
      return { codes, stillRings };
    },
    expected: {
      codes: ['consent_required', 'consent_required', 'ok', 'consent_required', 'consent_required'],
      stillRings: 'ringing',
    },
  },
  {
    name: 'F9 F20 F24 F25 F27 a secure call is recorded, and both have the same recording',
    run: async ({ alice, bob, chatId, consentTo, ended, code, until }) => {
      const consent = consentTo(await alice.disclosure('en'));
      const rings = bob.once('incoming');
      await alice.startCall({ chatId, mode: 'secure', consent });
      await rings;
      await bob.accept(consent);
      const id = await until(() =>
        alice.call?.recording && bob.call?.recording ? alice.call.recordingId : undefined,
      );
      const same = bob.call?.recordingId === id;
      const available = Promise.all(
        [alice, bob].map((each) =>
          each.once(
            'recording',
            ({ recordingId, state }: { recordingId: string; state: string }) =>
              recordingId === id && state === 'available',
          ),
        ),
      );
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      const over = Promise.all([ended(alice), ended(bob)]);
      await bob.hangup();
      const reasons = await over;
      await available;
      const [mine, theirs] = await Promise.all([alice.getRecording(id), bob.getRecording(id)]);
      const listed = (await bob.listRecordings(chatId)).recordings[0];
      const peaks = await alice.peaks(id);
      const timeline = await alice.timeline(id);
      const [row] = (await alice.listCalls(chatId)).calls;
      return {
        same,
        reasons,
        equal: [mine, theirs, listed].every((each) => each?.id === id && each.state === 'available'),
        long: (mine.durationMs ?? 0) > 500,
        legs: mine.legs?.map(({ userId }) => userId),
        url: await code(bob.playbackUrl(id)),
        peaks: [peaks.version, peaks.channels, peaks.length > 0, peaks.data.length === peaks.length * 4],
        timeline,
        history: [row?.mode, row?.recordingId === id],
      };
    },
    expected: {
      same: true,
      reasons: ['hangup', 'hangup'],
      equal: true,
      long: true,
      legs: ['alice', 'bob'],
      url: 'ok',
      peaks: [2, 2, true, true],
      timeline: { segments: [], messages: [] },
      history: ['secure', true],
    },
  },
  {
    name: 'F18 the history comes in pages, newest first, each call once',
    run: async ({ alice, bob, chatId, ended }) => {
      for (let count = 0; count < 3; count += 1) {
        const rings = bob.once('incoming');
        await alice.startCall({ chatId, mode: 'voice' });
        await rings;
        const over = ended(bob);
        await alice.hangup();
        await over;
      }
      const all = (await alice.listCalls(chatId)).calls.slice(0, 3).map(({ callId }) => callId);
      const first = await alice.listCalls(chatId, { limit: 2 });
      const second = await alice.listCalls(chatId, { limit: 1, cursor: first.next });
      const paged = [...first.calls, ...second.calls].map(({ callId }) => callId);
      return [all.length, JSON.stringify(all) === JSON.stringify(paged), new Set(paged).size];
    },
    expected: [3, true, 3],
  },
  {
    name: 'what is not there, or not one’s own, has a name',
    run: async ({ alice, code }) => {
      const id = '00000000-0000-4000-8000-000000000000';
      return [
        await code(alice.startCall({ chatId: 'no-such-chat', mode: 'voice' })),
        await code(alice.accept()),
        await code(alice.listRecordings('no-such-chat')),
        await code(alice.listCalls('no-such-chat')),
        await code(alice.getRecording(id)),
        await code(alice.playbackUrl(id)),
        await code(alice.peaks(id)),
        await code(alice.timeline(id)),
      ];
    },
    expected: [
      'not_found',
      'conflict',
      'not_found',
      'not_found',
      'not_found',
      'not_found',
      'not_found',
      'not_found',
    ],
  },
  {
    name: 'a page that goes ends its call for the other side at once',
    run: async ({ alice, bob, chatId, ended, until }) => {
      const rings = bob.once('incoming');
      await alice.startCall({ chatId, mode: 'voice' });
      await rings;
      await bob.accept();
      await until(() => (alice.call?.state === 'active' && bob.call?.state === 'active') || undefined);
      const over = ended(bob);
      await alice.close();
      return { reason: await over, state: alice.state };
    },
    expected: { reason: 'hangup', state: 'closed' },
  },
];
