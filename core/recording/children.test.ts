import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import t from 'tap';
import { Inbox } from '../../recorder-worker/test/inbox.ts';
import type { ChildOptions } from './children.ts';
import { WorkerChild } from './children.ts';
import { silent } from './test/backends.ts';

const PROGRAM = fileURLToPath(new URL('./test/child.mjs', import.meta.url));

function start(t: Test, behaviour: string, more: Partial<ChildOptions> = {}) {
  const started = new Inbox<string>();
  const exited = new Inbox<string | undefined>();
  const child = new WorkerChild({
    role: 'capture',
    program: PROGRAM,
    env: { CHILD: behaviour },
    log: silent,
    onMessage: (message) => started.put(message.recorderId),
    onExit: (recorderId) => exited.put(recorderId),
    ...more,
  });
  t.teardown(() => child.close());
  return { child, started, exited };
}

const isRunning = (pid: number | undefined): boolean => {
  try {
    return pid !== undefined && process.kill(pid, 0);
  } catch {
    return false;
  }
};

t.test(
  'a worker that dies is told of by its name and started again, each time after a longer pause',
  async (t) => {
    const { started, exited } = start(t, 'dies');
    const times: number[] = [];
    for (let index = 0; index < 3; index += 1) {
      const [name] = await started.take(1);
      t.same(await exited.take(1), [name]);
      times.push(performance.now());
    }
    const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    t.ok(Number(pauses[0]) > 100 && Number(pauses[1]) > 200, `pauses of ${pauses.map(Math.round)} ms`);
  },
);

t.test('closing ends the worker, and none is started again', async (t) => {
  const { child, started, exited } = start(t, 'stays');
  await started.take(1);
  const { pid } = child;
  t.ok(isRunning(pid));
  await child.close();
  await child.close();
  t.notOk(isRunning(pid));
  t.equal(child.pid, undefined);
  t.equal(exited.size, 1);
});

t.test('a worker that does not obey is killed after a bound', async (t) => {
  const { child, started } = start(t, 'deaf', { stopMs: 50 });
  await started.take(1);
  const { pid } = child;
  await child.close();
  t.notOk(isRunning(pid));
});

t.test('a worker that hangs is killed and another takes its place', async (t) => {
  const { child, started, exited } = start(t, 'deaf', { stopMs: 50 });
  const first = await started.take(1);
  child.kill();
  t.same(await exited.take(1), first);
  t.notSame(await started.take(1), first);
});

t.test('closing while a worker waits to be started again leaves none behind', async (t) => {
  const { child, exited } = start(t, 'dies');
  await exited.take(1);
  await child.close();
  t.equal(child.pid, undefined);
});

t.test(
  'F34 a standby takes over at once when the worker dies, and another standby takes its place',
  async (t) => {
    const { child, started, exited } = start(t, 'stays', { standby: true });
    const first = await started.take(1);
    while (child.standbyPid === undefined) await delay(10);
    const standby = child.standbyPid;
    child.kill();
    t.same(await exited.take(1), first);
    t.same(await started.take(1), [`child-${standby}`], 'it says who it is once it works');
    t.equal(child.recorderId, `child-${standby}`);
    t.equal(child.pid, standby);
    while (child.standbyPid === undefined) await delay(10);
    const next = child.standbyPid;
    t.ok(isRunning(next));
    await child.close();
    t.notOk(isRunning(standby) || isRunning(next), 'closing leaves neither behind');
    t.equal(exited.size, 1);
  },
);

t.test('a standby that dies is replaced, and nobody is told of it', async (t) => {
  const { child, started, exited } = start(t, 'stays', { standby: true });
  await started.take(1);
  while (child.standbyPid === undefined) await delay(10);
  const standby = child.standbyPid;
  process.kill(standby, 'SIGKILL');
  while (child.standbyPid === undefined || child.standbyPid === standby) await delay(10);
  t.equal(exited.size, 0);
  t.equal(started.size, 0);
});
