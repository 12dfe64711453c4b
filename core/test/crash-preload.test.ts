import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { FaultPlan, FaultRule } from './fault-plan.ts';
import { faultPlan } from './fault-plan.ts';

const CHILD = fileURLToPath(new URL('./fault-child.ts', import.meta.url));

async function run(dir: string, style: string, env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [CHILD, style, dir], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const [, signal] = await once(child, 'close');
  return { said: said.trimEnd().split('\n'), signal };
}

const STEPS = ['open', 'write', 'datasync', 'rename', 'sync'];

interface Expected {
  rule: FaultRule;
  /** Steps that the program came past. */
  steps: number;
  /** What it was told, when it was not killed. */
  told?: string;
  /** Content of the temporary and of the file; undefined when it is not there. */
  temporary?: string;
  file?: string;
}

const whole = '0123456789';
const table: Expected[] = [
  { rule: { op: 'create', path: 'file\\.tmp$', act: 'kill' }, steps: 0 },
  { rule: { op: 'open', path: 'file\\.tmp$', when: 'after', act: 'kill' }, steps: 0, temporary: '' },
  { rule: { op: 'write', act: 'kill', path: 'file' }, steps: 1, temporary: '' },
  {
    rule: { op: 'write', path: 'file', when: 'half', halfBytes: 6, act: 'ENOSPC' },
    steps: 1,
    told: 'ENOSPC',
    temporary: '012345',
  },
  { rule: { op: 'write', path: 'file', when: 'half', act: 'kill' }, steps: 1, temporary: '01234' },
  { rule: { op: 'write', path: 'file', when: 'after', act: 'EIO' }, steps: 1, told: 'EIO', temporary: whole },
  {
    rule: { op: 'rename', path: '\\.tmp -> .*file$', act: 'EROFS' },
    steps: 3,
    told: 'EROFS',
    temporary: whole,
  },
  { rule: { op: 'rename', path: 'file$', when: 'after', act: 'kill' }, steps: 3, file: whole },
  // The directory is the second thing that is opened.
  { rule: { op: 'open', nth: 2, path: '^/.*/run', act: 'EMFILE' }, steps: 4, told: 'EMFILE', file: whole },
  { rule: { op: 'sync', path: 'run$', when: 'after', act: 'kill' }, steps: 4, file: whole },
];

for (const style of ['promises', 'synchronous', 'callbacks'])
  for (const { rule, steps, told, temporary, file } of table)
    t.test(
      `a planned ${rule.act} ${rule.when ?? 'before'} ${rule.op} strikes a program that uses ${style}`,
      async (t) => {
        const dir = t.testdir({ run: {} });
        const plan = faultPlan(dir, [rule]);
        const { said, signal } = await run(join(dir, 'run'), style, plan.env);
        t.equal(plan.acted(0), 1);
        t.equal(signal, rule.act === 'kill' ? 'SIGKILL' : null);
        // What a killed process has printed through a pipe is there: it is written at once.
        t.same(said.filter(Boolean), [...STEPS.slice(0, steps), ...(told === undefined ? [] : [told])]);
        const content = (name: string) =>
          existsSync(join(dir, 'run', name)) ? readFileSync(join(dir, 'run', name), 'utf8') : undefined;
        t.equal(content('file.tmp'), temporary);
        t.equal(content('file'), file);
      },
    );

t.test(
  'a rule strikes once in all processes, or always, or while a file exists, or in one role',
  async (t) => {
    const dir = t.testdir({ run: {} });
    const runDir = join(dir, 'run');
    const once = faultPlan(dir, [{ op: 'rename', act: 'kill' }]);
    t.equal((await run(runDir, 'promises', once.env)).signal, 'SIGKILL');
    t.same((await run(runDir, 'promises', once.env)).said, ['EEXIST'], 'the second process lives');
    t.equal(once.acted(0), 1);

    const other = t.testdir({ run: {}, plan: {} });
    const on = join(other, 'on');
    const plan = faultPlan(join(other, 'plan'), [
      { op: 'create', path: 'run', act: 'EMFILE', always: true, whileExists: on },
      { op: 'create', path: 'run', act: 'kill', argv: 'another role' },
    ]);
    writeFileSync(on, '');
    for (let n = 1; n <= 2; n += 1)
      t.same((await run(join(other, 'run'), 'synchronous', plan.env)).said, ['EMFILE']);
    t.equal(plan.acted(0), 2);
    const off = faultPlan(join(other, 'plan'), [
      { op: 'create', path: 'run', act: 'kill', whileExists: join(other, 'nowhere') },
    ]);
    t.same((await run(join(other, 'run'), 'synchronous', off.env)).said, STEPS);
    t.same(readdirSync(join(other, 'run')), ['file']);
  },
);

for (const style of ['promises', 'synchronous'])
  t.test(
    `what a file held after a call that succeeded is kept, in a program that uses ${style}`,
    async (t) => {
      const path = 'file\\.tmp$';
      const keeps: FaultRule[] = [
        { op: 'create', path, act: 'keep' },
        { op: 'datasync', path, act: 'keep' },
      ];
      const kept = (plan: FaultPlan) => [0, 1].map((rule) => plan.kept(rule).map(String));

      const before = t.testdir({ run: {} });
      const early = faultPlan(before, [...keeps, { op: 'datasync', path, act: 'kill' }]);
      t.equal((await run(join(before, 'run'), style, early.env)).signal, 'SIGKILL');
      t.same(kept(early), [[''], []], 'a call that did not happen keeps nothing');

      const after = t.testdir({ run: {} });
      const late = faultPlan(after, [...keeps, { op: 'datasync', path, when: 'after', act: 'EIO' }]);
      t.same((await run(join(after, 'run'), style, late.env)).said, ['open', 'write', 'EIO']);
      t.same(kept(late), [[''], [whole]], 'one that did keeps it before another rule strikes');
      t.same([late.acted(0), late.acted(1), late.acted(2)], [1, 1, 1]);

      t.same((await run(join(after, 'run'), style, faultPlan(after, keeps).env)).said, ['EEXIST']);
      rmSync(join(after, 'run/file.tmp'));
      t.same((await run(join(after, 'run'), style, faultPlan(after, keeps).env)).said, STEPS);
      t.same(kept(late), [
        ['', ''],
        [whole, whole],
      ]);
    },
  );

t.test('what is sent through a socket is an operation too', async (t) => {
  const before = faultPlan(t.testdir({}), [{ op: 'send', path: '^second$', act: 'kill' }]);
  const killed = await run('.', 'socket', before.env);
  t.equal(killed.signal, 'SIGKILL');
  t.notOk(killed.said.includes('sent'));
  const hung = faultPlan(t.testdir({}), [{ op: 'send', path: '^second$', when: 'after', act: 'kill' }]);
  const late = await run('.', 'socket', hung.env);
  t.equal(late.signal, 'SIGKILL');
  t.equal(hung.acted(0), 1);
  t.notOk(late.said.includes('sent'), 'its sender was not told');
});

t.test('without a plan nothing is changed', async (t) => {
  const dir = t.testdir({ run: {} });
  const plan = faultPlan(dir, []);
  t.same(await run(join(dir, 'run'), 'promises', plan.env), { said: STEPS, signal: null });
});
