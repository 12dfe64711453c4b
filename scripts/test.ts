import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { runChecks } from './check/run-checks.ts';
import { projectFiles } from './check/source-files.ts';
import { buildClient } from './lib/client-build.ts';
import type { FileResult } from './lib/tap-results.ts';
import { TapResults } from './lib/tap-results.ts';
import { ensureTools, TEST_TOOLS } from './lib/tools.ts';
import { runCommand } from './media-worker/command.ts';
import { ensureMediaWorker } from './media-worker/ensure.ts';

/**
 * Journeys start servers and browsers, and the fault tables start several servers at once: one file at a time, so that
 * their timings mean something.
 */
const ALONE = /^core\/test\/|\/faults-/;
const UNIT_TIMEOUT_S = 480;
const JOURNEY_TIMEOUT_S = 480;
/** So much longer than a single file may take the runner may be silent. */
const SILENCE_MARGIN_S = 240;
/** More files than these that fail are no accident of a busy machine. */
const MAX_RUN_AGAIN = 8;
/** Told apart from 1, the exit code of a crash, so that the entry knows whether the last line was printed. */
const EXIT_COUNTED_FAILURES = 3;

const root = resolve(import.meta.dirname, '..');
const total = {
  passed: 0,
  failed: [] as string[],
  skipped: [] as string[],
  /** Failed first, and passed when they ran once more. */
  unsteady: [] as string[],
};
const say = (sentence: string): void => console.log(`-- ${sentence}`);

// Leaving by a signal takes the tests along, by the listeners of `exit`.
process.once('SIGINT', () => process.exit(1));
process.once('SIGTERM', () => process.exit(1));

await main();

async function main(): Promise<void> {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { unit: { type: 'boolean' }, journeys: { type: 'boolean' }, again: { type: 'boolean' } },
    });
    const chosen = await chooseFiles(positionals);
    const everything = positionals.length === 0;
    const env = await setUp();
    if (everything && !values.journeys) await check();
    const failed: FileResult[] = [];
    if (!values.journeys)
      failed.push(...(await runTests(chosen.unit, env, Math.min(2, availableParallelism()), UNIT_TIMEOUT_S)));
    if (!values.unit) failed.push(...(await runTests(chosen.journeys, env, 1, JOURNEY_TIMEOUT_S)));
    if (everything || values.again) await runAgain(failed, env);
    else count(failed);
  } catch (error) {
    console.log(error instanceof Error ? error.message : String(error));
    total.failed.push('the run itself');
  }
  if (total.passed === 0 && total.failed.length === 0) total.failed.push('no test ran');

  if (total.skipped.length > 0)
    console.log(`\nNot run here:\n${total.skipped.map((one) => `  ${one}`).join('\n')}`);
  if (total.unsteady.length > 0)
    console.log(`\nPassed only when run once more:\n${total.unsteady.map((one) => `  ${one}`).join('\n')}`);
  if (total.failed.length > 0) console.log(`\nFailed:\n${total.failed.map((one) => `  ${one}`).join('\n')}`);
  console.log(`\n${total.passed} passed, ${total.failed.length} failed`);
  process.exitCode = total.failed.length === 0 ? 0 : EXIT_COUNTED_FAILURES;
}

/** The test files, all of them or the named ones. @throws Error when a named file is not there. */
async function chooseFiles(named: readonly string[]): Promise<{ unit: string[]; journeys: string[] }> {
  const all = (await projectFiles(root)).filter((path) => path.endsWith('.test.ts'));
  const wanted = named.map((path) => relative(root, resolve(path)));
  const absent = wanted.filter((path) => !all.includes(path));
  if (absent.length > 0) throw new Error(`There is no test file ${absent.join(', ')}.`);
  const files = wanted.length > 0 ? wanted : all;
  return {
    unit: files.filter((path) => !ALONE.test(path)),
    journeys: files.filter((path) => ALONE.test(path)),
  };
}

/** Everything the tests need on a machine where nothing of ours ever ran. Answers their environment. */
async function setUp(): Promise<NodeJS.ProcessEnv> {
  await ensureTools('The test suite', TEST_TOOLS, say);
  const mediaWorker = await ensureMediaWorker({ log: say });
  // The runner keeps its choice of plugins (.taprc) in a folder that is not in the repository.
  if (!existsSync(join(root, '.tap/plugins'))) await must('tap', ['build']);
  await buildClient(root, say);
  // Settings of a server on this machine must not reach the tests' servers.
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith('VERBATIM_'));
  return {
    ...Object.fromEntries(clean),
    MEDIASOUP_WORKER_BIN: mediaWorker,
    // Built once, instead of by each test that shows pages.
    CLIENT_DIST: join(root, 'client/dist'),
  };
}

async function must(program: string, args: readonly string[]): Promise<void> {
  const { code, output } = await runCommand(program, args, { cwd: root });
  if (code !== 0) throw new Error(`\`${program} ${args.join(' ')}\` failed:\n${output}`);
}

async function check(): Promise<void> {
  say('Checks (npm run check)');
  const { passed, failed } = await runChecks(root);
  total.passed += passed.length;
  total.failed.push(...failed.map((name) => `check: ${name}`));
}

/**
 * Files that failed run once more, each alone: on a machine that was busy a deadline can pass. What fails twice has
 * failed; what passes now is counted and named, so that nobody takes it for sound. More than a few failures are no
 * accident and are not run again.
 */
async function runAgain(failed: readonly FileResult[], env: NodeJS.ProcessEnv): Promise<void> {
  if (failed.length === 0 || failed.length > MAX_RUN_AGAIN) return count(failed);
  say('Once more, each alone, what failed');
  for (const first of failed) {
    const again = await runTests([first.file], env, 1, JOURNEY_TIMEOUT_S);
    count(again);
    if (again.length === 0) total.unsteady.push(`${first.file} > ${first.failed.join(', ')}`);
  }
}

function count(results: readonly FileResult[]): void {
  for (const { passed, failed } of results) {
    total.passed += passed;
    total.failed.push(...failed);
  }
}

/** Counts the files that passed, and answers those that did not, uncounted. */
async function runTests(
  files: readonly string[],
  env: NodeJS.ProcessEnv,
  jobs: number,
  timeoutS: number,
): Promise<FileResult[]> {
  if (files.length === 0) return [];
  say(`${files.length} test files, ${jobs} at a time`);
  const unseen = new Set(files);
  const bad: FileResult[] = [];
  const results = new TapResults((result) => {
    unseen.delete(result.file);
    report(result);
    if (result.failed.length > 0) bad.push(result);
    else count([result]);
  });
  const args = ['run', '--reporter=tap', `--jobs=${jobs}`, `--timeout=${timeoutS}`, ...files];
  // A process group of its own, so that what a test left behind goes with the runner.
  const tap = spawn('tap', args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const endGroup = (): void => void (tap.pid !== undefined && tryKill(-tap.pid));
  process.once('exit', endGroup);
  const ended = new Promise<void>((done, fail) => {
    tap.on('error', fail);
    tap.on('close', () => done());
  });
  // The runner waits for processes that a test it has killed left behind, for ever if need be.
  const silence = setTimeout(endGroup, (timeoutS + SILENCE_MARGIN_S) * 1000);
  for await (const line of createInterface({ input: tap.stdout })) {
    silence.refresh();
    results.line(line);
  }
  results.end();
  await ended;
  clearTimeout(silence);
  endGroup();
  process.removeListener('exit', endGroup);
  // A runner that stops early says nothing about the files that it left out.
  for (const file of unseen)
    bad.push({ file, passed: 0, failed: [`${file} (did not run)`], skipped: [], text: '' });
  return bad;
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}

function report({ file, passed, failed, skipped, text }: FileResult): void {
  total.skipped.push(...skipped);
  const took = /# time=([\d.]+)ms\s*$/m.exec(text.slice(text.lastIndexOf(`- ${file}`)))?.[1];
  const seconds = took === undefined ? '' : `, ${(Number(took) / 1000).toFixed(1)} s`;
  console.log(
    `${failed.length === 0 ? 'ok    ' : 'FAILED'} ${file} (${passed} passed, ${failed.length} failed${seconds})`,
  );
  if (failed.length > 0) console.log(text);
}
