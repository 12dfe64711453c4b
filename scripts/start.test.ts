import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import t from 'tap';
import { testPostgres } from '../core/db/fixture.ts';
import { ensureMediaWorker } from './media-worker/ensure.ts';

// Servers are started for real here, and a test before this one may have left the machine busy.
t.setTimeout(120_000);

const root = resolve(import.meta.dirname, '..');
const mediaWorker = await ensureMediaWorker({ log: () => undefined });
const isRoot = process.getuid?.() === 0;

interface Run {
  child: ChildProcess;
  /** What it printed so far. */
  text(): string;
  /** Resolves when it has printed this; rejects when it ends without. */
  printed(pattern: RegExp): Promise<void>;
  exit: Promise<number | NodeJS.Signals | null>;
}

function start(t: Test, args: string[], env: Record<string, string> = {}): Run {
  const child = spawn(join(root, 'scripts/start'), args, {
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      MEDIASOUP_WORKER_BIN: mediaWorker,
      VERBATIM_MEDIA_BASE_PORT: '0',
      VERBATIM_MEDIA_WORKERS: '1',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // As a terminal does it: everything started from here is one group, and Ctrl-C goes to all of it.
    detached: true,
  });
  let text = '';
  const waiting = new Set<() => void>();
  const keep = (chunk: Buffer): void => {
    text += chunk.toString();
    for (const look of waiting) look();
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  const exit = new Promise<number | NodeJS.Signals | null>((done) => {
    child.on('close', (code, signal) => done(signal ?? code));
  });
  t.teardown(async () => {
    child.kill('SIGTERM');
    await exit;
  });
  return {
    child,
    text: () => text,
    exit,
    printed: (pattern) =>
      new Promise((done, fail) => {
        const look = (): void => {
          if (pattern.test(text)) done();
        };
        waiting.add(look);
        exit.then((code) => fail(new Error(`It ended with ${code} and had printed:\n${text}`)));
        look();
      }),
  };
}

/** Outside the fixtures of tap, which go before teardowns do. */
function folder(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'verbatim-start-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true, maxRetries: 20 }));
  // The ledger's signer remembers beside the data folder.
  t.teardown(() => rmSync(`${dir}.signer`, { recursive: true, force: true }));
  return dir;
}

/** Processes that work on this data folder, by their environment or their working folder. */
function processesOf(dataDir: string): string[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .flatMap((pid) => {
      try {
        const ours =
          readlinkSync(`/proc/${pid}/cwd`).startsWith(dataDir) ||
          readFileSync(`/proc/${pid}/environ`, 'utf8').includes(dataDir);
        return ours ? [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`] : [];
      } catch {
        // Gone in the meantime, or another user's.
        return [];
      }
    });
}

async function allGone(dataDir: string): Promise<void> {
  while (processesOf(dataDir).length > 0) await delay(20);
}

function ctrlC({ child }: Run): void {
  if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
}

t.test('F51 one command starts everything, says where to open it, and Ctrl-C stops everything', async (t) => {
  const dataDir = folder(t);
  const run = start(t, ['--data', dataDir, '--port', '0']);
  await run.printed(/Ctrl-C stops it\./);
  t.match(run.text(), new RegExp(`Data +${dataDir}\n`));
  t.notMatch(run.text(), /Not working/);
  for (const person of ['alice', 'bob']) {
    const [, url = ''] = new RegExp(`(http://localhost:\\d+/demo/\\?as=${person})\n`).exec(run.text()) ?? [];
    const answer = await fetch(url);
    t.equal(answer.status, 200, url);
    t.match(await answer.text(), /<html/);
  }
  const kinds = processesOf(dataDir).join('\n');
  for (const kind of [/core\/main\.ts/, /main\.ts capture/, /mediasoup-worker/, /bin\/postgres/])
    t.match(kinds, kind);

  ctrlC(run);
  t.equal(await run.exit, 0);
  t.match(run.text(), /Stopping .*\nStopped\.\n$/);
  t.strictSame(processesOf(dataDir), [], 'no process is left');

  t.test('and a second start on the same folder finds everything in place', async (t) => {
    const again = start(t, ['--data', dataDir, '--port', '0']);
    await again.printed(/Ctrl-C stops it\./);
    t.notMatch(again.text(), /Building|Creating|Compiling/);

    // Nobody is left to stop the server when this is killed: it must notice by itself.
    again.child.kill('SIGKILL');
    await again.exit;
    await allGone(dataDir);
    t.strictSame(processesOf(dataDir), []);
  });
});

t.test('Ctrl-C while it still starts stops everything, too', async (t) => {
  const dataDir = folder(t);
  const run = start(t, ['--data', dataDir, '--port', '0']);
  await run.printed(/Starting the server\./);
  while (!existsSync(join(dataDir, 'postgres'))) await delay(5);
  ctrlC(run);
  t.equal(await run.exit, 0);
  // What makes the database is not interrupted: it ends by itself within a second.
  await allGone(dataDir);
  t.strictSame(processesOf(dataDir), []);
});

t.test('a second server on the same folder is refused, also when the database is elsewhere', async (t) => {
  const dataDir = folder(t);
  const env = { VERBATIM_DATABASE_URL: await testPostgres(t) };
  const first = start(t, ['--data', dataDir, '--port', '0'], env);
  await first.printed(/Ctrl-C stops it\./);
  const second = start(t, ['--data', dataDir, '--port', '0'], env);
  t.equal(await second.exit, 1);
  t.match(
    second.text(),
    /The data folder .* is in use by the Verbatim server \(process \d+\): stop that one first\./,
  );
  ctrlC(first);
  t.equal(await first.exit, 0);
});

t.test('what an operator can put right is told in one sentence, with exit code 1 and no stack', async (t) => {
  const dir = folder(t);
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => taken.once('listening', done));
  t.teardown(() => taken.close());
  const address = taken.address();
  const port = String(typeof address === 'object' ? address?.port : 0);
  const data = join(dir, 'data');

  const cases: [name: string, args: string[], env: Record<string, string>, expected: RegExp][] = [
    [
      'a port that is taken',
      ['--data', data, '--port', port],
      {},
      /^Another program uses port \d+ on 127\.0\.0\.1: stop it, or choose another port with --port N\.$/,
    ],
    [
      'a media port that is taken',
      ['--data', data, '--port', '0'],
      { VERBATIM_MEDIA_BASE_PORT: port },
      /^The media port \d+ on 127\.0\.0\.1 cannot be used \(another program has it\): stop/,
    ],
    [
      'no port',
      ['--data', data, '--port', 'abc'],
      {},
      /^--port: expected a port from 1 to 65535, got "abc"\.$/,
    ],
    ['too large a port', ['--data', data, '--port', '65536'], {}, /^--port: expected/],
    ['an unknown option', ['--dta', data], {}, /^Unknown option '--dta': see --help\.$/],
    [
      'an unknown setting',
      ['--config', file('a.yaml', 'listen: {prt: 1}')],
      {},
      /^The configuration is wrong: listen\.prt: there is no such key, did you mean listen\.port\?/,
    ],
    ['no such settings file', ['--config', join(dir, 'none.yaml')], {}, /there is no such file$/],
    [
      'an unknown variable',
      ['--data', data],
      { VERBATIM_PORT: '1' },
      /VERBATIM_PORT: there is no such setting/,
    ],
    [
      'an address of another machine',
      ['--data', data],
      { VERBATIM_LISTEN_HOST: '192.0.2.1' },
      /^This machine has no address 192\.0\.2\.1: correct listen\.host\.$/,
    ],
    [
      'a file as data folder',
      ['--data', file('f', '')],
      {},
      /^The data folder .* cannot be made, because a file is in its place: choose another with --data DIR/,
    ],
    [
      'a place that takes no folders',
      ['--data', '/proc/verbatim'],
      {},
      /^This user may not use the data folder \/proc\/verbatim/,
    ],
    [
      'no database there',
      ['--data', data, '--port', '0'],
      { VERBATIM_DATABASE_URL: 'postgres://u:hunter2@127.0.0.1:1/x' },
      /Verbatim did not start: Nothing answers for PostgreSQL at 127\.0\.0\.1:1\/x: start it, or correct database\.url\.$/,
    ],
    [
      'no media worker there',
      ['--data', data, '--port', '0'],
      { MEDIASOUP_WORKER_BIN: '/bin/false' },
      /^MEDIASOUP_WORKER_BIN names a worker that does not work/,
    ],
  ];
  for (const [name, args, env, expected] of cases) {
    const run = start(t, args, env);
    t.equal(await run.exit, 1, `${name}: exit code`);
    const lines = run
      .text()
      .trimEnd()
      .split('\n')
      .filter((line) => !/^(Building the pages|Starting the server)\.$/.test(line));
    t.equal(lines.length, 1, `${name}: one line, got ${run.text()}`);
    t.match(lines[0], expected, name);
    t.notMatch(run.text(), /hunter2|\n +at /);
  }
});

t.test('a secret that others can read stops the start before anything is built or run', async (t) => {
  const dataDir = folder(t);
  const first = start(t, ['--data', dataDir, '--port', '0'], { MEDIASOUP_WORKER_BIN: '/bin/false' });
  await first.exit;
  chmodSync(join(dataDir, 'secrets/seal.key'), 0o640);
  const run = start(t, ['--data', dataDir, '--port', '0']);
  t.equal(await run.exit, 1);
  t.match(
    run.text(),
    /^The secret file .*seal\.key can be read by other users \(mode 0640\): run "chmod 600 /,
  );
});

t.test('a folder of another user is refused in words', { skip: !isRoot && 'needs root' }, async (t) => {
  const dataDir = folder(t);
  const child = spawn(process.execPath, [join(root, 'scripts/start.ts'), '--data', dataDir], {
    env: { PATH: process.env.PATH },
    uid: 65_534,
    gid: 65_534,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await new Promise((done) => child.on('close', done));
  t.match(
    text,
    /^This user may not use the data folder .* \(permission denied\): choose another with --data DIR/,
  );
});

t.test('--help tells the options without installing or starting anything', async (t) => {
  const run = start(t, ['--help'], { PATH: '/usr/bin:/bin' });
  t.equal(await run.exit, 0);
  for (const option of ['--data DIR', '--port N', '--config FILE']) t.match(run.text(), new RegExp(option));
});
