import { randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import t from 'tap';
import type { CaptureJob, FinaliseJob, RecorderCommand, RecorderEvent } from '#protocol';
import { Inbox } from '../../recorder-worker/test/inbox.ts';
import { WorkerQueue } from '../../recorder-worker/test/queue.ts';
import type { QueueSettings } from './backend.ts';
import { FINALISE_ATTEMPTS, RecorderQueue } from './queue.ts';
import { silent, startServers } from './test/backends.ts';

const servers = await startServers();
t.teardown(() => servers.stop());

const EVENT = { recorderId: 'r1', seq: 1, head: 'aa', epoch: 1 };
const armed = (recordingId: string): RecorderEvent => ({ type: 'armed', ...EVENT, recordingId });
const captureJob = (): CaptureJob => ({
  recordingId: randomUUID(),
  callId: randomUUID(),
  epoch: 1,
  expiresAtMs: Date.now() + 3000,
});
const finaliseJob = (): FinaliseJob => ({ recordingId: randomUUID(), callId: randomUUID(), epochs: [1] });

for (const [backend, base] of Object.entries(servers.queues)) {
  t.test(`on ${backend}`, async (t) => {
    const setUp = async (t: Test) => {
      const settings: QueueSettings = { ...base, namespace: `q${randomUUID().slice(0, 8)}` };
      const daemon = await RecorderQueue.open(settings, silent);
      t.teardown(() => daemon.close());
      const recorder = async () => {
        const queue = await WorkerQueue.open(settings, silent);
        t.teardown(() => queue.close());
        return queue;
      };
      return { settings, daemon, recorder };
    };

    t.test('F34 a capture is offered to all recorders and taken by one', async (t) => {
      const { daemon, recorder } = await setUp(t);
      const taken = new Inbox<CaptureJob>();
      for (const queue of [await recorder(), await recorder()])
        await queue.takeCaptures(async (job) => taken.put(job), 10);
      const jobs = [captureJob(), captureJob(), captureJob()];
      for (const job of jobs) await daemon.addCapture(job);
      const ids = (await taken.take(3)).map((job) => job.recordingId);
      t.same(ids.sort(), jobs.map((job) => job.recordingId).sort());
      t.equal(taken.size, 0);
    });

    t.test('F34 the same recording and epoch is offered once while its job lives', async (t) => {
      const { daemon, recorder } = await setUp(t);
      const job = captureJob();
      await daemon.addCapture(job);
      await daemon.addCapture(job);
      const taken = new Inbox<CaptureJob>();
      let finish: () => void = () => undefined;
      const running = new Promise<void>((resolve) => {
        finish = resolve;
      });
      await (await recorder()).takeCaptures(async (job) => {
        taken.put(job);
        await running;
      }, 10);
      await taken.take(1);
      await daemon.addCapture(job);
      const other = captureJob();
      await daemon.addCapture(other);
      t.same(await taken.take(1), [other], 'the next job that comes is another one');
      finish();
    });

    t.test('F34 captures that run for long do not hold up new ones', async (t) => {
      const { daemon, recorder } = await setUp(t);
      const taken = new Inbox<CaptureJob>();
      let finish: () => void = () => undefined;
      const running = new Promise<void>((resolve) => {
        finish = resolve;
      });
      await (await recorder()).takeCaptures(async (job) => {
        taken.put(job);
        await running;
      }, 20);
      for (let index = 0; index < 15; index += 1) {
        await daemon.addCapture(captureJob());
        await taken.take(1);
      }
      t.pass('fifteen in hand at once');
      finish();
    });

    t.test('F34 a capture that nobody took can be taken back', async (t) => {
      const { daemon, recorder } = await setUp(t);
      const [withdrawn, other] = [captureJob(), captureJob()];
      await daemon.addCapture(withdrawn);
      await daemon.withdrawCapture(withdrawn);
      await daemon.withdrawCapture(withdrawn);
      await daemon.addCapture(other);
      const taken = new Inbox<CaptureJob>();
      await (await recorder()).takeCaptures(async (job) => taken.put(job), 10);
      t.same(await taken.take(1), [other]);
    });

    t.test('commands reach the recorder that they are for, in order', async (t) => {
      const { daemon, recorder } = await setUp(t);
      const [one, two] = [new Inbox<RecorderCommand>(), new Inbox<RecorderCommand>()];
      await (await recorder()).takeCommands('r1', (command) => one.put(command));
      await (await recorder()).takeCommands('r2', (command) => two.put(command));
      const recordingId = randomUUID();
      const reasons = Array.from({ length: 20 }, (_, index) => `reason ${index}`);
      const ref = { type: 'stop', recordingId, epoch: 1 } as const;
      for (const reason of reasons) await daemon.send('r1', { ...ref, reason });
      await daemon.send('r2', { ...ref, reason: 'other' });
      const got = await one.take(20);
      t.same(
        got.map((command) => (command.type === 'stop' ? command.reason : '')),
        reasons,
      );
      t.equal((await two.take(1)).length, 1);
      await daemon.forget('r1');
      await t.resolves(daemon.forget('r1'), 'forgetting twice is no error');
    });

    t.test('events are heard in the order in which a recorder reported them', async (t) => {
      const { daemon, recorder } = await setUp(t);
      const heard = new Inbox<RecorderEvent>();
      const ids = Array.from({ length: 30 }, () => randomUUID());
      const queue = await recorder();
      // Some before anybody listens: they wait.
      for (const id of ids.slice(0, 10)) await queue.report(armed(id));
      await daemon.listen((event) => heard.put(event));
      for (const id of ids.slice(10)) await queue.report(armed(id));
      const events = await heard.take(30);
      t.same(
        events.map((event) => ('recordingId' in event ? event.recordingId : '')),
        ids,
      );
    });

    t.test('heartbeats that nobody hears do not pile up', async (t) => {
      const { daemon, recorder } = await setUp(t);
      const queue = await recorder();
      const beat = {
        type: 'heartbeat',
        recorderId: 'r1',
        captures: 0,
        commitMs: 0,
        commits: 0,
        kernelDrops: 0,
        packets: 0,
        refused: 0,
        cpuUs: 0,
        rssBytes: 0,
      } as const;
      for (let index = 0; index < 100; index += 1) await queue.beat({ ...beat, atMs: index });
      await queue.report(armed(randomUUID()));
      const heard = new Inbox<RecorderEvent>();
      await daemon.listen((event) => heard.put(event));
      const seen: string[] = [];
      while (!seen.includes('armed')) seen.push(...(await heard.take(1)).map((event) => event.type));
      t.ok(seen.length <= 10, `${seen.length} events were waiting`);
      await queue.beat({ ...beat, atMs: 1000 });
      t.match(await heard.take(1), [{ type: 'heartbeat', atMs: 1000 }], 'and the next one is heard');
    });

    t.test('a message of unknown shape is dropped and those behind it are heard', async (t) => {
      const { daemon, recorder } = await setUp(t);
      const queue = await recorder();
      // A recorder of another version could send this; the type forbids it here.
      await queue.report(JSON.parse('{"type":"sing","recordingId":7}'));
      const id = randomUUID();
      await queue.report(armed(id));
      const heard = new Inbox<RecorderEvent>();
      await daemon.listen((event) => heard.put(event));
      t.match(await heard.take(1), [{ type: 'armed', recordingId: id }]);
    });

    t.test('F23 a finalise job is tried again after a failure and once it is done it is gone', async (t) => {
      const { daemon, recorder } = await setUp(t);
      const job = finaliseJob();
      await daemon.addFinalise(job);
      await daemon.addFinalise(job);
      t.same(await daemon.finaliseState(job.recordingId), { state: 'queued' });
      const tries = new Inbox<FinaliseJob>();
      let count = 0;
      const queue = await recorder();
      const failures = new Inbox<string>();
      await queue.takeFinalises(
        async (taken) => {
          count += 1;
          tries.put(taken);
          if (count === 1) throw new Error('the disk was full');
        },
        (_, error) => failures.put(error.message),
        { concurrency: 1 },
      );
      t.same(await tries.take(2), [job, job]);
      await queue.close();
      t.same(await daemon.finaliseState(job.recordingId), { state: 'none' });
      t.equal(failures.size, 0);
    });

    t.test('F23 a finalise job that fails every time says why, and stays until it is cleared', async (t) => {
      const { daemon, recorder } = await setUp(t);
      const job = finaliseJob();
      await daemon.addFinalise(job, { attempts: 2, backoffMs: 10 });
      const failures = new Inbox<string>();
      const queue = await recorder();
      await queue.takeFinalises(
        async () => {
          throw new Error('the journal is gone');
        },
        (failed, error) => failures.put(`${failed.recordingId} ${error.message}`),
        { concurrency: 1 },
      );
      t.same(await failures.take(1), [`${job.recordingId} the journal is gone`]);
      t.same(await daemon.finaliseState(job.recordingId), { state: 'failed', reason: 'the journal is gone' });
      await daemon.clearFinalise(job.recordingId);
      t.same(await daemon.finaliseState(job.recordingId), { state: 'none' });
      await daemon.clearFinalise(job.recordingId);
      t.ok(FINALISE_ATTEMPTS > 1);
    });

    t.test('closing twice is no error, and what is queued stays queued', async (t) => {
      const { settings, daemon, recorder } = await setUp(t);
      const job = captureJob();
      await daemon.addCapture(job);
      await daemon.close();
      await t.resolves(daemon.close());
      const again = await RecorderQueue.open(settings, silent);
      t.teardown(() => again.close());
      const taken = new Inbox<CaptureJob>();
      await (await recorder()).takeCaptures(async (job) => taken.put(job), 10);
      t.same(await taken.take(1), [job]);
    });
  });
}

t.test('a queue that cannot be reached is an error, not a wait for ever', async (t) => {
  const settings = { databaseUrl: 'postgres://nobody:x@127.0.0.1:1/none' };
  await t.rejects(RecorderQueue.open(settings, silent), { code: 'ECONNREFUSED' });
  await t.rejects(WorkerQueue.open(settings, silent), { code: 'ECONNREFUSED' });
});

t.test('a recorder refuses to begin before the daemon has made the queue’s tables', async (t) => {
  const settings = { databaseUrl: servers.databaseUrl, namespace: 'not_there' };
  await t.rejects(WorkerQueue.open(settings, silent), { name: 'SchemaMigrationRequiredError' });
});
