import { createHash } from 'node:crypto';
import t from 'tap';
import type { CallView, Consent, ErrorCode, NotificationName } from '#protocol';
import { VerbatimError } from '#protocol';
import { testDatabase } from '../db/fixture.ts';
import { addDisclosure, insertApp, putChat, putUser, setAppRecording } from '../db/index.ts';
import type { FakeCallMedia } from '../media/index.ts';
import { FakeMediaServer } from '../media/index.ts';
import { noEvidence } from '../recording/test/no-evidence.ts';
import type { RunningCapture } from './call-recorder.ts';
import type { Clock, Devices, Participant } from './ports.ts';
import { CallService } from './service.ts';

const db = await testDatabase(t);
const APP = 'shop';
const TEXT = 'This call is recorded.';
await insertApp(db, { id: APP, name: 'Shop', recordingEnabled: true });
for (const id of ['ann', 'ben', 'cat', 'dan']) await putUser(db, APP, id, { name: id.toUpperCase() });
await putChat(db, APP, 'pair', { kind: 'direct', members: ['ann', 'ben'] });
await putChat(db, APP, 'other-pair', { kind: 'direct', members: ['cat', 'ben'] });
await putChat(db, APP, 'third-pair', { kind: 'direct', members: ['cat', 'dan'] });
await putChat(db, APP, 'room', { kind: 'group', members: ['ann', 'ben', 'cat', 'dan'] });
await addDisclosure(db, { appId: APP, locale: 'en', body: TEXT });
const consent: Consent = {
  disclosureSha256: createHash('sha256').update(TEXT).digest('hex'),
  disclosureVersion: 1,
  locale: 'en',
};

const who = (userId: string, device = `${userId}-phone`): Participant => ({
  appId: APP,
  userId,
  device,
  name: userId.toUpperCase(),
});
const [ann, ben, cat] = [who('ann'), who('ben'), who('cat')];

/** Keeps what each device was told, in order. */
class KnownDevices implements Devices {
  readonly told: { to: string; device: string; name: NotificationName; params: unknown }[] = [];
  readonly signedIn = new Map<string, string[]>();

  online(_appId: string, userId: string): boolean {
    return this.devicesOf(_appId, userId).length > 0;
  }
  devicesOf(_appId: string, userId: string): string[] {
    return this.signedIn.get(userId) ?? [];
  }
  notify(_appId: string, to: string, device: string, name: NotificationName, params: unknown): void {
    this.told.push({ to, device, name, params });
  }
  lastView(userId: string, device?: string): CallView | undefined {
    const last = this.told.findLast(
      (each) => each.to === userId && each.name.startsWith('call.') && (!device || each.device === device),
    );
    return (last?.params as { call: CallView } | undefined)?.call;
  }
}

/** A clock that moves only when it is told to. */
class HandClock implements Clock {
  #now = Date.parse('2026-01-01T00:00:00Z');
  #timers = new Set<{ at: number; fire: () => void }>();
  now(): Date {
    return new Date(this.#now);
  }
  after(ms: number, fire: () => void): () => void {
    const timer = { at: this.#now + ms, fire };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
  move(ms: number): void {
    this.#now += ms;
    for (const timer of [...this.#timers].filter(({ at }) => at <= this.#now)) {
      this.#timers.delete(timer);
      timer.fire();
    }
  }
}

/** A recorder that does what the test says; the real one runs in the journeys. */
class HandRecorder {
  readonly acts: string[] = [];
  arm: () => void = () => {};
  lose: () => void = () => {};
  refuse = false;
  #epoch = 0;

  open(): Promise<RunningCapture> {
    return this.#found('open');
  }

  reopen(): Promise<RunningCapture> {
    return this.#found('reopen');
  }

  async #found(act: 'open' | 'reopen'): Promise<RunningCapture> {
    this.acts.push(act);
    if (this.refuse) throw new VerbatimError('recorder_unavailable');
    this.#epoch += 1;
    let gone: string | undefined;
    const armed = new Promise<{ seq: number; head: string }>((resolve) => {
      this.arm = () => resolve({ seq: 1, head: '00' });
    });
    return {
      recorder: { recorderId: `r${this.#epoch}`, ip: '127.0.0.1', port: 5000 },
      epoch: this.#epoch,
      armed,
      get lost() {
        return gone;
      },
      start: async () => void this.acts.push('start'),
      mark: (mark, side) => void this.acts.push(`${mark} ${side}`),
      stop: async (reason) => void this.acts.push(`stop ${reason}`),
      on: (_event, handler) => {
        this.lose = () => {
          gone = 'gone';
          handler(gone);
        };
      },
    };
  }
}

function stage(
  online: Record<string, string[]> = { ann: ['ann-phone'], ben: ['ben-phone'], cat: ['cat-phone'] },
  maxCalls = 10,
) {
  const devices = new KnownDevices();
  for (const [user, list] of Object.entries(online)) devices.signedIn.set(user, list);
  const media = new FakeMediaServer();
  const recorder = new HandRecorder();
  const clock = new HandClock();
  const warnings: object[] = [];
  const service = new CallService({
    db,
    evidence: noEvidence,
    media,
    recording: recorder,
    devices,
    clock,
    limits: { graceMs: 15_000, connectTimeoutMs: 20_000, maxCalls },
    ice: {
      stunUrls: ['stun:relay.example'],
      turnUrls: ['turn:relay.example'],
      secret: 'north',
      credentialSeconds: 3_600,
      relayOnly: false,
    },
    log: { warn: (o) => void warnings.push(o), info: () => {} },
  });
  const mediaOf = (callId: string): FakeCallMedia => {
    const found = media.calls.get(callId);
    if (!found) throw new Error('the call has no media');
    return found;
  };
  return { devices, media, recorder, clock, service, warnings, mediaOf };
}
type Stage = ReturnType<typeof stage>;

async function refused(work: Promise<unknown>): Promise<ErrorCode | 'nothing'> {
  try {
    await work;
    return 'nothing';
  } catch (error) {
    if (error instanceof VerbatimError) return error.code;
    throw error;
  }
}

/** Everything that both browsers do, up to the moment before the recorder is armed. */
async function connect({ service }: Stage, secure: boolean): Promise<CallView> {
  const call = await service.start(ann, {
    chatId: 'pair',
    mode: secure ? 'secure' : 'voice',
    ...(secure ? { consent } : {}),
  });
  await service.accept(ben, { callId: call.callId, ...(secure ? { consent } : {}) });
  if (!secure) {
    const { callId } = call;
    service.describePeer(ann, { callId, kind: 'offer', round: 1, sdp: 'v=0' });
    service.describePeer(ben, { callId, kind: 'answer', round: 1, sdp: 'v=0' });
    for (const side of [ann, ben]) await service.reportPath(side, { callId }, 'connected');
    return call;
  }
  for (const side of [ann, ben]) {
    await service.openMedia(side, { callId: call.callId, rtpCapabilities: {} });
    await service.produce(side, { callId: call.callId, rtpParameters: {} });
  }
  return call;
}

async function told(stage: Stage, userId: string, fits: (view: CallView) => boolean): Promise<CallView> {
  for (let turn = 0; turn < 1000; turn++) {
    const view = stage.devices.lastView(userId);
    if (view && fits(view)) return view;
    await settle();
  }
  throw new Error(`${userId} was last told ${JSON.stringify(stage.devices.lastView(userId))}`);
}

/** Lets everything run that does not wait for a clock or for I/O. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

const rowOf = async (callId: string) => {
  const [row] = await db.sql<{ state: string; reason: string | null }[]>`
    select state, end_reason as reason from calls where id = ${callId}`;
  return row;
};

t.test(
  'F34 audio passes only after both consents, both microphones and an armed recorder, in this order',
  async (t) => {
    const s = stage();
    const call = await connect(s, true);
    const media = s.mediaOf(call.callId);
    await told(s, 'ann', (view) => view.state === 'connecting');
    for (let turn = 0; turn < 50 && !media.acts.includes('resumeRecorder'); turn++) {
      await settle();
    }
    t.ok(media.acts.includes('resumeRecorder'), 'the recorder hears both');
    t.equal(media.audible, false, 'and the two do not hear each other yet');
    s.recorder.arm();
    const view = await told(s, 'ben', ({ recording }) => recording);
    t.equal(view.state, 'active');
    t.equal(media.audible, true);
    t.ok(media.acts.indexOf('resumeConsumers') > media.acts.indexOf('resumeRecorder'));
    const consents =
      await db.sql`select side, user_id, action from consents where call_id = ${call.callId} order by side`;
    t.same(
      [...consents],
      [
        { side: 'callee', user_id: 'ben', action: 'accept' },
        { side: 'caller', user_id: 'ann', action: 'start' },
      ],
      'F5 both consents are stored',
    );
    await s.service.mute(ann, { callId: call.callId, muted: true });
    t.ok(s.recorder.acts.includes('mute caller'), 'a mute is marked in the journal');
    t.equal((await told(s, 'ben', ({ peerMuted }) => peerMuted)).peerMuted, true);
    await s.service.hangup(ben, { callId: call.callId });
    t.equal((await told(s, 'ann', ({ state }) => state === 'ended')).endReason, 'hangup');
    await s.service.close();
    t.ok(s.recorder.acts.includes('stop hangup'));
    t.equal(media.closed, true);
    t.same(await rowOf(call.callId), { state: 'ended', reason: 'hangup' });
    t.equal(s.service.count, 0);
  },
);

t.test('F34 no recorder: the call ends with recorder_unavailable and nothing was audible', async (t) => {
  const s = stage();
  s.recorder.refuse = true;
  const call = await s.service.start(ann, { chatId: 'pair', mode: 'secure', consent });
  const media = s.mediaOf(call.callId);
  await s.service.accept(ben, { callId: call.callId, consent });
  t.equal((await told(s, 'ann', ({ state }) => state === 'ended')).endReason, 'recorder_unavailable');
  t.notOk(media.acts.includes('resumeConsumers'));
  await s.service.close();
});

/** A secure call that is recorded, as both see it. */
async function recorded(s: Stage): Promise<{ call: CallView; media: FakeCallMedia }> {
  const call = await connect(s, true);
  const media = s.mediaOf(call.callId);
  await told(s, 'ann', () => media.recorded);
  s.recorder.arm();
  for (const user of ['ann', 'ben']) await told(s, user, ({ recording }) => recording);
  return { call, media };
}

t.test(
  'F34 a recorder lost in mid-call silences both until another one is armed, as often as it happens',
  async (t) => {
    const s = stage();
    const { media } = await recorded(s);
    const { activeAt } = s.devices.lastView('ann') ?? {};
    for (const recorderId of ['r2', 'r3']) {
      s.recorder.lose();
      for (const user of ['ann', 'ben']) {
        const view = await told(s, user, ({ recording }) => !recording);
        t.equal(view.state, 'active', 'the call goes on');
      }
      t.equal(media.audible, false, 'neither hears the other');
      await told(s, 'ann', () => media.recorded && media.recorder?.recorderId === recorderId);
      t.equal(media.audible, false, 'a recorder that listens is not enough');
      s.recorder.arm();
      for (const user of ['ann', 'ben']) await told(s, user, ({ recording }) => recording);
      t.equal(media.audible, true);
      s.clock.move(60_000);
    }
    t.equal(s.devices.lastView('ann')?.activeAt, activeAt, 'it is the same call');
    t.equal(s.devices.lastView('ann')?.state, 'active', 'no timer of a re-attachment is left');
    await s.service.close();
    t.same(
      s.recorder.acts.filter((act) => act.startsWith('stop')),
      ['stop shutdown'],
      'it is stopped once',
    );
  },
);

t.test('F34 without another recorder within 3 s the call ends with recording_lost for both', async (t) => {
  for (const answer of ['none', 'refused', 'never armed'] as const) {
    const s = stage();
    const { media } = await recorded(s);
    s.recorder.refuse = answer === 'refused';
    if (answer === 'none') s.recorder.reopen = () => new Promise(() => undefined);
    s.recorder.lose();
    await told(s, 'ann', ({ recording }) => !recording);
    if (answer === 'never armed') await told(s, 'ann', () => media.recorder?.recorderId === 'r2');
    s.clock.move(2_999);
    await settle();
    if (answer !== 'refused') t.equal(s.devices.lastView('ann')?.state, 'active', `${answer}: it waits`);
    s.clock.move(1);
    for (const user of ['ann', 'ben']) {
      t.equal((await told(s, user, ({ state }) => state === 'ended')).endReason, 'recording_lost', answer);
    }
    t.equal(media.acts.filter((act) => act === 'resumeConsumers').length, 1, 'nobody heard anything more');
    await s.service.close();
  }
});

t.test('F8 F34 what happens while another recorder is looked for is not lost', async (t) => {
  const s = stage();
  const { call, media } = await recorded(s);
  await s.service.mute(ann, { callId: call.callId, muted: true });
  s.clock.move(10_000);
  await s.service.mute(ben, { callId: call.callId, muted: true });
  const found = Promise.withResolvers<void>();
  const next = s.recorder.reopen.bind(s.recorder);
  s.recorder.reopen = () => found.promise.then(next);
  s.recorder.lose();
  await told(s, 'ann', ({ recording }) => !recording);
  await s.service.mute(ann, { callId: call.callId, muted: false });
  media.emit('iceState', 'callee', 'disconnected');
  media.emit('iceState', 'callee', 'connected');
  await settle();
  s.recorder.acts.length = 0;
  found.resolve();
  await told(s, 'ann', () => media.recorder?.recorderId === 'r2' && media.recorded);
  s.recorder.arm();
  await told(s, 'ann', ({ recording }) => recording);
  t.same(
    s.recorder.acts.filter((act) => / (caller|callee)$/.test(act)),
    ['mute callee', 'unmute caller', 'reattach callee'],
    'the next journal has the moments that the lost one may lack, in order',
  );
  s.recorder.lose();
  await told(s, 'ann', ({ recording }) => !recording);
  await s.service.hangup(ben, { callId: call.callId });
  t.equal((await told(s, 'ann', ({ state }) => state === 'ended')).endReason, 'hangup');
  await s.service.close();
});

t.test('F1 F14 a voice call asks for no recorder and for nothing of the media server', async (t) => {
  const s = stage();
  s.media.maxCalls = 0;
  const call = await connect(s, false);
  t.equal((await told(s, 'ben', ({ state }) => state === 'active')).recording, false);
  t.same(s.recorder.acts, []);
  t.equal(s.media.calls.size, 0, 'not even a place on it');
  s.media.dieWorker();
  await settle();
  t.equal(s.devices.lastView('ann')?.state, 'active', 'and outlives its workers');
  await s.service.close();
  t.same(await rowOf(call.callId), { state: 'ended', reason: 'shutdown' }, 'closing ends it with a reason');
});

t.test('F16 a lost device has the grace period, a goodbye has none', async (t) => {
  const s = stage();
  await recorded(s);
  s.service.deviceLeft(ben, 'lost');
  await settle();
  s.clock.move(14_999);
  t.equal(s.devices.lastView('ann')?.state, 'active');
  s.devices.told.length = 0;
  t.equal(s.service.signedIn(ben).call?.state, 'active', 'the same device finds its call again');
  t.ok(
    s.devices.told.some(({ to, name }) => to === 'ben' && name === 'media.consumer'),
    'and is offered once more what it may have missed',
  );
  t.equal(s.service.signedIn(who('ben', 'ben-desk')).call, undefined, 'another device does not');
  await settle();
  s.clock.move(20_000);
  t.notOk(s.devices.lastView('ann'), 'and the old grace period has no effect');
  s.service.deviceLeft(ben, 'lost');
  await settle();
  s.clock.move(15_000);
  t.equal((await told(s, 'ann', ({ state }) => state === 'ended')).endReason, 'connection_lost');

  await connect(s, false);
  await told(s, 'ann', ({ state }) => state === 'active');
  s.service.deviceLeft(ann, 'goodbye');
  t.equal((await told(s, 'ben', ({ state }) => state === 'ended')).endReason, 'hangup');
  await s.service.close();
});

t.test(
  'F16 a device that lost its connection in between asks for its media again, and gets the same',
  async (t) => {
    const s = stage();
    const { callId } = await s.service.start(ann, { chatId: 'pair', mode: 'secure', consent });
    await s.service.accept(ben, { callId, consent });
    const asked = { callId, rtpCapabilities: {} };
    // The first one is still being worked on when the device is back.
    const [before, meanwhile] = await Promise.all([
      s.service.openMedia(ann, asked),
      s.service.openMedia(ann, asked),
    ]);
    t.strictSame(meanwhile, before);
    t.strictSame(await s.service.openMedia(ann, asked), before);
    const connected = { callId, direction: 'send' as const, dtlsParameters: {} };
    await s.service.connectMedia(ann, connected);
    await s.service.connectMedia(ann, connected);
    const sent = { callId, rtpParameters: {} };
    const producer = await s.service.produce(ann, sent);
    t.strictSame(await s.service.produce(ann, sent), producer);
    t.equal(
      await refused(s.service.produce(ann, { callId, rtpParameters: { codecs: [] } })),
      'conflict',
      'nothing is made twice',
    );
    await s.service.close();
  },
);

t.test('F10 F13 ringing and connecting end by themselves, each with its reason', async (t) => {
  const s = stage();
  await s.service.start(ann, { chatId: 'pair', mode: 'voice' });
  s.clock.move(45_000);
  t.equal((await told(s, 'ben', ({ state }) => state === 'ended')).endReason, 'no_answer');
  const call = await s.service.start(ann, { chatId: 'pair', mode: 'voice' });
  await s.service.accept(ben, { callId: call.callId });
  s.clock.move(20_000);
  t.equal((await told(s, 'ben', ({ state }) => state === 'ended')).endReason, 'media_failed');
  await s.service.close();
});

t.test('F11 of two devices that accept at the same moment one wins, the other is told', async (t) => {
  const s = stage({ ann: ['ann-phone'], ben: ['ben-phone', 'ben-desk'] });
  const call = await s.service.start(ann, { chatId: 'pair', mode: 'voice' });
  const answers = await Promise.all([
    refused(s.service.accept(ben, { callId: call.callId })),
    refused(s.service.accept(who('ben', 'ben-desk'), { callId: call.callId })),
  ]);
  t.same(answers.sort(), ['answered_elsewhere', 'nothing']);
  t.equal(s.devices.lastView('ben', 'ben-desk')?.endReason, 'answered_elsewhere');
  await s.service.close();
});

t.test('two calls that start at the same moment become one', async (t) => {
  const s = stage();
  const answers = await Promise.all([
    refused(s.service.start(ann, { chatId: 'pair', mode: 'voice' })),
    refused(s.service.start(ben, { chatId: 'pair', mode: 'voice' })),
    refused(s.service.start(cat, { chatId: 'other-pair', mode: 'voice' })),
  ]);
  t.equal(answers.filter((answer) => answer === 'nothing').length, 1, String(answers));
  t.equal(s.service.count, 1);
  await s.service.close();
});

t.test('a media worker that dies ends its calls with media_failed', async (t) => {
  const s = stage();
  await recorded(s);
  s.media.dieWorker();
  t.equal((await told(s, 'ann', ({ state }) => state === 'ended')).endReason, 'media_failed');
  await s.service.close();
});

t.test('what fails while a call is carried out ends it with a reason and frees both', async (t) => {
  for (const method of ['consume', 'attachRecorder', 'resumeRecorder', 'resumeConsumers'] as const) {
    const s = stage();
    const call = await s.service.start(ann, { chatId: 'pair', mode: 'secure', consent });
    s.mediaOf(call.callId).failNext(method);
    await s.service.accept(ben, { callId: call.callId, consent });
    for (const side of [ann, ben]) {
      await refused(s.service.openMedia(side, { callId: call.callId, rtpCapabilities: {} }));
      await refused(s.service.produce(side, { callId: call.callId, rtpParameters: {} }));
    }
    for (let turn = 0; turn < 20; turn++) {
      s.recorder.arm();
      await settle();
    }
    t.ok((await told(s, 'ann', ({ state }) => state === 'ended')).endReason, `${method}: ended`);
    t.notOk(s.media.calls.size, `${method}: its media is closed`);
    t.equal(
      await refused(s.service.start(ann, { chatId: 'pair', mode: 'voice' })),
      'nothing',
      'both are free again',
    );
    await s.service.close();
  }
});

t.test('F12 a role that may not place a call of this mode is refused, before anything rings', async (t) => {
  const all = { voice: true, secure: true, recordings: true };
  const policy = {
    default: all,
    roles: { guest: { ...all, secure: false }, muted: { ...all, voice: false } },
  };
  await db.sql`update apps set role_policy = ${db.sql.json(policy)}`;
  t.teardown(() => db.sql`update apps set role_policy = null`);
  const { service, devices } = stage();
  const start = (role: string | undefined, mode: 'voice' | 'secure') =>
    refused(
      service.start({ ...ann, ...(role === undefined ? {} : { role }) }, { chatId: 'pair', mode, consent }),
    );
  t.equal(await start('guest', 'secure'), 'role_not_allowed');
  t.equal(await start('muted', 'voice'), 'role_not_allowed');
  t.strictSame(devices.told, [], 'nobody was rung');
  t.equal(await start('guest', 'voice'), 'nothing', 'a guest may place a voice call');
  await service.close();
  await db.sql`update users set role = 'muted' where id = ${ann.userId}`;
  t.teardown(() => db.sql`update users set role = null where id = ${ann.userId}`);
  const second = stage();
  t.equal(await refused(second.service.start(ann, { chatId: 'pair', mode: 'voice' })), 'role_not_allowed');
  t.equal(
    await refused(second.service.start({ ...ann, role: 'boss' }, { chatId: 'pair', mode: 'voice' })),
    'nothing',
    'the role in the token counts before the stored one',
  );
  await second.service.close();
});

t.test('F2 F5 F10 F28 who may not do what, and is told so', async (t) => {
  const s = stage({ ann: ['ann-phone'], ben: ['ben-phone'] });
  const start = (p: Partial<Parameters<CallService['start']>[1]>, by = ann) =>
    s.service.start(by, { chatId: 'pair', mode: 'voice', ...p });
  const rows: [string, () => Promise<unknown>, ErrorCode][] = [
    ['a call in a group room', () => start({ chatId: 'room' }), 'not_a_direct_chat'],
    ['a call in a chat that does not exist', () => start({ chatId: 'nowhere' }), 'not_found'],
    ['a call in a chat of others', () => start({}, cat), 'not_found'],
    ['a call in a group room of others', () => start({ chatId: 'room' }, who('eve')), 'not_found'],
    ['a secure call without consent', () => start({ mode: 'secure' }), 'consent_required'],
    [
      'consent to another text',
      () => start({ mode: 'secure', consent: { ...consent, disclosureSha256: '0'.repeat(64) } }),
      'consent_required',
    ],
    [
      'consent to another version',
      () => start({ mode: 'secure', consent: { ...consent, disclosureVersion: 2 } }),
      'consent_required',
    ],
    [
      'consent in a language that the text is not in',
      () => start({ mode: 'secure', consent: { ...consent, locale: 'fr' } }),
      'consent_required',
    ],
  ];
  for (const [title, act, code] of rows) t.equal(await refused(act()), code, title);
  t.equal(s.media.calls.size, 0, 'nothing was opened for any of them');

  const call = await start({ mode: 'secure', consent });
  const p = { callId: call.callId };
  const later: [string, () => Promise<unknown>, ErrorCode][] = [
    ['a second call of the caller', () => start({}), 'already_in_call'],
    [
      'a call to somebody who is in a call',
      () => s.service.start(cat, { chatId: 'other-pair', mode: 'voice' }),
      'user_busy',
    ],
    ['the caller accepts', () => s.service.accept(ann, { ...p, consent }), 'forbidden'],
    ['the callee accepts without consent', () => s.service.accept(ben, p), 'consent_required'],
    ['the caller declines', () => s.service.decline(ann, p), 'forbidden'],
    ['the callee cancels', () => s.service.cancel(ben, p), 'forbidden'],
    ['a third person accepts', () => s.service.accept(cat, { ...p, consent }), 'not_found'],
    ['a third person hangs up', () => s.service.hangup(cat, p), 'not_found'],
    ['another device of the caller hangs up', () => s.service.hangup(who('ann', 'ann-desk'), p), 'forbidden'],
    [
      'the callee opens media before accepting',
      () => s.service.openMedia(ben, { ...p, rtpCapabilities: {} }),
      'forbidden',
    ],
    ['media before media.open', () => s.service.produce(ann, { ...p, rtpParameters: {} }), 'conflict'],
    [
      'an unknown call',
      () => s.service.hangup(ann, { callId: '00000000-0000-4000-8000-000000000000' }),
      'not_found',
    ],
  ];
  for (const [title, act, code] of later) t.equal(await refused(act()), code, title);
  await s.service.openMedia(ann, { ...p, rtpCapabilities: {} });
  t.equal(
    await refused(s.service.openMedia(ann, { ...p, rtpCapabilities: { codecs: [] } })),
    'conflict',
    'media in other words than before',
  );
  t.equal(s.service.count, 1, 'the call itself was not touched by any of it');
  await s.service.accept(ben, { ...p, consent });
  t.equal(await refused(s.service.decline(ben, p)), 'conflict', 'declining what was accepted');
  t.equal(await refused(s.service.cancel(ann, p)), 'conflict', 'cancelling what was accepted');
  await s.service.hangup(ann, p);
  await told(s, 'ben', ({ state }) => state === 'ended');
  t.equal(await refused(s.service.hangup(ann, p)), 'not_found', 'hanging up twice');

  s.devices.signedIn.delete('ben');
  t.equal(await refused(start({})), 'user_offline', 'F10 told at once');
  await setAppRecording(db, APP, false);
  t.equal(await refused(start({ mode: 'secure', consent })), 'recording_disabled', 'F28');
  await setAppRecording(db, APP, true);
  s.media.maxCalls = 0;
  s.devices.signedIn.set('ben', ['ben-phone']);
  t.equal(await refused(start({ mode: 'secure', consent })), 'busy_server');
  t.equal(
    await refused(start({})),
    'nothing',
    'a refusal leaves nobody busy, and a voice call needs no room',
  );
  await s.service.close();
  t.equal(await refused(start({})), 'shutting_down');
  const reasons = await db.sql<{ reason: string }[]>`
    select distinct end_reason as reason from calls where end_reason in ('busy', 'offline') order by 1`;
  t.same([...reasons], [{ reason: 'busy' }, { reason: 'offline' }], 'F10 both are in the history');
});

t.test('F23 calls that an earlier daemon left open end with a reason', async (t) => {
  const s = stage();
  const call = await s.service.start(ann, { chatId: 'pair', mode: 'voice' });
  const next = stage();
  t.equal(await next.service.recover(), 1);
  t.same(await rowOf(call.callId), { state: 'ended', reason: 'shutdown' });
  t.equal(await next.service.recover(), 0, 'once');
  await s.service.close();
});

/** Waits until ben's phone has its part in the call, whether that is stored or not. */
async function taken({ service }: Stage): Promise<void> {
  while (service.signedIn(ben).call === undefined) await settle();
}

/** Holds the row of a call, so that nothing about it can be stored until the returned function is called. */
async function holdRow(callId: string): Promise<() => Promise<void>> {
  let letGo = (): void => {};
  let held = (): void => {};
  const isHeld = new Promise<void>((resolve) => {
    held = resolve;
  });
  const done = db.sql.begin(async (sql) => {
    await sql`select 1 from calls where id = ${callId} for update`;
    held();
    await new Promise<void>((resolve) => {
      letGo = resolve;
    });
  });
  await isHeld;
  return async () => {
    letGo();
    await done;
  };
}

t.test('F8 F13 a database that stands still keeps nobody in a call that is over', async (t) => {
  const s = stage();
  const call = await s.service.start(ann, { chatId: 'pair', mode: 'secure', consent });
  const letGo = await holdRow(call.callId);
  const accepting = s.service.accept(ben, { callId: call.callId, consent });
  await taken(s);
  await s.service.hangup(ann, { callId: call.callId });
  for (const user of ['ann', 'ben'])
    t.equal((await told(s, user, ({ state }) => state === 'ended')).endReason, 'hangup', user);
  t.equal(s.media.calls.size, 0, 'its media is closed');
  t.equal(await refused(s.service.start(ann, { chatId: 'pair', mode: 'voice' })), 'nothing', 'both are free');
  await letGo();
  await accepting;
  t.same(s.recorder.acts, [], 'no recorder was asked for a call that is over');
  await s.service.close();
  t.same(await rowOf(call.callId), { state: 'ended', reason: 'hangup' });
});

t.test('F11 the other devices stop ringing however the call ends after one accepted', async (t) => {
  const ways: [string, (s: Stage, callId: string) => Promise<void>][] = [
    [
      'the caller hangs up before the accept is stored',
      async (s, callId) => {
        const letGo = await holdRow(callId);
        const accepting = s.service.accept(ben, { callId, consent });
        await taken(s);
        await s.service.hangup(ann, { callId });
        await letGo();
        await accepting;
      },
    ],
    [
      'the accept cannot be stored',
      async (s, callId) => {
        await db.sql`
          insert into consents (call_id, side, app_id, user_id, action, disclosure_sha256, disclosure_version, locale,
                                device, at)
          values (${callId}, 'callee', ${APP}, 'ben', 'accept', ${consent.disclosureSha256}, 1, 'en', 'other',
                  now())`;
        await t.rejects(s.service.accept(ben, { callId, consent }));
      },
    ],
  ];
  for (const [title, end] of ways) {
    const s = stage({ ann: ['ann-phone'], ben: ['ben-phone', 'ben-desk'] });
    const call = await s.service.start(ann, { chatId: 'pair', mode: 'secure', consent });
    await end(s, call.callId);
    await told(s, 'ann', ({ state }) => state === 'ended');
    t.equal(s.devices.lastView('ben', 'ben-desk')?.endReason, 'answered_elsewhere', title);
    const stops = s.devices.told.filter(({ device, name }) => device === 'ben-desk' && name === 'call.ended');
    t.equal(stops.length, 1, `${title}: once`);
    await s.service.close();
  }
});

t.test(
  'F16 a device that leaves while its call is being built or accepted has the grace period',
  async (t) => {
    const s = stage();
    const leave = (user: Participant): void => {
      s.devices.signedIn.delete(user.userId);
      s.service.deviceLeft(user, 'lost');
    };
    const starting = s.service.start(ann, { chatId: 'pair', mode: 'voice' });
    leave(ann);
    await starting;
    await settle();
    s.clock.move(15_000);
    t.equal((await told(s, 'ben', ({ state }) => state === 'ended')).endReason, 'cancelled');

    s.devices.signedIn.set('ann', ['ann-phone']);
    const call = await s.service.start(ann, { chatId: 'pair', mode: 'secure', consent });
    const accepting = s.service.accept(ben, { callId: call.callId, consent });
    leave(ben);
    await accepting;
    await settle();
    s.clock.move(15_000);
    t.equal((await told(s, 'ann', ({ state }) => state === 'ended')).endReason, 'connection_lost');
    await s.service.close();
  },
);

t.test('a media worker that dies while a call is being built ends it with media_failed', async (t) => {
  const s = stage();
  const starting = s.service.start(ann, { chatId: 'pair', mode: 'secure', consent });
  while (s.media.calls.size === 0) await settle();
  s.media.dieWorker();
  await starting;
  t.equal((await told(s, 'ann', ({ state }) => state === 'ended')).endReason, 'media_failed');
  await s.service.close();
});

t.test('calls that start at the same moment do not get past the limit together', async (t) => {
  const s = stage({ ann: ['ann-phone'], ben: ['ben-phone'], cat: ['cat-phone'], dan: ['dan-phone'] }, 1);
  const answers = await Promise.all([
    refused(s.service.start(ann, { chatId: 'pair', mode: 'voice' })),
    refused(s.service.start(cat, { chatId: 'third-pair', mode: 'voice' })),
  ]);
  t.same(answers.sort(), ['busy_server', 'nothing']);
  await s.service.close();
});
