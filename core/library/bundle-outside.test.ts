import { execFile } from 'node:child_process';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import t from 'tap';
import { findProgram } from '../../scripts/lib/tools.ts';
import { buildVerifiers } from '../../scripts/lib/verifier-build.ts';
import { testDatabase } from '../db/fixture.ts';
import { BundleFolder, pack, unpack } from './bundle-fixture.ts';

// What people have who do not have this server: a browser, Node, Python, openssl, sha256sum.
const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');
const db = await testDatabase(t);
const dir = t.testdir();
await buildVerifiers(root);
const ours = await BundleFolder.open(db, dir, join(root, 'client/dist/verify'));
t.teardown(() => ours.close());
const { call } = await ours.call();
const zip = await ours.bundle(call.recordingId);
const good = join(dir, 'evidence-good.zip');
await writeFile(good, zip);
const files = unpack(zip);
const changed = Buffer.from(files.get('recording.webm') ?? Buffer.alloc(0));
changed[changed.length - 9] = (changed.at(-9) ?? 0) ^ 1;
const bad = join(dir, 'evidence-changed.zip');
await writeFile(bad, pack(new Map([...files, ['recording.webm', changed]])));
const unpacked = join(dir, 'unpacked');
for (const [name, bytes] of files) {
  await mkdir(dirname(join(unpacked, name)), { recursive: true });
  await writeFile(join(unpacked, name), bytes);
}

interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

async function answer(program: string, args: readonly string[]): Promise<Ran> {
  try {
    const { stdout, stderr } = await run(program, [...args], { env: { PATH: process.env.PATH } });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = Object(error);
    if (typeof code !== 'number') throw error;
    return { code, stdout: String(stdout), stderr: String(stderr) };
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

t.test('F38: verify.mjs of the bundle itself checks it, for people and for programs', async (t) => {
  const program = join(unpacked, 'verify.mjs');
  const people = await answer(process.execPath, [program, good]);
  t.equal(people.code, 0, people.stdout + people.stderr);
  t.match(people.stdout, /Everything fits/);
  const programs = await answer(process.execPath, [program, '--json', bad]);
  t.equal(programs.code, 1);
  const report = JSON.parse(programs.stdout);
  t.equal(report.ok, false);
  t.same(
    report.checks.filter((each: { ok: boolean }) => !each.ok).map((each: { check: string }) => each.check),
    ['recording'],
  );
  t.equal((await answer(process.execPath, [program])).code, 2);
  t.equal((await answer(process.execPath, [program, join(dir, 'nothing.zip')])).code, 2);
});

const oldNode = '/usr/bin/node';
t.test(
  'F38: verify.mjs runs on the system’s older Node as well',
  { skip: (await isThere(oldNode)) ? false : 'there is no other Node on this machine' },
  async (t) => {
    const result = await answer(oldNode, [join(unpacked, 'verify.mjs'), good]);
    t.equal(result.code, 0, result.stdout + result.stderr);
  },
);

const python = await answer('python3', ['--version']).catch(() => undefined);
const openssl = await answer('openssl', ['version']).catch(() => undefined);
t.test(
  'F38: the Python script of the documentation checks a bundle with nothing but openssl',
  { skip: python && openssl ? false : 'python3 or openssl is not on this machine' },
  async (t) => {
    const script = join(root, 'docs/check-bundle.py');
    const result = await answer('python3', [script, good]);
    t.equal(result.code, 0, result.stdout + result.stderr);
    t.match(result.stdout, /Everything fits/);
    const wrong = await answer('python3', [script, bad]);
    t.equal(wrong.code, 1, wrong.stdout + wrong.stderr);
    t.match(wrong.stdout, /WRONG the recording is the one that the entry commits to/);
  },
);

const age = findProgram('age');
t.test(
  'F38: the documented commands check a bundle by hand, and age opens the sealed file to the same bytes',
  { skip: openssl ? false : 'openssl is not on this machine' },
  async (t) => {
    const page = await readFile(join(root, 'docs/evidence.md'), 'utf8');
    const scripts = [...page.matchAll(/<!-- run in the bundle -->\n```sh\n([^`]*)```/g)].map(
      ([, script]) => script,
    );
    t.equal(scripts.length, 2);
    const [signature = '', commitment = ''] = scripts;
    const inside = { cwd: unpacked };
    t.match((await run('bash', ['-c', signature], inside)).stdout, /Verified Successfully/);
    t.match((await run('bash', ['-c', commitment], inside)).stdout, /commits to recording\.webm/);
    await writeFile(join(unpacked, 'recording.webm'), changed);
    await t.rejects(run('bash', ['-c', commitment], inside));
    await writeFile(join(unpacked, 'recording.webm'), files.get('recording.webm') ?? '');

    if (age === undefined) return t.comment('age is not on this machine: that line was not tried');
    const { paths } = ours.folder;
    const line = `cat ${paths.hdr(call.recordingId)} ${paths.pay(call.recordingId)} | ${age} -d -i ${paths.identity} | sha256sum`;
    const opened = await run('bash', ['-c', line]);
    const said: { sha256: string } = JSON.parse(String(files.get('opening.json')));
    t.equal(opened.stdout.split(' ')[0], said.sha256);
  },
);

t.test(
  'F38: verify.html checks a bundle from a file: address in Chromium, without any network',
  async (t) => {
    const browser = await chromium.launch({
      executablePath: findProgram('chromium') ?? 'chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    });
    t.teardown(() => browser.close());
    const context = await browser.newContext({ viewport: { width: 360, height: 740 } });
    const page = await context.newPage();
    const requests: string[] = [];
    const complaints: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    const address = pathToFileURL(join(unpacked, 'verify.html')).href;
    await page.goto(address);

    await page.getByTestId('file').setInputFiles(good);
    await page.locator('#verdict.good').waitFor();
    t.equal(await page.locator('[data-check]').count(), 17);
    t.equal(await page.locator('[data-check][data-ok=false]').count(), 0);
    t.equal(await page.getByTestId('vkey').textContent(), ours.folder.ledger.vkey);
    const wide = await page.evaluate(
      'document.documentElement.scrollWidth > document.documentElement.clientWidth',
    );
    t.equal(wide, false, 'nothing sticks out at 360 px');

    await page.getByTestId('file').setInputFiles(bad);
    await page.locator('#verdict.bad').waitFor();
    t.same(
      await page
        .locator('[data-check][data-ok=false]')
        .evaluateAll((all) => all.map((each) => each.getAttribute('data-check'))),
      ['recording'],
    );
    await page.getByTestId('file').setInputFiles(join(unpacked, 'README.txt'));
    await page.locator('[data-check=zip][data-ok=false]').waitFor();
    t.same(complaints, []);
    t.same(
      requests.filter((url) => url !== address && !url.startsWith('data:')),
      [],
      'nothing was asked for',
    );
  },
);
