import t from 'tap';
import { testDatabase, testDir } from '../db/fixture.ts';
import { auditFolder } from './audit.ts';
import { MadeFolder } from './audit-fixture.ts';

const db = await testDatabase(t);
const root = await testDir(t);

t.test('F38 a folder that the server made has no fault, with the key and without', async (t) => {
  const made = await MadeFolder.open(db, `${root}/data`);
  await made.call();
  await made.call();
  await made.close();
  const { dataDir } = made.paths;
  const report = await auditFolder({ dataDir, signerDir: made.signerDir });
  console.error(JSON.stringify(report, null, 1));
  t.equal(report.faults, 0);
  const keyed = await auditFolder({ dataDir, signerDir: made.signerDir, identity: made.identity });
  t.same(keyed.findings, []);
  t.equal(keyed.counts.decrypted, 2);
});
