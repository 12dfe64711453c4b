import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ensureMediaWorker } from './ensure.ts';
import { smokeTest } from './smoke.ts';

/** Set by scripts/test. */
const workerBin = process.env.MEDIASOUP_WORKER_BIN ?? '';

function executable(dir: string, name: string, script: string): string {
  const path = join(dir, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

t.test('a working media worker completes a DTLS handshake and carries a packet', async (t) => {
  const { handshakeMs, totalMs } = await smokeTest(workerBin);
  t.ok(handshakeMs >= 0 && handshakeMs <= totalMs && totalMs < 4_500);
});

t.test('the worker that MEDIASOUP_WORKER_BIN names is taken as it is', async (t) => {
  const log = t.fail;
  t.equal(await ensureMediaWorker({ log, env: { MEDIASOUP_WORKER_BIN: workerBin } }), workerBin);
});

const broken: Record<string, [string, RegExp]> = {
  'that does nothing': ['exit 0', /is not a media worker that runs on this machine/],
  'that hangs': ['exec sleep 60', /cannot be started/],
  'that passes for one and dies': [
    '[ -z "$MEDIASOUP_VERSION" ] && exit 41; exit 1',
    /did not|cannot|not a media worker|died/,
  ],
};

for (const [what, [script, message]] of Object.entries(broken)) {
  t.test(`a program ${what} is refused by name in one sentence`, async (t) => {
    const path = executable(t.testdir(), 'worker', script);
    const refused = ensureMediaWorker({ log: t.fail, env: { MEDIASOUP_WORKER_BIN: path } });
    await t.rejects(refused, {
      name: 'MediaWorkerError',
      message: /^MEDIASOUP_WORKER_BIN names a worker that does not work: /,
    });
    await t.rejects(refused, { message });
  });
}

t.test('a path that does not exist is refused in one sentence', async (t) => {
  await t.rejects(ensureMediaWorker({ log: t.fail, env: { MEDIASOUP_WORKER_BIN: '/nonexistent/worker' } }), {
    name: 'MediaWorkerError',
    message:
      'MEDIASOUP_WORKER_BIN names a worker that does not work: The media worker /nonexistent/worker cannot be started.',
  });
});

t.test('a cache that cannot be written is named in one sentence', async (t) => {
  const file = join(t.testdir({ file: '' }), 'file');
  await t.rejects(ensureMediaWorker({ log: () => {}, env: { XDG_CACHE_HOME: file } }), {
    name: 'MediaWorkerError',
    message: /^The media worker cannot be kept in .*file\/verbatim\/media-worker/,
  });
});
