import { readdir } from 'node:fs/promises';
import t from 'tap';
import { parseEntry } from '#ledger';
import { endCall } from '../db/calls.ts';
import { testDatabase } from '../db/fixture.ts';
import { WatchedFiles } from '../store/ledger/testing.ts';
import { testCall, testEvidence } from './fixture.ts';

const db = await testDatabase(t);

t.test('F35 a consent that a failing disk takes after its call was refused still gets its end', async (t) => {
  const files = new WatchedFiles();
  const { evidence, ledger, paths } = await testEvidence(t, db, { files });
  const { call, consent } = await testCall(db);
  let broken = true;
  files.before = (verb, path) => {
    if (broken && path.endsWith('.wal') && verb === 'datasync')
      throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
    if (broken && path.endsWith('.wal') && verb === 'create')
      throw Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
  };
  await t.rejects(evidence.consent(call, { side: 'caller', device: 'd', consent, at: new Date() }), {
    code: 'evidence_unavailable',
  });
  await endCall(db, call.callId, 'recorder_unavailable', new Date());
  await evidence.callEnded(call.callId);
  broken = false;
  const ids = async (): Promise<string[]> =>
    (await ledger.entriesOf(`rec:${call.recordingId}`)).map(({ bytes }) => parseEntry(bytes).id);
  // The first entry is the log's own; the disk takes the consent when it works again.
  await ledger.covered(1);
  await evidence.sweep();
  t.same(await ids(), ['consent.caller', 'call.end']);
  t.same(await readdir(paths.recordings), [], 'nobody was heard, so its salt is gone');
});
