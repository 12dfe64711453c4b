import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, cp, lstat, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { testDatabase, testDir } from '../core/db/fixture.ts';
import { MadeFolder } from '../core/evidence/audit-fixture.ts';

const run = promisify(execFile);
const COMMAND = resolve(import.meta.dirname, 'verify');
t.setTimeout(120_000);

const db = await testDatabase(t);
const root = await testDir(t);
const data = join(root, 'data');
const made = await MadeFolder.open(db, data);
const { call } = await made.call();
await made.call();
await made.close();

interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

async function verify(...args: string[]): Promise<Answer> {
  try {
    const { stdout, stderr } = await run(COMMAND, args, {
      cwd: root,
      env: { PATH: process.env.PATH, HOME: root },
    });
    return { code: 0, stdout, stderr };
  } catch (error) {
    // A command that ends with another code than 0 rejects with what it said.
    return Object.assign({ code: -1, stdout: '', stderr: '' }, error);
  }
}

/** Every name with its kind, mode, times and content. */
async function stateOf(dir: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of (await readdir(dir, { recursive: true })).sort()) {
    const path = join(dir, name);
    const { mode, mtimeNs, ctimeNs, size, ino } = await lstat(path, { bigint: true });
    hash.update(`${name} ${mode} ${mtimeNs} ${ctimeNs} ${size} ${ino}\n`);
    if ((await lstat(path)).isFile()) hash.update(await readFile(path));
  }
  return hash.digest('hex');
}

t.test('F38 a sound folder: a table, 0, and not one file made or changed', async (t) => {
  const before = await stateOf(root);
  const plain = await verify('--data-dir', data);
  const keyed = await verify('--data-dir', data, '--with-key', '--json');
  t.equal(await stateOf(root), before);
  t.match(plain, { code: 0, stderr: '' });
  t.match(plain.stdout, /ledger +verbatim-[0-9a-f]{16}: 11 entries, 11 covered\n/);
  t.match(plain.stdout, /journals +2 with 8 blocks\nsealed files +4\n/);
  t.match(plain.stdout, /\nNo fault found\.\n$/);
  t.match(keyed, { code: 0, stderr: '' });
  t.match(JSON.parse(keyed.stdout), {
    ok: true,
    dataDir: data,
    faults: 0,
    counts: { decrypted: 2, recordings: 2 },
  });
});

t.test('F38 faults: the file and the entry of the first class, a number for the rest, and 1', async (t) => {
  const copy = join(root, 'copy');
  await cp(data, copy, { recursive: true });
  await cp(`${data}.signer`, `${copy}.signer`, { recursive: true });
  await truncate(join(copy, 'recordings', `${call.recordingId}.pay`), 100);
  await rm(join(copy, 'recordings', `${call.recordingId}.hdr`));
  const { code, stdout } = await verify('--data-dir', copy);
  t.equal(code, 1);
  t.match(
    stdout,
    `faults: files that an entry names and that are not there\n  recordings/${call.recordingId}.hdr, entry 4: is missing\n`,
  );
  t.match(stdout, '  and 1 more fault (--json)\n');
  t.match(stdout, /\n2 faults found\.\n$/);
  const json = await verify('--data-dir', copy, '--json');
  t.equal(json.code, 1);
  t.match(JSON.parse(json.stdout).findings, [
    { severity: 'fault', kind: 'missing_file', entry: 4 },
    { severity: 'fault', kind: 'sealed_file', entry: 4, problem: /100 bytes/ },
  ]);
});

const isRoot = process.getuid?.() === 0 && 'root may write everywhere';
t.test('F38 a folder without the right to write is checked like any other', { skip: isRoot }, async (t) => {
  const copy = join(root, 'frozen');
  await cp(data, copy, { recursive: true });
  await cp(`${data}.signer`, `${copy}.signer`, { recursive: true });
  const dirs = (await readdir(copy, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isDirectory(),
  );
  const paths = [copy, ...dirs.map((entry) => join(entry.parentPath, entry.name))];
  for (const path of paths) await chmod(path, 0o500);
  t.match(await verify('--data-dir', copy), { code: 0, stderr: '' });
  for (const path of paths) await chmod(path, 0o700);
});

t.test('what cannot be checked is 2, with one sentence', async (t) => {
  const cases: [string[], RegExp][] = [
    [['--data-dir', join(root, 'nowhere')], /^There is no data folder .*nowhere\.\n$/],
    [['--data-dir', data, '--rate', 'fast'], /^--rate takes/],
    [['--nonsense'], /--help/],
    [['--bundle', data], /data is no file: --bundle takes the zip as it was downloaded\.\n$/],
    [['--data-dir', resolve(import.meta.dirname, '../docs')], /holds nothing of a Verbatim server/],
    [['--data-dir', import.meta.filename], /is a file, and no data folder\.\n$/],
    [['--bundle', join(root, 'nowhere.zip')], /^There is no .*nowhere\.zip\.\n$/],
  ];
  for (const [args, said] of cases) {
    const { code, stdout, stderr } = await verify(...args);
    t.equal(code, 2, args.join(' '));
    t.equal(stdout, '');
    t.match(stderr, said);
  }
  t.match(await verify('--help'), { code: 0, stdout: /^Usage: scripts\/verify/ });
});

t.test('F38 a file that is no evidence bundle proves nothing', async (t) => {
  const file = join(data, 'keys', 'ledger.vkeys');
  t.match(await verify('--bundle', file), { code: 1, stdout: /proves nothing/ });
  t.match(JSON.parse((await verify('--bundle', file, '--json')).stdout), { ok: false });
});
