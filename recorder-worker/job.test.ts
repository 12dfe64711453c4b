import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdir, rm } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import type { Test } from 'tap';
import t from 'tap';
import type { CaptureJob, RecorderCommand, RecorderEvent } from '#protocol';
import type { Clock, CommitLogOptions, JournalBlock, JournalRecord } from '#store';
import {
  CommitLog,
  dataPaths,
  FLAG_RTCP,
  generateServerIdentity,
  MAX_UNDURABLE_MS,
  mkdirDurable,
  readIdentity,
  readJournal,
  recordsOf,
  systemClock,
  verifyJournal,
} from '#store';
import { diskError, FailingFiles } from '../core/store/testing.ts';
import type { SessionDeps } from './job.ts';
import { CaptureSession } from './job.ts';
import { RtpSocket } from './socket.ts';
import { Inbox } from './test/inbox.ts';
import { rtpPacket, senderReport } from './test/packets.ts';

const SSRC = { caller: 0xdead_0001, callee: 0x0000_0002 };
const PAYLOAD_TYPE = 100;
const log = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** A recorder without its queue: everything else is the real thing, on a temporary folder. */
async function setUp(t: Test, more: Partial<CommitLogOptions> = {}) {
  const paths = dataPaths(t.testdir());
  await generateServerIdentity(paths.secrets, paths.keys);
  await mkdirDurable(paths.journals);
  const commitLog = await CommitLog.open({ dir: paths.log('r1'), journalsDir: paths.journals, ...more });
  const socket = await RtpSocket.open({ ip: '127.0.0.1', port: 0 });
  t.teardown(async () => {
    await commitLog.close();
    await socket.close();
  });
  const events = new Inbox<RecorderEvent>();
  const deps: SessionDeps = {
    recorderId: 'r1',
    paths,
    commitLog,
    socket,
    address: socket.address,
    log,
    report: async (event) => events.put(event),
  };
  const media = createSocket('udp4');
  const bound = once(media, 'listening');
  media.bind(0, '127.0.0.1');
  await bound;
  t.teardown(() => media.close());
  const identity = await readIdentity(paths.secrets);
  return { paths, commitLog, socket, events, deps, media, identity };
}

const newJob = (expiresInMs = 3000): CaptureJob => ({
  recordingId: randomUUID(),
  callId: randomUUID(),
  epoch: 1,
  expiresAtMs: Date.now() + expiresInMs,
});

function legsOf(job: CaptureJob, media: Socket, ssrc = SSRC): Extract<RecorderCommand, { type: 'legs' }> {
  const leg = { payloadType: PAYLOAD_TYPE, clockRate: 48_000 };
  return {
    type: 'legs',
    recordingId: job.recordingId,
    epoch: job.epoch,
    source: { ip: '127.0.0.1', port: media.address().port },
    legs: [
      { side: 'caller', ssrc: ssrc.caller, ...leg },
      { side: 'callee', ssrc: ssrc.callee, ...leg },
    ],
  };
}

async function started(job: CaptureJob, deps: SessionDeps): Promise<CaptureSession> {
  const session = await CaptureSession.start(job, deps);
  if (session === undefined) throw new Error('the job was not taken');
  return session;
}

async function blocksOf(path: string, identity: string): Promise<JournalBlock[]> {
  const blocks: JournalBlock[] = [];
  for await (const block of await readJournal(path, { identity })) blocks.push(block);
  return blocks;
}

const packet = (ssrc: number, sequence: number) =>
  rtpPacket({ ssrc, sequence, payloadType: PAYLOAD_TYPE, payload: Buffer.alloc(40, sequence) });

t.test('F34 a capture is armed when audio of both legs is durable, not before', async (t) => {
  const { paths, socket, events, deps, media, identity } = await setUp(t);
  const job = newJob();
  const session = await started(job, deps);
  const ref = { recordingId: job.recordingId, epoch: 1, recorderId: 'r1' };
  t.same(await events.take(1), [{ type: 'listening', ...ref, ...socket.address }]);
  session.command(legsOf(job, media));
  t.same(await events.take(1), [{ type: 'ready', ...ref }]);

  const to = socket.address.port;
  for (let sequence = 0; sequence < 10; sequence += 1)
    media.send(packet(SSRC.caller, sequence), to, '127.0.0.1');
  media.send(senderReport({ ssrc: SSRC.callee }), to, '127.0.0.1');
  const path = paths.journal(job.recordingId, 1);
  // The caller's first packets are durable by themselves; a report without audio arms nothing.
  while ((await blocksOf(path, identity)).length === 0) await turn();
  t.equal(events.size, 0, 'one leg alone does not arm');

  media.send(packet(SSRC.callee, 500), to, '127.0.0.1');
  const [armed] = await events.take(1);
  t.match(armed, { type: 'armed', ...ref });
  await session.stop('hangup');
  const [ended] = await events.take(1);
  t.match(ended, {
    type: 'ended',
    ...ref,
    legs: [
      { side: 'caller', packets: 10, bytes: 520 },
      { side: 'callee', packets: 1, bytes: 52 },
    ],
  });

  const blocks = await blocksOf(path, identity);
  if (armed?.type !== 'armed' || ended?.type !== 'ended') throw new Error('unexpected events');
  const upToArmed = blocks.filter((block) => block.seq <= armed.seq);
  t.equal(upToArmed.at(-1)?.head, armed.head);
  const audio = (leg: number) => (record: JournalRecord) => record.leg === leg && record.flags === 0;
  const heard = upToArmed.flatMap((block) => [...recordsOf(block)]);
  t.ok(heard.some(audio(0)) && heard.some(audio(1)), 'both legs’ audio lies before the head that armed it');
  t.match(blocks.at(-1), { type: 'end', seq: ended.seq, head: ended.head, end: { reason: 'hangup' } });
  const records = blocks.flatMap((block) => [...recordsOf(block)]);
  t.same(
    records.filter(audio(0)).map((record) => Buffer.from(record.packet)),
    Array.from({ length: 10 }, (_, sequence) => packet(SSRC.caller, sequence)),
  );
  t.equal(records.filter((record) => record.leg === 1 && record.flags === FLAG_RTCP).length, 1);
});

t.test('F34 a job that comes too late, or whose epoch has a journal, makes no writer', async (t) => {
  const { paths, events, deps } = await setUp(t);
  t.equal(await CaptureSession.start(newJob(0), deps), undefined);
  t.same(await readdir(paths.journals), []);
  const job = newJob();
  const session = await started(job, deps);
  await events.take(1);
  t.equal(await CaptureSession.start(job, deps), undefined, 'delivered again');
  t.same(await readdir(paths.journals), [`${job.recordingId}-1.scj`]);
  await session.stop('hangup');
  t.equal(await CaptureSession.start(job, deps), undefined, 'delivered again after its end');
  t.match(await events.take(1), [{ type: 'ended' }]);
  t.equal(events.size, 0, 'the repeated job reported nothing');
});

t.test('F34 a journal that cannot be made is reported, with the reason', async (t) => {
  const { paths, events, deps } = await setUp(t);
  await rm(paths.journals, { recursive: true });
  const job = newJob();
  t.equal(await CaptureSession.start(job, deps), undefined);
  t.match(await events.take(1), [{ type: 'failed', recordingId: job.recordingId, epoch: 1, reason: String }]);
});

t.test('stopping is idempotent, and what comes after END is not recorded', async (t) => {
  const { paths, socket, events, deps, media, identity } = await setUp(t);
  const job = newJob();
  const session = await started(job, deps);
  session.command(legsOf(job, media));
  const first = session.stop('hangup');
  const ref = { recordingId: job.recordingId, epoch: 1 };
  session.command({ type: 'stop', ...ref, reason: 'again' });
  t.equal(session.stop('and again'), first);
  await session.done;
  session.command({ type: 'mark', ...ref, mark: 'mute', side: 'caller', atMs: 1 });
  session.command(legsOf(job, media));
  t.same(
    (await events.take(3)).map((event) => event.type),
    ['listening', 'ready', 'ended'],
  );
  t.equal(events.size, 0);
  // A second capture on the same tuple and SSRCs is free to begin, and tells that the late packet has passed.
  const next = newJob();
  media.send(packet(SSRC.caller, 1), socket.address.port, '127.0.0.1');
  const second = await started(next, deps);
  second.command({ ...legsOf(next, media), recordingId: next.recordingId });
  await events.take(2);
  for (const ssrc of [SSRC.caller, SSRC.callee])
    media.send(packet(ssrc, 2), socket.address.port, '127.0.0.1');
  t.match(await events.take(1), [{ type: 'armed', recordingId: next.recordingId }]);
  await second.stop('hangup');
  const blocks = await blocksOf(paths.journal(job.recordingId, 1), identity);
  t.same(
    blocks.map(({ type, end }) => ({ type, end })),
    [{ type: 'end', end: { reason: 'hangup' } }],
  );
});

t.test(
  'F8 mutes and new SSRCs are marked in the journal, between the packets where they happened',
  async (t) => {
    const { paths, socket, events, deps, media, identity } = await setUp(t);
    const job = newJob();
    const session = await started(job, deps);
    session.command(legsOf(job, media));
    const to = socket.address.port;
    for (const ssrc of [SSRC.caller, SSRC.callee]) media.send(packet(ssrc, 1), to, '127.0.0.1');
    await events.find((event) => event.type === 'armed');
    const ref = { recordingId: job.recordingId, epoch: 1 };
    session.command({ type: 'mark', ...ref, mark: 'mute', side: 'callee', atMs: 1234 });
    const renewed = { caller: SSRC.caller, callee: 0xbeef_0003 };
    session.command(legsOf(job, media, renewed));
    session.command(legsOf(job, media, renewed));
    const taken = socket.counters.taken;
    media.send(packet(SSRC.callee, 2), to, '127.0.0.1');
    media.send(packet(renewed.callee, 3), to, '127.0.0.1');
    media.send(packet(renewed.callee, 3), to, '127.0.0.1');
    media.send(packet(SSRC.caller, 2), to, '127.0.0.1');
    while (socket.counters.taken < taken + 2) await turn();
    t.match(socket.counters, { unknownSsrc: 1, replayed: 1 });
    await session.stop('hangup');
    const blocks = await blocksOf(paths.journal(job.recordingId, 1), identity);
    t.same(
      blocks.flatMap(({ mark }) => (mark === undefined ? [] : [mark])),
      [
        { mark: 'mute', atMs: 1234, leg: 1 },
        { mark: 'ssrc', leg: 1, ssrc: renewed.callee },
      ],
    );
    const [ended] = await events.take(3).then((last) => last.filter((event) => event.type === 'ended'));
    t.match(ended, {
      legs: [
        { side: 'caller', packets: 2 },
        { side: 'callee', packets: 2 },
      ],
    });
  },
);

t.test('legs that cannot be let in end the capture and leave nothing on the socket', async (t) => {
  const { socket, events, deps, media } = await setUp(t);
  const [one, two, three] = [newJob(), newJob(), newJob()];
  const sessions = [await started(one, deps), await started(two, deps), await started(three, deps)];
  sessions[0]?.command(legsOf(one, media));
  // The callee's SSRC is taken, the caller's is not.
  sessions[1]?.command(legsOf(two, media, { caller: 77, callee: SSRC.callee }));
  await sessions[1]?.done;
  sessions[2]?.command(legsOf(three, media, { caller: 77, callee: 78 }));
  const events_ = await events.take(7);
  t.match(
    events_.filter((event) => event.type !== 'listening'),
    [
      { type: 'ready', recordingId: one.recordingId },
      { type: 'failed', recordingId: two.recordingId, reason: 'conflict' },
      { type: 'released', recordingId: two.recordingId },
      { type: 'ready', recordingId: three.recordingId },
    ],
  );
  for (const session of sessions) await session.stop('hangup');
  t.equal(socket.counters.taken, 0);
});

t.test('a capture whose commit log is gone says that it failed', async (t) => {
  const { events, deps, media, socket, commitLog } = await setUp(t);
  const job = newJob();
  const session = await started(job, deps);
  session.command(legsOf(job, media));
  for (const ssrc of [SSRC.caller, SSRC.callee])
    media.send(packet(ssrc, 1), socket.address.port, '127.0.0.1');
  await events.find((event) => event.type === 'armed');
  await commitLog.close();
  await session.stop('hangup');
  t.match(await events.take(1), [{ type: 'failed', recordingId: job.recordingId, reason: 'end_failed' }]);
});

/** A capture that is armed, on a disk that the test can make hang or fail. */
async function armedOn(t: Test, files: FailingFiles, clock: Clock = systemClock) {
  const world = await setUp(t, { files, clock });
  const { deps, events, media, socket } = world;
  const job = newJob();
  const session = await started(job, deps);
  session.command(legsOf(job, media));
  const speak = (sequence: number) => {
    for (const ssrc of [SSRC.caller, SSRC.callee])
      media.send(packet(ssrc, sequence), socket.address.port, '127.0.0.1');
  };
  speak(1);
  const armed = await events.find((event) => event.type === 'armed');
  if (armed.type !== 'armed') throw new Error('not armed');
  return { ...world, job, session, speak, acknowledged: { seq: armed.seq, head: armed.head } };
}

t.test(
  'F34 a disk that hangs fails the capture when its audio is three seconds old, and that is said while it hangs',
  async (t) => {
    const files = new FailingFiles();
    const woken = Promise.withResolvers<void>();
    const hung = Promise.withResolvers<void>();
    let hangs = false;
    files.during = async () => {
      if (!hangs) return;
      hung.resolve();
      await woken.promise;
    };
    let aheadUs = 0;
    const clock: Clock = { ...systemClock, monotonicUs: () => systemClock.monotonicUs() + aheadUs };
    const world = await armedOn(t, files, clock);
    const { session, speak, events, job, commitLog, paths, socket, acknowledged, identity } = world;
    hangs = true;
    speak(2);
    await hung.promise;
    const before = performance.now();
    while (performance.now() - before < 20) await turn();
    t.ok(commitLog.stats().commitMsMax >= 20, 'a commit under way counts in the recorder’s lag');
    aheadUs = MAX_UNDURABLE_MS * 1000;
    const ref = { recordingId: job.recordingId, epoch: 1 };
    t.match(await events.take(1), [{ type: 'failed', ...ref, reason: 'recording_lost' }]);
    t.equal(events.size, 0, 'the disk still hangs, so nothing is released');
    const { taken, unknownSource } = socket.counters;
    speak(3);
    while (socket.counters.unknownSource < unknownSource + 2) await turn();
    t.equal(socket.counters.taken, taken, 'nothing more is taken in for a recording that is lost');
    hangs = false;
    woken.resolve();
    t.match(await events.take(1), [{ type: 'released', ...ref }]);
    await session.done;
    const path = paths.journal(job.recordingId, 1);
    t.match(await verifyJournal(path, { acknowledged, identity }), { status: 'torn' });
    t.equal(commitLog.stats().writers, 0);
  },
);

t.test(
  'F23 F33 a capture whose commit fails says so, and releases a journal with all that was acknowledged',
  async (t) => {
    const files = new FailingFiles();
    const { session, speak, events, job, paths, acknowledged } = await armedOn(t, files);
    files.before = () => {
      throw diskError('ENOSPC');
    };
    speak(2);
    const ref = { recordingId: job.recordingId, epoch: 1, recorderId: 'r1' };
    t.same(await events.take(2), [
      { type: 'failed', ...ref, reason: 'no_space' },
      { type: 'released', ...ref },
    ]);
    await session.done;
    t.match(await verifyJournal(paths.journal(job.recordingId, 1), { acknowledged }), {
      seq: acknowledged.seq,
    });
  },
);

t.test('F34 a capture that nobody waited for leaves no journal, one with legs keeps its own', async (t) => {
  const { paths, events, deps, media } = await setUp(t);
  const [late, begun] = [newJob(), newJob()];
  const sessions = [await started(late, deps), await started(begun, deps)];
  sessions[1]?.command(legsOf(begun, media));
  for (const session of sessions) await session.stop('expired');
  await events.take(5);
  t.same(await readdir(paths.journals), [`${begun.recordingId}-1.scj`]);
});
