import { createHash } from 'node:crypto';
import {
  appendFile,
  cp,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import {
  decodeEntryBundle,
  encodeEntryBundle,
  generateLogKey,
  openNote,
  openSigner,
  openVerifier,
  signNote,
} from '#ledger';
import type { DataPaths } from '#store';
import { dataPaths, Ledger, quarantine } from '#store';
import { testDatabase, testDir } from '../db/fixture.ts';
import { holdLock } from '../db/index.ts';
import type { AuditReport, Finding, FindingKind } from './audit.ts';
import { auditFolder } from './audit.ts';
import type { MadeCall } from './audit-fixture.ts';
import { MadeFolder, START_MS } from './audit-fixture.ts';

t.setTimeout(180_000);
const db = await testDatabase(t);
const root = await testDir(t);

const ignore = (): void => undefined;
const silent = { info: ignore, warn: ignore, error: ignore };

/** More than one full tile, so that there is a tile above the lowest. */
const FILLERS = 300;

const { first, second, last, identity, old, data } = await makeFolders();

/** An older copy, and the folder as it is: two calls, entries enough for a second tile, and a call with a long file. */
async function makeFolders() {
  const data = join(root, 'made', 'data');
  const early = await MadeFolder.open(db, data);
  const first = await early.call();
  await early.close();
  const old = join(root, 'old');
  await cp(data, old, { recursive: true, preserveTimestamps: true });
  await cp(`${data}.signer`, `${old}.signer`, { recursive: true });
  const made = await MadeFolder.open(db, data, { startMs: START_MS + 3_600_000 });
  const second = await made.call();
  await Promise.all(
    Array.from({ length: FILLERS }, (_, n) =>
      made.ledger.append({
        t: 'config.change',
        id: `filler.${n}`,
        sub: 'log',
        actor: { kind: 'server' },
        d: { what: 'filler', n },
      }),
    ),
  );
  const last = await made.call({ durationMs: 12_000, payloadBytes: 160 });
  made.forward(60_000);
  await made.ledger.append({ t: 'config.change', id: 'end', sub: 'log', actor: { kind: 'server' }, d: {} });
  await made.close();
  return { first, second, last, identity: made.identity, old, data };
}

interface Copy {
  paths: DataPaths;
  signerDir: string;
}

let copies = 0;

/** The folder once more, to do something to. */
async function copyOf(from = data): Promise<Copy> {
  copies += 1;
  const dataDir = join(root, `copy-${copies}`);
  await cp(from, dataDir, { recursive: true, preserveTimestamps: true });
  await cp(`${data}.signer`, `${dataDir}.signer`, { recursive: true });
  return { paths: dataPaths(dataDir), signerDir: `${dataDir}.signer` };
}

const audit = ({ paths, signerDir }: Copy): Promise<AuditReport> =>
  auditFolder({ dataDir: paths.dataDir, signerDir });

/** Flips one bit; a negative place counts from the end. */
async function flip(path: string, at: number, bit = 1): Promise<void> {
  const bytes = await readFile(path);
  const place = at < 0 ? bytes.length + at : at;
  bytes.writeUInt8(bytes.readUInt8(place) ^ bit, place);
  await writeFile(path, bytes);
}

async function swap(a: string, b: string): Promise<void> {
  await rename(a, `${a}.swapped`);
  await rename(b, a);
  await rename(`${a}.swapped`, b);
}

/** The only file of a folder, whatever width its name says. */
async function onlyIn(dir: string): Promise<string> {
  const names = await readdir(dir);
  const [name] = names;
  if (name === undefined || names.length > 1) throw new Error(`${dir} holds ${names.join(', ')}`);
  return join(dir, name);
}

/** Changes the entries of the full bundle. */
async function rebundle(paths: DataPaths, change: (entries: Buffer[]) => Buffer[]): Promise<void> {
  const path = join(paths.ledger, 'tile', 'entries', '000');
  const entries = decodeEntryBundle(await readFile(path), 256).map((entry) => Buffer.from(entry));
  await writeFile(path, encodeEntryBundle(change(entries)));
}

const idOf = ({ call }: MadeCall): string => call.recordingId;
const journalOf = (paths: DataPaths, made: MadeCall): string => paths.journal(idOf(made), 1);

t.test('F38 a folder that the server made has no fault and no note, with the key and without', async (t) => {
  const copy = await copyOf();
  const report = await audit(copy);
  t.same(report.findings, []);
  t.match(report, { ok: true, faults: 0, notes: 0 });
  t.match(report.counts, {
    entries: FILLERS + 17,
    covered: FILLERS + 17,
    recordings: 3,
    journals: 3,
    sealedFiles: 6,
  });
  const keyed = await auditFolder({ dataDir: copy.paths.dataDir, signerDir: copy.signerDir, identity });
  t.same(keyed.findings, []);
  t.equal(keyed.counts.decrypted, 3);
});

interface Verdict {
  does: (copy: Copy) => Promise<unknown>;
  kind: FindingKind;
  /** Of the finding's file. */
  file?: RegExp | string;
  entry?: number;
  problem?: RegExp;
  severity?: 'note';
  /** Other kinds of faults that this one brings along. */
  also?: FindingKind[];
}

const rec = (made: MadeCall, extension: string): string => `recordings/${idOf(made)}.${extension}`;
const jrn = (made: MadeCall): string => `journals/${idOf(made)}-1.scj`;
/** Entries: 0 is sys.init, then five for each call; rec.final is the fourth. */
const FINAL = 4;

const VERDICTS: Record<string, Verdict> = {
  'bit rot in the header of a journal': {
    does: ({ paths }) => flip(journalOf(paths, first), 40),
    kind: 'journal_damage',
    file: jrn(first),
    also: ['journal_head'],
  },
  'bit rot in a block': {
    does: ({ paths }) => flip(journalOf(paths, first), 3000),
    kind: 'journal_damage',
    file: jrn(first),
    entry: FINAL,
    also: ['journal_head'],
  },
  'bit rot in END': {
    does: ({ paths }) => flip(journalOf(paths, first), -40),
    kind: 'journal_damage',
    file: jrn(first),
    entry: FINAL,
    also: ['journal_head'],
  },
  'bit rot in the first chunk of a payload': {
    does: ({ paths }) => flip(paths.pay(idOf(last)), 20),
    kind: 'sealed_file',
    file: rec(last, 'pay'),
    problem: /SHA-256/,
  },
  'bit rot in a middle chunk of a payload': {
    does: ({ paths }) => flip(paths.pay(idOf(last)), 16 + 65_552 + 100),
    kind: 'sealed_file',
    file: rec(last, 'pay'),
  },
  'bit rot in the last chunk of a payload': {
    does: ({ paths }) => flip(paths.pay(idOf(last)), -1),
    kind: 'sealed_file',
    file: rec(last, 'pay'),
  },
  'a payload that is cut': {
    does: ({ paths }) => truncate(paths.pay(idOf(last)), 1000),
    kind: 'sealed_file',
    file: rec(last, 'pay'),
    problem: /has 1000 bytes/,
  },
  'bit rot in a sealed header': {
    does: ({ paths }) => flip(paths.hdr(idOf(first)), 100),
    kind: 'sealed_file',
    file: rec(first, 'hdr'),
    entry: FINAL,
  },
  'bit rot in a salt': {
    does: ({ paths }) => writeFile(paths.salt(idOf(first)), `${'0'.repeat(64)}\n`),
    kind: 'salt',
    file: rec(first, 'salt'),
    entry: FINAL,
  },
  'bit rot in an opening': {
    does: ({ paths }) => flip(paths.evidence(idOf(first)), 700),
    kind: 'opening',
    file: rec(first, 'evd'),
    entry: FINAL,
  },
  'an opening with a name put in place of another': {
    does: ({ paths }) => edit(paths.evidence(idOf(first)), '"caller":"ann"', '"caller":"eve"'),
    kind: 'salt',
    file: rec(first, 'salt'),
    problem: /caller/,
    also: ['opening'],
  },
  'an opening whose checkpoint somebody else signed': {
    does: ({ paths }) => forge(paths.evidence(idOf(first))),
    kind: 'opening',
    file: rec(first, 'evd'),
    problem: /does not verify/,
  },
  'bit rot in a tile of level 0': {
    does: ({ paths }) => flip(join(paths.ledger, 'tile', '0', '000'), 100),
    kind: 'ledger',
    file: 'ledger/tile/0/000',
  },
  'bit rot in a tile above': {
    does: async ({ paths }) => flip(await onlyIn(join(paths.ledger, 'tile', '1', '000.p')), 3),
    kind: 'ledger',
    file: /^ledger\/tile\/1\/000/,
  },
  'bit rot in an entry bundle': {
    does: ({ paths }) => flip(join(paths.ledger, 'tile', 'entries', '000'), 900),
    kind: 'ledger',
    file: 'ledger/tile/entries/000',
  },
  'bit rot in the checkpoint': {
    does: ({ paths }) => flip(join(paths.ledger, 'checkpoint'), -10),
    kind: 'ledger',
    file: 'ledger/checkpoint',
  },
  'bit rot in the public keys': {
    does: ({ paths }) => flip(paths.ledgerVkeys, 50),
    kind: 'ledger',
    file: 'keys/ledger.vkeys',
  },
  'the payloads of two recordings swapped': {
    does: ({ paths }) => swap(paths.pay(idOf(first)), paths.pay(idOf(second))),
    kind: 'sealed_file',
    file: /\.pay$/,
  },
  'the headers of two recordings swapped': {
    does: ({ paths }) => swap(paths.hdr(idOf(first)), paths.hdr(idOf(second))),
    kind: 'sealed_file',
    file: /\.hdr$/,
  },
  'the salts of two recordings swapped': {
    does: ({ paths }) => swap(paths.salt(idOf(first)), paths.salt(idOf(second))),
    kind: 'salt',
    file: /\.salt$/,
  },
  'the openings of two recordings swapped': {
    does: ({ paths }) => swap(paths.evidence(idOf(first)), paths.evidence(idOf(second))),
    kind: 'opening',
    file: /\.evd$/,
    problem: /is of recording/,
    also: ['salt'],
  },
  'the journals of two recordings swapped': {
    does: ({ paths }) => swap(journalOf(paths, first), journalOf(paths, second)),
    kind: 'journal_identity',
    file: /\.scj$/,
  },
  'an entry that was edited': {
    does: ({ paths }) =>
      rebundle(paths, (entries) =>
        entries.map((entry, n) => (n === FINAL ? edited(entry, '"durationMs":', '"durationMs":9') : entry)),
      ),
    kind: 'ledger',
    file: 'ledger/tile/entries/000',
    entry: FINAL,
  },
  'two entries in each other’s place': {
    does: ({ paths }) =>
      rebundle(paths, (entries) =>
        entries.map((entry, n) => entries[n === 3 ? 4 : n === 4 ? 3 : n] ?? entry),
      ),
    kind: 'ledger',
    file: 'ledger/tile/entries/000',
    entry: 3,
  },
  'an older copy of the folder put back, with the signer’s memory': {
    does: async (copy) => {
      await rm(copy.paths.dataDir, { recursive: true });
      await cp(old, copy.paths.dataDir, { recursive: true });
    },
    kind: 'ledger',
    problem: /remembers/,
  },
  'an older copy of the folder put back, without the signer’s memory': {
    does: async (copy) => {
      await rm(copy.paths.dataDir, { recursive: true });
      await cp(old, copy.paths.dataDir, { recursive: true });
      await rm(copy.signerDir, { recursive: true });
    },
    severity: 'note',
    kind: 'signer_memory',
    problem: /older copy/,
  },
  'a link in place of a payload': {
    does: async ({ paths }) => {
      await rename(paths.pay(idOf(first)), join(paths.dataDir, 'elsewhere'));
      await symlink(join(paths.dataDir, 'elsewhere'), paths.pay(idOf(first)));
    },
    kind: 'symlink',
    file: rec(first, 'pay'),
  },
  'a link in place of a journal': {
    does: async ({ paths }) => {
      await rename(journalOf(paths, first), join(paths.dataDir, 'elsewhere'));
      await symlink('../elsewhere', journalOf(paths, first));
    },
    kind: 'symlink',
    file: jrn(first),
  },
  'a link in place of the folder of recordings': {
    does: async ({ paths }) => {
      await rename(paths.recordings, join(paths.dataDir, 'elsewhere'));
      await symlink('elsewhere', paths.recordings);
    },
    kind: 'symlink',
    file: 'recordings',
  },
  'a link among the tiles': {
    does: ({ paths }) => symlink('/etc/passwd', join(paths.ledger, 'tile', '0', '777')),
    kind: 'symlink',
    file: 'ledger/tile/0/777',
    also: ['ledger'],
  },
  'a link in place of the public keys': {
    does: async ({ paths }) => {
      await rename(paths.ledgerVkeys, `${paths.ledgerVkeys}.moved`);
      await symlink('ledger.vkeys.moved', paths.ledgerVkeys);
    },
    kind: 'symlink',
    file: 'keys/ledger.vkeys',
    also: ['ledger'],
  },
  'a journal that is gone': {
    does: ({ paths }) => rm(journalOf(paths, first)),
    kind: 'missing_file',
    file: jrn(first),
    entry: FINAL,
  },
  'a payload that is gone': {
    does: ({ paths }) => rm(paths.pay(idOf(first))),
    kind: 'missing_file',
    file: rec(first, 'pay'),
    entry: FINAL,
  },
  'a header that is gone': {
    does: ({ paths }) => rm(paths.hdr(idOf(first))),
    kind: 'missing_file',
    file: rec(first, 'hdr'),
  },
  'a salt that is gone': {
    does: ({ paths }) => rm(paths.salt(idOf(first))),
    kind: 'missing_file',
    file: rec(first, 'salt'),
  },
  'an opening that is gone': {
    does: ({ paths }) => rm(paths.evidence(idOf(first))),
    kind: 'missing_file',
    file: rec(first, 'evd'),
  },
  'a bundle of entries that is gone': {
    does: ({ paths }) => rm(join(paths.ledger, 'tile', 'entries', '000')),
    kind: 'ledger',
    file: /tile\/entries\/000/,
  },
  'the whole ledger gone': {
    does: ({ paths }) => rm(paths.ledger, { recursive: true }),
    kind: 'ledger',
    also: ['no_entry'],
  },
  'the ledger and the signer’s memory gone': {
    does: async ({ paths, signerDir }) => {
      await rm(paths.ledger, { recursive: true });
      await rm(signerDir, { recursive: true });
    },
    kind: 'ledger',
    file: 'ledger',
    problem: /^is gone: recordings\/.*\.evd was made after its entry had been committed/,
    also: ['no_entry'],
  },
  'another ledger begun in place of one that was removed, the openings hidden meanwhile': {
    does: async ({ paths, signerDir }) => {
      await rm(paths.ledger, { recursive: true });
      await rm(signerDir, { recursive: true });
      await rename(paths.recordings, `${paths.recordings}.hidden`);
      const ledger = await Ledger.open({ paths, signerDir, version: '0', log: silent, onAlarm: ignore });
      await ledger.close();
      await rename(`${paths.recordings}.hidden`, paths.recordings);
    },
    kind: 'no_entry',
    file: rec(first, 'pay'),
    problem: /although its consents were entered/,
    also: ['ledger'],
  },
  'the ledger and the signer’s memory put back to an older state': {
    does: async ({ paths, signerDir }) => {
      await rm(paths.ledger, { recursive: true });
      await cp(dataPaths(old).ledger, paths.ledger, { recursive: true });
      await rm(signerDir, { recursive: true });
      await cp(`${old}.signer`, signerDir, { recursive: true });
    },
    kind: 'no_entry',
    file: rec(second, 'evd'),
    problem: /made after an entry that the ledger does not have/,
    also: ['ledger'],
  },
  'bit rot in the signer’s memory': {
    does: ({ signerDir }) => flip(join(signerDir, 'last-signed'), 30),
    kind: 'ledger',
    file: /\.signer\/last-signed$/,
  },
  'bit rot in a verifier that bundles carry': {
    does: async ({ paths }) => {
      const parts = ['<html>', 'import {}'].map((text) => createHash('sha256').update(text).digest());
      const name = createHash('sha256').update(Buffer.concat(parts)).digest('hex');
      await mkdir(join(paths.verifiers, name), { recursive: true });
      await writeFile(join(paths.verifiers, name, 'verify.html'), '<html>');
      await writeFile(join(paths.verifiers, name, 'verify.mjs'), 'import {}');
      if (!(await audit({ paths, signerDir: `${paths.dataDir}.signer` })).ok)
        throw new Error('named wrongly');
      await flip(join(paths.verifiers, name, 'verify.mjs'), 3);
    },
    kind: 'verifier',
    file: /^verifiers\/[0-9a-f]{64}$/,
  },
  'a journal of a call that nobody entered': {
    does: ({ paths }) =>
      cp(journalOf(paths, first), paths.journal('018f0000-0000-7000-8000-0000000000ee', 1)),
    kind: 'journal_identity',
    file: /0000000000ee-1\.scj$/,
  },
  'a payload of a call that nobody entered': {
    does: ({ paths }) => writeFile(paths.pay('018f0000-0000-7000-8000-0000000000ee'), 'audio'),
    kind: 'no_entry',
    file: /0000000000ee\.pay$/,
  },
  'a second epoch that rec.final does not name': {
    does: ({ paths }) => cp(journalOf(paths, second), paths.journal(idOf(first), 2)),
    kind: 'journal_identity',
    file: /-2\.scj$/,
  },
  'a file that is no part of the evidence': {
    does: ({ paths }) => writeFile(join(paths.recordings, 'notes.txt'), 'hello'),
    severity: 'note',
    kind: 'stray_file',
    file: 'recordings/notes.txt',
  },
  'a journal cut behind its last whole second, though its end was acknowledged': {
    does: async ({ paths }) => truncate(journalOf(paths, first), 6000),
    kind: 'journal_damage',
    file: jrn(first),
    entry: FINAL,
    also: ['journal_head'],
  },
  'zeros behind the end of a journal': {
    does: ({ paths }) => appendFile(journalOf(paths, first), Buffer.alloc(4096)),
    kind: 'journal_damage',
    file: jrn(first),
    problem: /END/,
  },
  'zeros in place of the end of a journal': {
    does: async ({ paths }) => {
      const bytes = await readFile(journalOf(paths, first));
      await writeFile(journalOf(paths, first), bytes.fill(0, bytes.length - 500));
    },
    kind: 'journal_damage',
    file: jrn(first),
    also: ['journal_head'],
  },
  'a quarantined journal that was changed since': {
    does: async ({ paths }) => {
      const path = journalOf(paths, first);
      await cp(path, `${path}.kept`);
      const { dir } = await quarantine(paths, { subject: idOf(first), files: [path], why: 'a test' });
      await rename(`${path}.kept`, path);
      await appendFile(join(dir, `${idOf(first)}-1.scj`), 'x');
    },
    kind: 'quarantine',
    file: /^quarantine\//,
    problem: /changed/,
  },
};

function edited(entry: Buffer, from: string, to: string): Buffer {
  const text = entry.toString('utf8');
  if (!text.includes(from)) throw new Error(`${from} is not in ${text}`);
  return Buffer.from(text.replace(from, to));
}

async function edit(path: string, from: string, to: string): Promise<void> {
  await writeFile(path, edited(await readFile(path), from, to));
}

/** The same checkpoint with the signature of another key of the same name. */
async function forge(path: string): Promise<void> {
  const opening: { checkpoint: string } = JSON.parse(await readFile(path, 'utf8'));
  const [vkey = ''] = (await readFile(dataPaths(data).ledgerVkeys, 'utf8')).split('\n');
  const { text } = openNote(opening.checkpoint, [openVerifier(vkey)]);
  const name = vkey.slice(0, vkey.indexOf('+'));
  opening.checkpoint = signNote(text, [openSigner(generateLogKey(name).skey)]);
  await writeFile(path, `${JSON.stringify(opening)}\n`);
}

for (const [what, verdict] of Object.entries(VERDICTS)) {
  t.test(`F38 ${what}: ${verdict.severity ?? 'fault'} ${verdict.kind}`, async (t) => {
    const copy = await copyOf();
    await verdict.does(copy);
    const report = await audit(copy);
    const severity = verdict.severity ?? 'fault';
    const allowed = new Set<FindingKind>([verdict.kind, ...(verdict.also ?? [])]);
    const faults = report.findings.filter((each) => each.severity === 'fault');
    t.equal(report.ok, severity === 'note', JSON.stringify(report.findings.slice(0, 5)));
    t.same(
      faults.filter(({ kind }) => !allowed.has(kind)),
      [],
      'nothing else is wrong',
    );
    const found = report.findings.find((each) => matches(each, verdict, severity));
    t.ok(found, `is found: ${JSON.stringify(report.findings.slice(0, 5))}`);
    await rm(copy.paths.dataDir, { recursive: true });
  });
}

function matches(finding: Finding, { kind, file, entry, problem }: Verdict, severity: string): boolean {
  if (finding.kind !== kind || finding.severity !== severity) return false;
  if (typeof file === 'string' && finding.file !== file) return false;
  if (file instanceof RegExp && !file.test(finding.file ?? '')) return false;
  if (entry !== undefined && finding.entry !== entry) return false;
  return problem === undefined || problem.test(finding.problem);
}

t.test('F38 an audit beside a server that makes calls finds no fault', async (t) => {
  const dataDir = join(root, 'running', 'data');
  const made = await MadeFolder.open(db, dataDir);
  let busy = true;
  const calls = (async () => {
    for (let n = 0; n < 4; n += 1) await made.call();
    const torn = await made.capture({ torn: true });
    busy = false;
    return torn;
  })();
  let audits = 0;
  while (busy) {
    const report = await auditFolder({ dataDir, signerDir: made.signerDir });
    t.same(
      report.findings.filter(({ severity }) => severity === 'fault'),
      [],
    );
    audits += 1;
  }
  const torn = await calls;
  t.ok(audits > 2, `${audits} audits`);
  const { findings } = await auditFolder({ dataDir, signerDir: made.signerDir });
  t.match(findings.at(-1), { severity: 'note', kind: 'unfinished', recording: idOf(torn) });
  await made.fail(torn, 'no_audio');
  const failed = await auditFolder({ dataDir, signerDir: made.signerDir });
  t.match(failed, { ok: true }, 'a failed recording whose journal is as the ledger says');
  await truncate(journalOf(made.paths, torn), 4000);
  const cut = await auditFolder({ dataDir, signerDir: made.signerDir });
  t.match(cut.findings[0], { kind: 'journal_damage', recording: idOf(torn), entry: cut.counts.entries - 2 });
  await made.close();
});

t.test('F38 a clock that is set back or forward is a note with the first entry after it', async (t) => {
  const dataDir = join(root, 'clock', 'data');
  const made = await MadeFolder.open(db, dataDir);
  await made.call();
  const DAY_MS = 86_400_000;
  made.forward(0, { wallMs: -DAY_MS });
  await made.call();
  made.forward(0, { wallMs: 2 * DAY_MS });
  await made.call();
  await made.close();
  const { ok, findings } = await auditFolder({ dataDir, signerDir: made.signerDir });
  t.equal(ok, true);
  t.match(findings, [
    { severity: 'note', kind: 'clock_step', problem: /set back by 864\d\d\.\d s/ },
    { severity: 'note', kind: 'clock_step', problem: /set forward by 172\d\d\d\.\d s/ },
  ]);
  t.equal(findings.length, 2);
});

t.test('a second server on the same folder is refused, by its lock and by the ledger', async (t) => {
  const dataDir = join(root, 'twice', 'data');
  const made = await MadeFolder.open(db, dataDir);
  const lock = { purpose: 'the Verbatim server', what: `The data folder ${dataDir}`, waitMs: 0 };
  const held = await holdLock(join(dataDir, 'daemon.lock'), lock);
  await t.rejects(holdLock(join(dataDir, 'daemon.lock'), lock), {
    code: 'unavailable',
    message: /is in use by/,
  });
  await held.release();
  await t.rejects(MadeFolder.open(db, dataDir), { code: 'conflict' });
  await made.call();
  await made.close();
  t.match(await auditFolder({ dataDir, signerDir: made.signerDir }), { ok: true, notes: 0 });
});

t.test('an audit keeps to its rate, tells how far it is, and stops when it is told to', async (t) => {
  const copy = await copyOf();
  let nowMs = 0;
  const told: number[] = [];
  const options = {
    dataDir: copy.paths.dataDir,
    signerDir: copy.signerDir,
    now: () => nowMs,
    wait: async (ms: number) => {
      nowMs += ms;
    },
  };
  const report = await auditFolder({
    ...options,
    bytesPerSecond: 10_000,
    onProgress: ({ doneBytes, totalBytes }) => told.push(doneBytes / totalBytes),
  });
  const dueMs = (report.counts.bytes / 10_000) * 1000;
  t.ok(nowMs > dueMs * 0.95 && nowMs <= dueMs, `${nowMs} ms for ${report.counts.bytes} bytes`);
  t.ok(told.length > 10 && told.at(-1) === 1, `${told.length} times`);
  t.same(
    told,
    told.toSorted((a, b) => a - b),
    'and never goes back',
  );
  const stop = new AbortController();
  const reason = new Error('enough');
  await t.rejects(
    auditFolder({ ...options, signal: stop.signal, onProgress: () => stop.abort(reason) }),
    reason,
  );
  await t.rejects(auditFolder({ dataDir: join(root, 'nowhere') }), { code: 'not_found' });
});

t.test('a ledger that is too large for one pass is read in several, with the same answer', async (t) => {
  const copy = await copyOf();
  await rm(copy.paths.hdr(idOf(last)));
  const options = { dataDir: copy.paths.dataDir, signerDir: copy.signerDir };
  const once = await auditFolder(options);
  const often = await auditFolder({ ...options, entriesAPass: 40 });
  t.same(often.findings, once.findings);
  const { bytes: _, ...counts } = once.counts;
  t.match(often.counts, counts);
  t.equal(once.faults, 1);
});

t.test('F41 of a removed recording nothing may be left that could open it', async (t) => {
  const dataDir = join(root, 'removed', 'data');
  const made = await MadeFolder.open(db, dataDir);
  const { call } = await made.call();
  const { recordingId } = call;
  const enter = (type: 'removal.exec' | 'removal.done') =>
    made.ledger.append({
      t: type,
      id: type,
      sub: `rec:${recordingId}`,
      actor: { kind: 'server' },
      d: { cause: 'retention', days: 1 },
    });
  await enter('removal.exec');
  const { paths, signerDir } = made;
  t.match(await auditFolder({ dataDir, signerDir }), { ok: true }, 'while it is carried out');
  await enter('removal.done');
  const left = await auditFolder({ dataDir, signerDir });
  t.same(
    left.findings
      .filter(({ severity }) => severity === 'fault')
      .map(({ kind, file }) => [kind, file?.slice(-4)]),
    ['.hdr', 'salt', '.evd', '.pay', '.scj'].map((end) => ['not_removed', end]),
  );
  for (const kind of ['hdr', 'salt', 'evidence', 'pay'] as const) await rm(paths[kind](recordingId));
  await rm(paths.journal(recordingId, 1));
  t.match(await auditFolder({ dataDir, signerDir }), { ok: true, faults: 0 });
  await made.close();
});
