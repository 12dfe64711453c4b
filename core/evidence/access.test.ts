import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parseEntry } from '#ledger';
import { accessPaths, dataPaths, Ledger, readLedger } from '#store';
import { testDatabase } from '../db/fixture.ts';
import type { Access } from './access.ts';
import { AccessLog } from './access.ts';
import { auditFolder } from './audit.ts';
import { testEvidence } from './fixture.ts';

const db = await testDatabase(t);
const quiet = { info: () => {}, warn: () => {}, error: () => {} };
const recording = {
  id: '6f1c2f6e-9c55-4a3e-8a52-0f5d0c4f1b11',
  appId: 'shop',
  chatId: 'pair',
  startedAt: '2020-01-01T00:00:00.000Z',
};
const ann = { kind: 'user', userId: 'ann' } as const;
const access = (more: Partial<Access> = {}): Access => ({
  action: 'stream',
  appId: 'shop',
  chatId: 'pair',
  recordingId: recording.id,
  actor: ann,
  ...more,
});

t.test(
  'F31 an access is durable when it is entered, names nobody and nothing, and is found again',
  async (t) => {
    const { access: log, accessLedger, paths } = await testEvidence(t, db);
    await log.enter(access({ once: 'g1' }));
    await log.enter({ action: 'list', appId: 'shop', chatId: 'pair', actor: { kind: 'app' } });
    await log.enter(access({ action: 'admin_view', actor: { kind: 'admin', adminId: 'root' } }));
    const other = '11111111-9c55-4a3e-8a52-0f5d0c4f1b11';
    await log.enter(access({ recordingId: other }));
    await log.enter(access({ chatId: 'another', recordingId: other }));
    const found = await log.of(recording, { limit: 10 });
    t.match(found, [
      { action: 'admin_view', kind: 'admin' },
      { action: 'list', kind: 'app', by: undefined },
      { action: 'stream', kind: 'user', by: log.pseudonym('shop', 'ann') },
    ]);
    t.not(
      log.pseudonym('shop', 'ann'),
      log.pseudonym('other', 'ann'),
      'the same id of another app is another person',
    );
    t.strictSame(await log.of(recording, { limit: 2 }), found.slice(0, 2));
    t.strictSame(await log.of(recording, { limit: 2, before: found[1]?.index ?? 0 }), found.slice(2));
    t.strictSame(await log.of({ ...recording, startedAt: '2999-01-01T00:00:00.000Z' }, { limit: 2 }), []);
    const entries: string[] = [];
    // What is in the write-ahead file is durable: nothing was closed or published for this.
    for await (const { bytes } of readLedger(accessPaths(paths), { live: true }).entries())
      entries.push(String(bytes));
    t.equal(entries.length, accessLedger.size);
    for (const name of ['ann', 'pair', 'root', 'shop'])
      t.notMatch(entries.slice(1).join('\n'), `"${name}"`, `${name} is not written`);
    t.strictSame(parseEntry(Buffer.from(entries[1] ?? '')).d.action, 'stream');
  },
);

t.test('F31 the same access is entered once, however often it is asked for', async (t) => {
  const { access: log, accessLedger } = await testEvidence(t, db);
  await Promise.all([log.enter(access({ once: 'g' })), log.enter(access({ once: 'g' }))]);
  await log.enter(access({ once: 'g' }));
  const size = accessLedger.size;
  t.equal((await log.of(recording, { limit: 10 })).length, 1);
  await log.enter(access());
  await log.enter(access());
  t.equal(accessLedger.size, size + 2, 'without a name each counts');
});

t.test(
  'F31 an access that cannot be entered is refused, raises an alarm, and the next good one clears it',
  async (t) => {
    const { access: log, accessLedger, alarms } = await testEvidence(t, db, { timeoutMs: 5_000 });
    const append = accessLedger.append.bind(accessLedger);
    accessLedger.append = () => Promise.reject(new Error('the disk refuses'));
    await t.rejects(log.enter(access()), { code: 'unavailable' });
    t.match(await alarms.list(), [{ kind: 'access_unwritable' }]);
    accessLedger.append = append;
    await log.enter(access());
    t.equal((await alarms.list()).length, 0);
    await accessLedger.close();
    await t.rejects(log.enter(access()), { code: 'unavailable' });
  },
);

t.test(
  'F31 heads of the access log are anchored in the ledger, once each, and verify holds them against it',
  async (t) => {
    const { access: log, accessLedger, ledger, paths } = await testEvidence(t, db);
    for (let i = 0; i < 5; i += 1) await log.enter(access());
    await accessLedger.covered(accessLedger.size - 1);
    await Promise.all([log.anchor(), log.anchor()]);
    const before = ledger.size;
    await log.anchor();
    t.equal(ledger.size, before, 'a head that has not moved is not entered again');
    const last = parseEntry(await ledger.entry(ledger.size - 1));
    t.match(last, { t: 'audit.anchor', d: { origin: `${ledger.origin}/access`, size: accessLedger.size } });
    await log.enter(access());
    await log.close();
    await ledger.close();
    const audit = () => auditFolder({ dataDir: paths.dataDir });
    const sound = await audit();
    t.ok(sound.ok, JSON.stringify(sound.findings));
    t.equal(sound.counts.accesses, 7, 'the first entry of the log, and six accesses');

    const tile = join(paths.dataDir, 'access/tile/entries/000.p/7');
    const bytes = await readFile(tile);
    await writeFile(tile, Buffer.concat([bytes.subarray(0, -30), Buffer.from('x'), bytes.subarray(-29)]));
    t.match(await audit(), { ok: false, findings: [{ kind: 'access_log' }] }, 'a changed entry');
    await writeFile(tile, bytes);
    await appendFile(join(paths.dataDir, 'access/checkpoint'), 'x');
    t.match(await audit(), { ok: false }, 'a changed head');
    await rm(join(paths.dataDir, 'access'), { recursive: true });
    const gone = await audit();
    t.match(gone, {
      ok: false,
      findings: [{ kind: 'access_log', entry: last === undefined ? -1 : before - 1 }],
    });
    t.match(gone.findings[0]?.problem, /anchors a head of 6/);
  },
);

t.test(
  'F31 an access log that is gone with its memory raises an alarm, which ends when it is put back',
  async (t) => {
    const { access: log, accessLedger, ledger, paths, alarms } = await testEvidence(t, db);
    // Another test's alarms are in the same table.
    const lost = async () => (await alarms.list()).filter(({ kind }) => kind === 'access_lost');
    for (let i = 0; i < 5; i += 1) await log.enter(access());
    await accessLedger.covered(accessLedger.size - 1);
    await log.anchor();
    await log.checkAnchored();
    t.equal((await lost()).length, 0, 'all is there');
    const anew = await Ledger.open({
      paths: accessPaths(dataPaths(join(paths.dataDir, 'elsewhere'))),
      signerDir: join(paths.dataDir, 'elsewhere/signer'),
      version: '0.0.0',
      log: quiet,
      onAlarm: () => undefined,
      origin: accessLedger.origin,
    });
    const other = new AccessLog({
      ledger: anew,
      main: ledger,
      nameKey: Buffer.alloc(32),
      alarms,
      log: quiet,
    });
    t.teardown(() => other.close());
    await other.checkAnchored();
    t.match(await lost(), [{ kind: 'access_lost', detail: /it has 1 entries, .* anchors 6/ }]);
    // Its own head is anchored too, and does not hide what lacks.
    await other.enter(access());
    await anew.covered(anew.size - 1);
    await other.anchor();
    await other.checkAnchored();
    t.match(await lost(), [{ kind: 'access_lost' }]);
    await log.checkAnchored();
    t.equal((await lost()).length, 0, 'the right one is back');
  },
);
