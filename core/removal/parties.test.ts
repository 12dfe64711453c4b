import { randomBytes } from 'node:crypto';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import t from 'tap';
import { openSealed, sealFile } from '#store';
import { verifyBundle } from '../../client/verify/index.ts';
import { testDatabase, testDir } from '../db/fixture.ts';
import { changeRecording, recordingById } from '../db/recordings.ts';
import { httpFixture } from '../http/fixture.ts';
import { idle, playbackScene } from '../http/playback-fixture.ts';
import { BundleFolder } from '../library/bundle-fixture.ts';
import type { RemovalParts } from './index.ts';
import { Removal } from './index.ts';

// What the two parties notice of it: the stream that stops, the addresses that do not work any more, and what they keep.
t.setTimeout(120_000);

const db = await testDatabase(t);
const ignore = (): void => undefined;
const parts = {
  db,
  alarms: { raise: async () => undefined, clear: async () => undefined },
  log: { info: ignore, warn: ignore, error: ignore },
  enabled: true,
  onChanged: ignore,
};
const expired = async (recordingId: string) => {
  await db.sql`
    update apps set retention_days = 1
    where id = (select app_id from recordings where id = ${recordingId})`;
  await db.sql`update recordings set ended_at = now() - interval '2 days' where id = ${recordingId}`;
};
function removalOf(more: Pick<RemovalParts, 'paths' | 'ledger' | 'release'>): Removal {
  const removal = new Removal({ ...parts, ...more });
  t.teardown(() => removal.close());
  return removal;
}

t.test(
  'F41 whoever listens while a recording goes hears it stop, and gets nothing of it any more',
  async (t) => {
    const fixture = await httpFixture(t, db);
    const { paths, ledger } = fixture.evidence;
    const { library, url } = fixture;
    const bytes = randomBytes(64 * 1024 * 1024);
    const { app, recording, grant } = await playbackScene(fixture, { bytes, durationMs: 3_600_000 });
    const { id } = recording;
    const identity = await generateX25519Identity();
    const files = { pay: paths.pay(id), hdr: paths.hdr(id) };
    await sealFile({ plaintext: bytes, ...files, recipients: [await identityToRecipient(identity)] });
    fixture.store.open = () => openSealed({ ...files, identity });
    const alice = await grant('alice');
    const headers = { cookie: alice.cookie };
    const answer = await fetch(new URL(alice.url, url), { headers });
    t.equal(answer.status, 200);
    const reader = answer.body?.getReader();
    if (reader === undefined) throw new Error('no body');
    let heard = (await reader.read()).value?.length ?? 0;
    t.ok(heard > 0, 'it plays');

    await expired(id);
    const release = async () => library.endRecording(id);
    t.equal(await removalOf({ paths, ledger, release }).retention.run(), 1);
    await t.rejects(async () => {
      for (let part = await reader.read(); !part.done; part = await reader.read()) heard += part.value.length;
    }, 'the stream breaks off');
    t.ok(heard < bytes.length, `after ${heard} of ${bytes.length} bytes`);
    await idle(fixture);
    t.equal((await fetch(new URL(alice.url, url), { headers })).status, 403, 'the address is over');
    const again = await fetch(`${url}/v1/recordings/${id}/grants`, {
      method: 'POST',
      headers: { authorization: await app.user('bob'), 'content-type': 'application/json' },
      body: '{}',
    });
    t.match(
      [again.status, await again.json()],
      [410, { code: 'recording_failed' }],
      'and there is no new one',
    );
    const seen = await fixture.http.inject({
      url: `/v1/recordings/${id}`,
      headers: { authorization: await app.user('bob') },
    });
    t.match(seen.json(), { state: 'expired', reason: 'retention', removedAt: /^\d{4}-/ });
    t.notOk('sha256' in seen.json(), 'its hash is gone with it');
  },
);

t.test(
  'F38 F41 the evidence bundle that a party has still verifies when the recording is gone',
  async (t) => {
    const ours = await BundleFolder.open(db, await testDir(t));
    t.teardown(() => ours.close());
    const { paths, ledger } = ours.folder;
    const { recordingId } = (await ours.call()).call;
    const report = (await recordingById(db, recordingId))?.report;
    if (report == null) throw new Error('no report');
    await changeRecording(db, recordingId, { to: 'available', result: report, entryIndex: 1 });
    const bundle = await ours.bundle(recordingId);
    await expired(recordingId);
    const release = async () => ours.folder.evidence.salts.forget(recordingId);
    t.equal(await removalOf({ paths, ledger, release }).retention.run(), 1);
    t.match(await verifyBundle(bundle), { ok: true });
    await t.rejects(ours.bundle(recordingId), { code: 'no_evidence' }, 'and nobody gets another one');
  },
);
