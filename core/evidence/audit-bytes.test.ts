import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { Test } from 'tap';
import t from 'tap';
import { testDatabase, testDir } from '../db/fixture.ts';
import { auditFolder } from './audit.ts';
import { MadeFolder } from './audit-fixture.ts';

t.setTimeout(900_000);
const db = await testDatabase(t);
const root = await testDir(t);

/**
 * Every byte takes minutes: VERBATIM_EVERY_BYTE=1. Otherwise every so-manieth, fewer of what one hash covers as a whole.
 * The strides are primes, so that in records of any length each place has its turn.
 */
const EVERY_BYTE = process.env.VERBATIM_EVERY_BYTE === '1';
const STRIDES: Record<string, number> = { pay: 211, scj: 61, hdr: 11, salt: 1, evd: 7 };
const STRIDE = 7;
/** The reader itself is tried with every length elsewhere. */
const CUT_STRIDE = 13;

async function filesIn(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

t.test('F38 one bit of any byte of the evidence is noticed, and named', { timeout: 900_000 }, async (t) => {
  const dataDir = join(root, 'data');
  const made = await MadeFolder.open(db, dataDir);
  await made.call({ durationMs: 500, payloadBytes: 8 });
  await made.close();
  const { paths, signerDir, identity } = made;
  t.same((await auditFolder({ dataDir, signerDir })).findings, []);
  const files = [
    ...(await filesIn(paths.journals)),
    ...(await filesIn(paths.recordings)),
    ...(await filesIn(join(paths.ledger, 'tile'))),
    join(paths.ledger, 'checkpoint'),
    paths.ledgerVkeys,
  ];
  let flips = 0;
  for (const path of files) {
    const stride = EVERY_BYTE ? 1 : (STRIDES[path.split('.').at(-1) ?? ''] ?? STRIDE);
    const { size } = await stat(path);
    const unseen: number[] = [];
    const elsewhere: number[] = [];
    const file = await open(path, 'r+');
    const name = relative(dataDir, path);
    try {
      const bytes = await file.readFile();
      for (let at = 0; at < size; at += stride) {
        await file.write(Buffer.of(bytes.readUInt8(at) ^ 1), 0, 1, at);
        const { ok, findings } = await auditFolder({ dataDir, signerDir });
        // Which of salt and opening is wrong cannot be told from one that does not open the other.
        const pair = name.endsWith('.evd') ? name.replace('.evd', '.salt') : name;
        if (ok) unseen.push(at);
        else if (!findings.some(({ file }) => file === name || file === pair)) elsewhere.push(at);
        await file.write(bytes, at, 1, at);
        flips += 1;
      }
    } finally {
      await file.close();
    }
    if (path.endsWith('.evd')) await onlyCrc(t, path, unseen, { dataDir, signerDir, identity });
    else t.same(unseen, [], `${name}: every flip is noticed`);
    t.same(elsewhere, [], `${name}: and it is this file that is named`);
  }
  t.comment(`${flips} flips in ${files.length} files`);
  t.same((await auditFolder({ dataDir, signerDir })).findings, [], 'and nothing of it stayed');
});

t.test('F38 a journal that was cut at any byte is named', { timeout: 900_000 }, async (t) => {
  const dataDir = join(root, 'cut');
  const made = await MadeFolder.open(db, dataDir);
  const { call } = await made.call({ durationMs: 500, payloadBytes: 8 });
  await made.close();
  const { paths, signerDir } = made;
  const path = paths.journal(call.recordingId, 1);
  const bytes = await readFile(path);
  const unseen: number[] = [];
  for (let length = 0; length < bytes.length; length += EVERY_BYTE ? 1 : CUT_STRIDE) {
    await writeFile(path, bytes.subarray(0, length));
    const { findings } = await auditFolder({ dataDir, signerDir });
    const named = findings.some(
      ({ severity, file }) => severity === 'fault' && file === relative(dataDir, path),
    );
    if (!named) unseen.push(length);
  }
  t.same(unseen, []);
  await writeFile(path, bytes);
  t.same((await auditFolder({ dataDir, signerDir })).findings, []);
});

/** The CRC-32 of the audio, for the bundle’s zip, is in no entry: it is checked with the audio itself. */
async function onlyCrc(
  t: Test,
  path: string,
  unseen: readonly number[],
  options: { dataDir: string; signerDir: string; identity: string },
): Promise<void> {
  const text = await readFile(path, 'latin1');
  const [member = ''] = /"crc32":[0-9]+/.exec(text) ?? [];
  const from = text.indexOf(member);
  const outside = unseen.filter((at) => at < from || at >= from + member.length);
  t.same(outside, [], 'every flip of the opening but those of the CRC-32 is noticed without the key');
  const file = await open(path, 'r+');
  try {
    for (const at of unseen) {
      await file.write(Buffer.of(text.charCodeAt(at) ^ 1), 0, 1, at);
      const { findings } = await auditFolder(options);
      t.match(findings, [{ severity: 'fault', kind: 'audio', problem: /crc32/ }], 'and those with it');
      await file.write(Buffer.of(text.charCodeAt(at)), 0, 1, at);
    }
  } finally {
    await file.close();
  }
}
