import { createHash } from 'node:crypto';
import t from 'tap';
import { parseCheckpoint, parseEntry } from '#ledger';
import type { CallView, Consent, NotificationName } from '#protocol';
import type { Ledger } from '#store';
import { testDatabase } from '../db/fixture.ts';
import { addDisclosure, insertApp, putChat, putUser } from '../db/index.ts';
import type { TestEvidence } from '../evidence/fixture.ts';
import { noteText, testEvidence, withVerbs } from '../evidence/fixture.ts';
import type { LedgerPort } from '../evidence/index.ts';
import { FakeMediaServer } from '../media/index.ts';
import type { RunningCapture } from './call-recorder.ts';
import type { Devices, Participant } from './ports.ts';
import { CallService } from './service.ts';

// What a call enters in the real ledger, and what waits for it.
const db = await testDatabase(t);
const APP = 'shop';
const TEXT = 'This call is recorded.';
await insertApp(db, { id: APP, name: 'Shop', recordingEnabled: true });
for (const id of ['ann', 'ben']) await putUser(db, APP, id, { name: id });
await putChat(db, APP, 'pair', { kind: 'direct', members: ['ann', 'ben'] });
await addDisclosure(db, { appId: APP, locale: 'en', body: TEXT });
const consent: Consent = {
  disclosureSha256: createHash('sha256').update(TEXT).digest('hex'),
  disclosureVersion: 1,
  locale: 'en',
};
const who = (userId: string): Participant => ({
  appId: APP,
  userId,
  device: `${userId}-phone`,
  name: userId,
});
const [ann, ben] = [who('ann'), who('ben')];

/** Keeps what was told, and lets a test wait for it. */
class Told implements Devices {
  readonly list: { to: string; name: NotificationName; view: CallView }[] = [];
  #waiting: (() => void)[] = [];

  online(): boolean {
    return true;
  }
  devicesOf(_appId: string, userId: string): string[] {
    return [`${userId}-phone`];
  }
  notify(_appId: string, to: string, _device: string, name: NotificationName, params: object): void {
    if (!('call' in params)) return;
    this.list.push({ to, name, view: params.call as CallView });
    for (const wake of this.#waiting.splice(0)) wake();
  }
  async until(to: string, fits: (view: CallView) => boolean): Promise<CallView> {
    for (;;) {
      const found = this.list.find((each) => each.to === to && fits(each.view));
      if (found !== undefined) return found.view;
      await new Promise<void>((wake) => this.#waiting.push(wake));
    }
  }
}

/** A recorder that is armed as soon as the legs are in. */
class ReadyRecorder {
  readonly acts: string[] = [];
  async open(): Promise<RunningCapture> {
    this.acts.push('open');
    const { promise, resolve } = Promise.withResolvers<{ seq: number; head: string }>();
    return {
      recorder: { recorderId: 'r1', ip: '127.0.0.1', port: 5000 },
      epoch: 1,
      armed: promise,
      lost: undefined,
      start: async () => resolve({ seq: 2, head: 'ab'.repeat(32) }),
      mark: () => undefined,
      stop: async () => undefined,
      on: () => undefined,
    };
  }
  reopen(): Promise<RunningCapture> {
    return this.open();
  }
}

/** Calls on the real ledger, of which single verbs may be replaced while the test runs. */
async function stage(t: Parameters<typeof testEvidence>[0], timeoutMs?: number) {
  const verbs: Partial<LedgerPort> = {};
  const real: TestEvidence = await testEvidence(t, db, {
    through: (ledger) => withVerbs(ledger, verbs),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
  const devices = new Told();
  const recorder = new ReadyRecorder();
  const service = new CallService({
    db,
    evidence: real.evidence,
    media: new FakeMediaServer(),
    recording: recorder,
    devices,
    ice: { stunUrls: [], turnUrls: [], credentialSeconds: 60, relayOnly: false },
    limits: { graceMs: 15_000, connectTimeoutMs: 20_000, maxCalls: 10 },
    log: { warn: () => undefined, info: () => undefined },
  });
  t.teardown(() => service.close());
  const start = () => service.start(ann, { chatId: 'pair', mode: 'secure', consent });
  return { ...real, verbs, devices, recorder, service, start };
}

/** An append that waits until it is let go. */
function held(ledger: Ledger) {
  const { promise, resolve: letGo } = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const append: LedgerPort['append'] = async (entry) => {
    asked.resolve();
    await promise;
    return ledger.append(entry);
  };
  return { append, letGo, asked: asked.promise };
}

const idsOf = async (ledger: Ledger, recordingId: string | undefined) =>
  (await ledger.entriesOf(`rec:${recordingId}`)).map(({ bytes }) => parseEntry(bytes).id);

t.test('F35 nothing rings before the caller’s consent is durable in the ledger', async (t) => {
  const { devices, ledger, verbs, service, start } = await stage(t);
  const { append, letGo, asked } = held(ledger);
  verbs.append = append;
  const starting = start();
  await asked;
  t.equal(service.count, 0, 'there is no call to see yet');
  t.same(devices.list, [], 'and nobody was told of one');
  await t.rejects(service.start(ben, { chatId: 'pair', mode: 'voice' }), { code: 'already_in_call' });
  letGo();
  const { callId, recordingId } = await starting;
  t.equal((await devices.until('ben', ({ state }) => state === 'ringing')).callId, callId);
  t.same(await idsOf(ledger, recordingId), ['consent.caller']);
  const [row] = await db.sql`select entry_index from consents where call_id = ${callId}`;
  t.equal(typeof row?.entry_index, 'number', 'the row says where it stands');
});

t.test('F35 nothing follows from accepting before the callee’s consent is durable', async (t) => {
  const { devices, ledger, verbs, service, start, recorder } = await stage(t);
  const { callId, recordingId } = await start();
  const { append, letGo, asked } = held(ledger);
  verbs.append = append;
  const accepting = service.accept(ben, { callId, consent });
  await asked;
  t.same(recorder.acts, [], 'no recorder was asked for');
  t.notOk(
    devices.list.some(({ view }) => view.state === 'connecting'),
    'the caller was not told',
  );
  const [row] = await db.sql`select state from calls where id = ${callId}`;
  t.equal(row?.state, 'ringing');
  letGo();
  await accepting;
  await devices.until('ann', ({ state }) => state === 'connecting');
  t.same(recorder.acts, ['open']);
  t.same(await idsOf(ledger, recordingId), ['consent.caller', 'consent.callee']);
});

t.test('F35 a whole secure call leaves consents, start and end, and a checkpoint with both', async (t) => {
  const { devices, ledger, service, start } = await stage(t);
  const { callId, recordingId } = await start();
  await service.accept(ben, { callId, consent });
  for (const side of [ann, ben]) {
    await service.openMedia(side, { callId, rtpCapabilities: {} });
    await service.produce(side, { callId, rtpParameters: {} });
  }
  await devices.until('ben', ({ recording }) => recording);
  await service.hangup(ben, { callId });
  for (const person of ['ann', 'ben']) {
    const { checkpoint } = await devices.until(person, ({ state }) => state === 'ended');
    t.ok(parseCheckpoint(noteText(checkpoint ?? '')).size >= 1, `${person} keeps a checkpoint`);
  }
  await service.close();
  t.same(await idsOf(ledger, recordingId), ['consent.caller', 'consent.callee', 'call.start', 'call.end']);
});

t.test('a ledger that is read-only refuses secure calls and lets voice calls go on', async (t) => {
  const { verbs, service, start, devices } = await stage(t);
  Object.assign(verbs, { state: { mode: 'read-only', problem: 'two roots' } });
  const count = async () => (await db.sql`select 1 from calls`).length;
  const before = await count();
  await t.rejects(start(), { code: 'evidence_unavailable' });
  t.equal(await count(), before, 'nothing was written of it');
  t.same(devices.list, []);
  const { callId } = await service.start(ann, { chatId: 'pair', mode: 'voice' });
  await service.accept(ben, { callId });
  await devices.until('ann', ({ state }) => state === 'connecting');
  await service.hangup(ann, { callId });
  const view = await devices.until('ann', ({ state }) => state === 'ended');
  t.notOk('checkpoint' in view, 'a voice call has nothing to do with the ledger');
});

t.test('a ledger that fails at the caller’s consent frees both, and the call never rang', async (t) => {
  const { verbs, service, start, devices, evidence, ledger } = await stage(t);
  verbs.append = () => Promise.reject(new Error('no space left on device'));
  await t.rejects(start(), { code: 'evidence_unavailable' });
  t.same(devices.list, []);
  delete verbs.append;
  const { callId } = await start();
  t.type(callId, 'string', 'both are free for another call');
  await service.cancel(ann, { callId });
  await evidence.sweep();
  const owed = await db.sql`select 1 from calls where evidence = 'owed' and state = 'ended'`;
  t.same([...owed], [], 'and nothing is owed of the first');
  t.ok(ledger.size > 1);
});

t.test(
  'a ledger that fails at the callee’s consent ends the call, and its end is entered later',
  async (t) => {
    const { verbs, service, start, devices, evidence, ledger, recorder } = await stage(t);
    const { callId, recordingId } = await start();
    verbs.append = () => Promise.reject(new Error('no space left on device'));
    await t.rejects(service.accept(ben, { callId, consent }), { code: 'evidence_unavailable' });
    for (const person of ['ann', 'ben'])
      t.equal(
        (await devices.until(person, ({ state }) => state === 'ended')).endReason,
        'recorder_unavailable',
      );
    t.same(recorder.acts, []);
    await service.close();
    t.same(await idsOf(ledger, recordingId), ['consent.caller']);
    delete verbs.append;
    await evidence.sweep();
    t.same(await idsOf(ledger, recordingId), ['consent.caller', 'call.end']);
  },
);

t.test('F8 a ledger that hangs keeps nobody in a call that is over', async (t) => {
  const { verbs, service, start, devices, evidence, ledger } = await stage(t, 200);
  const { callId, recordingId } = await start();
  verbs.append = () => new Promise(() => undefined);
  await service.cancel(ann, { callId });
  t.equal((await devices.until('ben', ({ state }) => state === 'ended')).endReason, 'cancelled');
  t.equal(service.count, 0);
  await service.close();
  delete verbs.append;
  await evidence.sweep();
  t.same(await idsOf(ledger, recordingId), ['consent.caller', 'call.end']);
});

t.test('F35 what a killed daemon left of a call is ended in the ledger by the next one', async (t) => {
  const { service, start, evidence, ledger, devices } = await stage(t);
  const { recordingId } = await start();
  await devices.until('ben', ({ state }) => state === 'ringing');
  // As if this process had died here.
  t.equal(await service.recover(), 1);
  t.equal(await evidence.sweep(), 1);
  t.same(await idsOf(ledger, recordingId), ['consent.caller', 'call.end']);
});
