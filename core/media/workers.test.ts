import { once } from 'node:events';
import { createServer } from 'node:net';
import t from 'tap';
import type { MediaOptions, MediaServer } from './contract.ts';
import { createMediaServer } from './workers.ts';

async function openServer(more: Partial<MediaOptions> = {}): Promise<MediaServer> {
  const server = await createMediaServer({
    workers: 2,
    listenIp: '127.0.0.1',
    basePort: 0,
    maxCpu: 100,
    ...more,
  });
  t.teardown(() => server.close());
  return server;
}

/** Resolves when a worker was started again. */
function restarted(): { log: NonNullable<MediaOptions['log']>; again: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { log: { info: () => resolve(), warn: () => {}, error: () => {} }, again: promise };
}

t.test('every worker is a process with a port of its own', async (t) => {
  const server = await openServer();
  const stats = await server.stats();
  t.equal(new Set(stats.map(({ pid }) => pid)).size, 2);
  t.equal(new Set(stats.map(({ port }) => port)).size, 2);
  t.ok(stats.every(({ pid, port }) => pid > 0 && port > 0));
});

t.test('worker i listens on the base port plus i, and the candidates announce the address', async (t) => {
  const basePort = 44_870;
  const server = await openServer({ basePort, announcedAddress: 'media.example.org' });
  t.same(
    (await server.stats()).map(({ port }) => port),
    [basePort, basePort + 1],
  );
  const call = await server.openCall('announced');
  const { iceCandidates } = await call.createTransport('caller', 'send');
  t.match(iceCandidates, [
    { protocol: 'udp', address: 'media.example.org', port: basePort },
    { protocol: 'tcp', address: 'media.example.org', port: basePort },
  ]);
});

t.test('calls spread over the workers', async (t) => {
  const server = await openServer();
  for (let i = 0; i < 10; i++) await server.openCall(`spread-${i}`);
  t.same(
    (await server.stats()).map(({ calls }) => calls),
    [5, 5],
  );
});

t.test(
  'a call past the admission limit is refused, and one that ends does not raise it at once',
  async (t) => {
    // Less than what one call adds to the estimate, and more than an idle worker uses.
    const server = await openServer({ workers: 1, maxCpu: 0.002 });
    const refused: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      await server.openCall(`admit-${i}`).catch((error: { code: string }) => refused.push(error.code));
    }
    t.ok(refused.length >= 2);
    t.ok(refused.every((code) => code === 'busy_server'));
  },
);

t.test(
  'a worker that is killed ends its calls, tells whose they were, and is replaced on its port',
  async (t) => {
    const { log, again } = restarted();
    const server = await openServer({ workers: 1, basePort: 44_880, log });
    const order: string[] = [];
    for (const id of ['a', 'b']) {
      const call = await server.openCall(id);
      await call.createTransport('caller', 'send');
      call.on('closed', (reason) => order.push(`${id} ${reason} ${call.closed}`));
    }
    server.on('workerDied', (callIds) => order.push(`died ${callIds}`));
    const [before] = await server.stats();
    process.kill(Number(before?.pid), 'SIGKILL');
    await again;
    t.same(order, ['a worker_died true', 'b worker_died true', 'died a,b']);
    const [after] = await server.stats();
    t.not(after?.pid, before?.pid);
    t.equal(after?.port, before?.port);
    const call = await server.openCall('a');
    t.match(await call.createTransport('caller', 'send'), { id: String });
  },
);

t.test('while no worker runs a call is refused as unavailable', async (t) => {
  const { log, again } = restarted();
  const server = await openServer({ workers: 1, log });
  const died = Promise.withResolvers<void>();
  server.on('workerDied', () => died.resolve());
  const [{ pid } = { pid: 0 }] = await server.stats();
  process.kill(pid, 'SIGKILL');
  await died.promise;
  await t.rejects(server.openCall('nowhere'), { code: 'unavailable' });
  await again;
  await server.openCall('somewhere');
});

t.test('a request that its worker’s death overtakes fails and is not left hanging', async (t) => {
  const { log, again } = restarted();
  const server = await openServer({ workers: 1, log });
  const call = await server.openCall('overtaken');
  const [{ pid } = { pid: 0 }] = await server.stats();
  process.kill(pid, 'SIGSTOP');
  const hanging = call.createTransport('caller', 'send');
  process.kill(pid, 'SIGKILL');
  await t.rejects(hanging, { code: /media_failed|conflict/ });
  await again;
});

t.test('closing while a worker is being replaced leaves no process behind', async (t) => {
  const server = await openServer({ workers: 1 });
  const [{ pid } = { pid: 0 }] = await server.stats();
  const died = Promise.withResolvers<void>();
  server.on('workerDied', () => died.resolve());
  process.kill(pid, 'SIGKILL');
  await died.promise;
  await server.close();
  t.same(await server.stats(), []);
});

t.test('closing ends the processes', async (t) => {
  const server = await openServer();
  const pids = (await server.stats()).map(({ pid }) => pid);
  await server.close();
  for (const pid of pids) t.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});

t.test('a port that is taken is named in one sentence, and no worker stays behind', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  await t.rejects(openServer({ workers: 1, basePort: port }), {
    message: new RegExp(
      `^The media port ${port} \\(UDP and TCP\\) of 127\\.0\\.0\\.1 is taken: stop what uses it`,
    ),
  });
  taken.close();
});

t.test('a worker that cannot be started is named in one sentence', async (t) => {
  await t.rejects(openServer({ workerBin: '/nonexistent/worker' }), {
    message: /^The media worker \/nonexistent\/worker cannot be started: /,
  });
  await t.rejects(openServer({ workerBin: '/bin/false' }), {
    message: /^The media worker \/bin\/false cannot be started: /,
  });
});
