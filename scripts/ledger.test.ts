import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import t from 'tap';
import { openNote, openVerifier } from '#ledger';
import { dataPaths, Ledger } from '#store';
import { holdLock } from '../core/db/index.ts';

const program = join(import.meta.dirname, 'ledger.ts');
const ignore = (): void => undefined;

interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

async function command(dataDir: string, args: string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [program, '--data', dataDir, ...args], {
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = new Promise<number | null>((done) => child.on('close', done));
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
  return { code, out, err };
}

function open(dataDir: string): Promise<Ledger> {
  return Ledger.open({
    paths: dataPaths(dataDir),
    signerDir: `${dataDir}.signer`,
    version: '1',
    log: { info: ignore, warn: ignore, error: ignore },
    onAlarm: ignore,
    collectMs: 0,
  });
}

async function enter(dataDir: string, ...ids: string[]): Promise<string> {
  const ledger = await open(dataDir);
  for (const id of ids) await ledger.append({ t: 'call.start', id, sub: 'rec:a', actor: {}, d: {} });
  await ledger.close();
  return ledger.origin;
}

function folder(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'verbatim-ledger-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, 'data');
}

t.test('F35 the command shows the ledger and its public keys, and never a secret', async (t) => {
  const dataDir = folder(t);
  const none = await command(dataDir, ['status']);
  t.match([none.code, none.err], [2, /^There is no data folder .*data\.\n$/]);
  mkdirSync(dataDir);
  const empty = await command(dataDir, ['status']);
  t.match([empty.code, empty.err], [2, /is empty, so there is nothing to check/]);
  mkdirSync(join(dataDir, 'secrets'));
  t.match(await command(dataDir, ['rotate-key', '--reason', 'x']), {
    code: 2,
    err: /^There is no ledger in /,
  });
  const origin = await enter(dataDir, 'a', 'b');
  const shown = await command(dataDir, ['status']);
  t.equal(shown.code, 0, shown.err);
  t.match(shown.out, /^Entries: {4}3, 3 of them under the published checkpoint$/m);
  t.match(shown.out, /^Every entry, tile and signature is right\.$/m);
  const json = await command(dataDir, ['status', '--json']);
  t.match(JSON.parse(json.out), { origin, entries: 3, published: 3, signerRemembers: 3, sound: true });
  const keys = await command(dataDir, ['key']);
  t.equal(keys.out, readFileSync(dataPaths(dataDir).ledgerVkeys, 'utf8'));
  const secret = readFileSync(dataPaths(dataDir).ledgerKey, 'utf8').trim().split('+').at(-1) ?? '';
  for (const { out, err } of [shown, json, keys]) t.notOk(`${out}${err}`.includes(secret));
  t.match(await command(dataDir, ['nothing']), { code: 2, err: /^There is no command "nothing"/ });
  t.match(await command(dataDir, ['--help']), { code: 0, out: /^Usage: scripts\/ledger/ });
});

t.test(
  'F35 the command replaces the key of a stopped server, and refuses beside a running one',
  async (t) => {
    const dataDir = folder(t);
    await enter(dataDir, 'a');
    const { ledgerVkeys, ledger: ledgerDir } = dataPaths(dataDir);
    const [old = ''] = readFileSync(ledgerVkeys, 'utf8').split('\n');
    const lock = await holdLock(join(dataDir, 'daemon.lock'), {
      purpose: 'the Verbatim server',
      what: 'it',
      waitMs: 0,
    });
    const refused = await command(dataDir, ['rotate-key', '--reason', 'yearly']);
    t.match([refused.code, refused.err], [2, /is in use by the Verbatim server .*stop that one first\.\n$/]);
    t.equal(refused.err.trim().split('\n').length, 1, 'one sentence');
    t.equal((await command(dataDir, ['status'])).code, 0, 'looking is allowed');
    await lock.release();
    t.match(await command(dataDir, ['rotate-key']), { code: 2, err: /^--reason: expected/ });
    const done = await command(dataDir, ['rotate-key', '--reason', 'yearly', '--json']);
    t.equal(done.code, 0, done.err);
    const [first, second = ''] = readFileSync(ledgerVkeys, 'utf8').split('\n');
    t.match(JSON.parse(done.out), { old, new: second });
    t.equal(first, old);
    const note = readFileSync(join(ledgerDir, 'checkpoint'), 'utf8');
    t.equal(openNote(note, [openVerifier(old), openVerifier(second)]).verified.length, 2);
    t.equal((await command(dataDir, ['status'])).code, 0);
  },
);

t.test('F35 a lost head is accepted only with a reason and the name of the ledger', async (t) => {
  const dataDir = folder(t);
  const origin = await enter(dataDir, 'a');
  cpSync(dataDir, `${dataDir}.old`, { recursive: true });
  await enter(dataDir, 'b', 'c');
  rmSync(dataDir, { recursive: true });
  cpSync(`${dataDir}.old`, dataDir, { recursive: true });
  const wrong = await command(dataDir, ['status']);
  t.match([wrong.code, wrong.out], [1, /last-signed: .* is of 4 entries, but there are 2$/m]);
  t.match(await command(dataDir, ['rotate-key', '--reason', 'x']), { code: 2, err: /takes no entries/ });
  const args = ['accept-head', '--reason', 'restored the copy of Sunday'];
  t.match(await command(dataDir, args), { code: 2, err: new RegExp(`^Expected --confirm ${origin}`) });
  t.match(await command(dataDir, [...args, '--confirm', 'other']), { code: 2 });
  const done = await command(dataDir, [...args, '--confirm', origin, '--json']);
  t.match([done.code, JSON.parse(done.out)], [0, { lost: { size: 4 }, now: { size: 2 } }], done.err);
  t.equal((await command(dataDir, ['status'])).code, 0);
  t.match(await command(dataDir, [...args, '--confirm', origin]), {
    code: 2,
    err: /there is no lost head to accept/,
  });

  const bundle = join(dataPaths(dataDir).ledger, 'tile', 'entries', '000.p', '3');
  const bytes = readFileSync(bundle);
  bytes[40] = (bytes[40] ?? 0) ^ 1;
  writeFileSync(bundle, bytes);
  const damaged = await command(dataDir, ['status']);
  t.match([damaged.code, damaged.out], [1, /^ {2}ledger\/tile\/entries\/000\.p\/3, entry 0: /m]);
  t.match(await command(dataDir, [...args, '--confirm', origin]), { code: 2, err: /no lost head to accept/ });
});

t.test('F35 a ledger that was removed is missed, and begun anew only by an operator’s word', async (t) => {
  const dataDir = folder(t);
  const origin = await enter(dataDir, 'a');
  const paths = dataPaths(dataDir);
  const checkpoint = readFileSync(join(paths.ledger, 'checkpoint'), 'utf8');
  const id = '11111111-2222-4333-8444-555555555555';
  mkdirSync(paths.recordings);
  writeFileSync(paths.evidence(id), JSON.stringify({ recording: id, checkpoint }));
  rmSync(paths.ledger, { recursive: true });
  rmSync(`${dataDir}.signer`, { recursive: true });
  const [earlier = ''] = readFileSync(paths.ledgerVkeys, 'utf8').split('\n');

  const missed = await command(dataDir, ['status']);
  t.match(
    [missed.code, missed.out],
    [1, new RegExp(`^  ledger: is gone: recordings/${id}\\.evd was made after`, 'm')],
  );
  t.match(missed.out, new RegExp(`^Origin: {5}${origin}\n.*\n.*\n.*\nKeys: {7}1\n`));
  t.match(await command(dataDir, ['rotate-key', '--reason', 'x']), {
    code: 2,
    err: /takes no entries: ledger: is gone/,
  });
  const args = ['begin-anew', '--reason', 'the disk of 3 May'];
  t.match(await command(dataDir, args), { code: 2, err: new RegExp(`^Expected --confirm ${origin}`) });
  const done = await command(dataDir, [...args, '--confirm', origin, '--json']);
  t.equal(done.code, 0, done.err);
  const begun: { origin: string; vkey: string; moved: string[] } = JSON.parse(done.out);
  t.equal((await command(dataDir, ['key'])).out, `${earlier}\n${begun.vkey}\n`);
  t.equal((await command(dataDir, ['status'])).code, 0);
  t.match(await command(dataDir, [...args, '--confirm', begun.origin]), { code: 2, err: /nothing is wrong/ });
});
