import type { ChildProcess } from 'node:child_process';
import { execFileSync, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import t from 'tap';
import { openSealed } from '#store';
import type { FaultRule } from '../core/test/fault-plan.ts';
import { faultPlan } from '../core/test/fault-plan.ts';
import type { FinaliseOptions } from './finalise.ts';
import { finaliseRecording } from './finalise.ts';
import { generateCall, PLAIN_LEG } from './test/calls.ts';
import type { ChildAnswer } from './test/finalise-child.ts';
import { createKeys, writeJournal } from './test/journals.ts';

// The written rule (FORMAT.md, "When a disk fails, or the process dies"), at every step of finalising.
t.setTimeout(420_000);

const RECORDING = '018f0000-0000-7000-8000-000000000001';
const CHILD = fileURLToPath(new URL('./test/finalise-child.ts', import.meta.url));
const keys = await createKeys();
const call = generateCall({ seed: 4, durationMs: 8_000, legs: [PLAIN_LEG, { ...PLAIN_LEG, ssrc: 0x2000 }] });

/** A folder with the journal of the call, and what a finaliser is told of it. */
async function folder(
  dir: string,
): Promise<{ options: FinaliseOptions; recordings: string; journal: string }> {
  const recordings = join(dir, 'recordings');
  const journals = join(dir, 'journals');
  mkdirSync(recordings);
  mkdirSync(journals);
  const { path } = await writeJournal({ dir: journals, keys, recording: RECORDING, records: call.records });
  rmSync(join(journals, 'wal'), { recursive: true });
  const [pay, hdr] = [join(recordings, `${RECORDING}.pay`), join(recordings, `${RECORDING}.hdr`)];
  return {
    options: { journals: [path], recordingId: RECORDING, ...keys, pay, hdr },
    recordings,
    journal: path,
  };
}

function start(t: Test, env: NodeJS.ProcessEnv = {}, execArgv: string[] = []): ChildProcess {
  const child = fork(CHILD, { env: { PATH: process.env.PATH, ...env }, execArgv });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

/** What the child answers, or undefined when it dies of it. */
async function ask(child: ChildProcess, options: FinaliseOptions): Promise<ChildAnswer | undefined> {
  const answered: Promise<[ChildAnswer]> = once(child, 'message').then(([answer]) => [answer]);
  const died = once(child, 'exit').then(() => [undefined] as const);
  child.send(options);
  const [answer] = await Promise.race([answered, died]);
  return answer;
}

const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** The recording is there once, opens, and holds what the journal does. */
async function whole(t: Test, options: FinaliseOptions, expected: string): Promise<void> {
  const sealed = await openSealed(options);
  const bytes = await sealed.read(0, sealed.sizeBytes);
  await sealed.close();
  t.equal(
    createHash('sha256').update(bytes).digest('hex'),
    expected,
    'the bytes are those of an undisturbed run',
  );
}

// What an undisturbed run makes of it.
const undisturbed = await folder(t.testdir({}));
const model = await finaliseRecording(undisturbed.options);
if (!model.ok) throw new Error(model.detail);
const names = [`${RECORDING}.hdr`, `${RECORDING}.pay`];

const at = {
  leftovers: { op: 'unlink', path: '\\.pay\\.tmp$' },
  'open journal': { op: 'open', path: '\\.scj$' },
  'read journal': { op: 'read', path: '\\.scj$' },
  'create payload': { op: 'create', path: '\\.pay\\.tmp$' },
  'write payload': { op: 'write', path: '\\.pay\\.tmp$', nth: 2 },
  'sync payload': { op: 'sync', path: '\\.pay\\.tmp$' },
  'create header': { op: 'create', path: '\\.hdr\\.tmp$' },
  'write header': { op: 'write', path: '\\.hdr\\.tmp$' },
  'sync header': { op: 'sync', path: '\\.hdr\\.tmp$' },
  'open journal again': { op: 'open', path: '\\.scj$', nth: 2 },
  'open to compare': { op: 'open', path: '\\.pay\\.tmp$', nth: 2 },
  'read to compare': { op: 'read', path: '\\.pay\\.tmp$', nth: 2 },
  'rename payload': { op: 'rename', path: '\\.tmp -> .*\\.pay$' },
  'rename header': { op: 'rename', path: '\\.tmp -> .*\\.hdr$' },
  'open directory': { op: 'open', path: 'recordings$' },
  'sync directory': { op: 'sync', path: 'recordings$' },
} as const satisfies Record<string, Omit<FaultRule, 'act'>>;
type Step = keyof typeof at;

const ENOSPC = { act: 'ENOSPC', code: 'no_space' };
const half = { ...ENOSPC, when: 'half' as const };
const EIO = { act: 'EIO' };
const EROFS = { act: 'EROFS' };
const EMFILE = { act: 'EMFILE' };
const faults: [Step, { act: string; code?: string; when?: 'half' }[]][] = [
  ['leftovers', [EIO, EROFS]],
  ['open journal', [EIO, EMFILE]],
  ['read journal', [EIO]],
  ['create payload', [ENOSPC, EIO, EROFS, EMFILE]],
  ['write payload', [half, EIO]],
  ['sync payload', [ENOSPC, EIO]],
  ['create header', [ENOSPC, EIO, EROFS, EMFILE]],
  ['write header', [half, EIO]],
  ['sync header', [ENOSPC, EIO]],
  ['open journal again', [EMFILE]],
  ['open to compare', [EIO, EMFILE]],
  ['read to compare', [EIO]],
  ['rename payload', [ENOSPC, EIO, EROFS]],
  ['rename header', [ENOSPC, EIO, EROFS]],
  ['open directory', [EMFILE]],
  ['sync directory', [EIO]],
];

for (const [step, kinds] of faults)
  for (const { act, code, when } of kinds)
    t.test(
      `F33 ${act} at "${step}" leaves no recording, no temporary and no descriptor, and the next try works`,
      async (t) => {
        const dir = t.testdir({});
        const { options, recordings, journal } = await folder(dir);
        const before = sha256(journal);
        const plan = faultPlan(dir, [
          { ...at[step], act: act as `E${string}`, ...(when === undefined ? {} : { when }) },
        ]);
        const child = start(t, plan.env);
        const failed = await ask(child, options);
        t.equal(plan.acted(0), 1);
        t.equal(failed?.result, undefined, 'no verdict: it may succeed later');
        t.match(failed?.error, { message: new RegExp(act), ...(code === undefined ? {} : { code }) });
        const left = readdirSync(recordings);
        const renamed = step === 'open directory' || step === 'sync directory';
        // A payload that got its name before the header failed is bytes without a key.
        const allowed = renamed ? names : step === 'rename header' ? [`${RECORDING}.pay`] : [];
        t.same(left.sort(), allowed, 'no temporary, and nothing to play');
        const again = await ask(child, options);
        t.match(again?.result, { ok: true, sha256: model.sha256, sha512: model.sha512 });
        t.equal(again?.descriptors, failed?.descriptors, 'no descriptor was left open');
        t.same(readdirSync(recordings).sort(), names);
        await whole(t, options, model.sha256);
        t.equal(sha256(journal), before, 'the journal is as it was');
      },
    );

t.test('F33 temporaries that a read-only disk does not let go of are removed by the next run', async (t) => {
  const dir = t.testdir({});
  const { options, recordings } = await folder(dir);
  const readOnly = join(dir, 'read-only');
  writeFileSync(readOnly, '');
  const plan = faultPlan(dir, [
    { ...at['sync header'], act: 'EROFS' },
    // The first four look for leftovers, at the start of the run and of sealing.
    { op: 'unlink', path: '\\.tmp$', act: 'EROFS', always: true, nth: 5, whileExists: readOnly },
  ]);
  const child = start(t, plan.env);
  t.match(
    await ask(child, options),
    { error: { message: /EROFS/ } },
    'the first error is the one that is told',
  );
  t.ok(plan.acted(1) >= 1);
  t.same(
    readdirSync(recordings).sort(),
    names.map((name) => `${name}.tmp`),
  );
  t.match(await ask(child, options), { error: { message: /EROFS/ } });
  rmSync(readOnly);
  t.match(await ask(child, options), { result: { ok: true, sha256: model.sha256 } });
  t.same(readdirSync(recordings).sort(), names);
});

const kills: [Step, FaultRule['when'] & string][] = [
  ['create payload', 'before'],
  ['create payload', 'after'],
  ['write payload', 'half'],
  ['sync payload', 'before'],
  ['sync payload', 'after'],
  ['create header', 'after'],
  ['write header', 'half'],
  ['sync header', 'after'],
  ['read to compare', 'before'],
  ['rename payload', 'before'],
  ['rename payload', 'after'],
  ['rename header', 'before'],
  ['rename header', 'after'],
  ['sync directory', 'before'],
  ['sync directory', 'after'],
];

for (const [step, when] of kills)
  t.test(
    `F23 a finaliser that is killed ${when} "${step}" leaves what the next one makes whole`,
    async (t) => {
      const dir = t.testdir({});
      const { options, recordings, journal } = await folder(dir);
      const before = sha256(journal);
      const plan = faultPlan(dir, [{ ...at[step], when, act: 'kill' }]);
      t.equal(await ask(start(t, plan.env), options), undefined, 'it died');
      t.equal(plan.acted(0), 1);
      const left = readdirSync(recordings).sort();
      const stood = left.join() === names.join() ? sha256(options.pay) : undefined;
      const answer = await ask(start(t), options);
      t.match(answer?.result, { ok: true, sha256: model.sha256, paySha256: sha256(options.pay) });
      if (stood !== undefined) t.equal(sha256(options.pay), stood, 'a recording that stood whole is kept');
      t.same(readdirSync(recordings).sort(), names, `nothing is left of ${left}`);
      await whole(t, options, model.sha256);
      t.equal(sha256(journal), before, 'the journal is as it was');
    },
  );

t.test(
  'F23 a recording that a killed run left whole is reported only when its names are durable',
  async (t) => {
    const dir = t.testdir({ one: {}, two: {} });
    const { options, recordings } = await folder(dir);
    const killed = faultPlan(join(dir, 'one'), [{ ...at['sync directory'], act: 'kill' }]);
    t.equal(await ask(start(t, killed.env), options), undefined);
    t.same(readdirSync(recordings).sort(), names, 'it stands, but a power failure could take the names back');
    const plan = faultPlan(join(dir, 'two'), [{ ...at['sync directory'], act: 'EIO' }]);
    const child = start(t, plan.env);
    t.match(await ask(child, options), { error: { message: /EIO/ } });
    t.equal(plan.acted(0), 1);
    t.match(await ask(child, options), { result: { ok: true, paySha256: sha256(options.pay) } });
  },
);

/** A small file system of its own; undefined, and said so, where mounting is not allowed. */
function mount(t: Test, options: string): string | undefined {
  // Not below the test's own directory, which is removed while the disk is still mounted.
  const disk = mkdtempSync(join(tmpdir(), 'verbatim-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'none', disk], { stdio: 'ignore' });
  } catch {
    rmSync(disk, { recursive: true });
    t.pass('mounting a small disk needs root', { skip: 'not allowed here' });
    return undefined;
  }
  t.teardown(() => {
    execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true });
  });
  return disk;
}

t.test('F33 on a disk that is really full nothing is left, and with room the recording comes', async (t) => {
  const disk = mount(t, 'size=128k');
  if (disk === undefined) return;
  const { options } = await folder(t.testdir({}));
  const [pay, hdr] = [join(disk, 'a.pay'), join(disk, 'a.hdr')];
  writeFileSync(join(disk, 'others'), Buffer.alloc(120 * 1024));
  const child = start(t);
  const failed = await ask(child, { ...options, pay, hdr });
  t.match(failed, { error: { code: 'no_space', message: /ENOSPC/ } });
  t.same(readdirSync(disk), ['others']);
  execFileSync('mount', ['-o', 'remount,size=2m', disk]);
  const again = await ask(child, { ...options, pay, hdr });
  t.match(again?.result, { ok: true, sha256: model.sha256 });
  t.equal(again?.descriptors, failed?.descriptors);
  await whole(t, { ...options, pay, hdr }, model.sha256);
});

t.test(
  'F33 on a disk that is really read-only nothing happens, and afterwards the recording comes',
  async (t) => {
    const disk = mount(t, 'size=2m');
    if (disk === undefined) return;
    const { options, journal } = await folder(t.testdir({}));
    const [pay, hdr] = [join(disk, 'a.pay'), join(disk, 'a.hdr')];
    copyFileSync(journal, join(disk, 'journal'));
    execFileSync('mount', ['-o', 'remount,ro', disk]);
    const there = { ...options, journals: [join(disk, 'journal')], pay, hdr };
    const child = start(t);
    const failed = await ask(child, there);
    t.match(failed, { error: { message: /EROFS/ } });
    t.same(readdirSync(disk), ['journal']);
    execFileSync('mount', ['-o', 'remount,rw', disk]);
    const again = await ask(child, there);
    t.match(again?.result, { ok: true, sha256: model.sha256 });
    t.equal(again?.descriptors, failed?.descriptors);
  },
);

t.test('F33 without descriptors finalising fails and can be repeated', async (t) => {
  const { options, recordings } = await folder(t.testdir({}));
  const child = start(t);
  const first = await ask(child, options);
  t.match(first?.result, { ok: true });
  for (const name of names) rmSync(join(recordings, name));
  const limit = (files: string) => execFileSync('prlimit', [`--pid=${child.pid}`, `--nofile=${files}`]);
  limit('3:4096');
  t.match(await ask(child, options), { error: { message: /EMFILE|too many open files/ } });
  limit('4096:4096');
  const again = await ask(child, options);
  t.match(again?.result, { ok: true, sha256: model.sha256 });
  t.same(readdirSync(recordings).sort(), names);
});
