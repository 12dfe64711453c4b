import t from 'tap';
import type { HealthCheck } from './health.ts';
import { healthOf } from './health.ts';

const fine: HealthCheck = { name: 'database', vital: true, ask: async () => undefined };
const said: HealthCheck = { name: 'disk', vital: false, ask: async () => '80 GB free' };
const broken = (vital: boolean): HealthCheck => ({
  name: 'recorder',
  vital,
  ask: async () => {
    throw new Error('no recorder has reported for 2 s');
  },
});

t.test('a server whose parts all answer is ok and passes their details on', async (t) => {
  t.same(await healthOf('1.0.0', [fine, said]), {
    status: 'ok',
    version: '1.0.0',
    checks: { database: { ok: true }, disk: { ok: true, detail: '80 GB free' } },
  });
});

t.test(
  'a part that is not vital makes it degraded, a vital one failing, each with its sentence',
  async (t) => {
    t.equal((await healthOf('1.0.0', [fine, broken(false)])).status, 'degraded');
    const health = await healthOf('1.0.0', [fine, broken(true)]);
    t.equal(health.status, 'failing');
    t.same(health.checks.recorder, { ok: false, detail: 'no recorder has reported for 2 s' });
  },
);

t.test('a part that never answers fails within its time and does not hold the others up', async (t) => {
  const deaf: HealthCheck = { name: 'queue', vital: true, ask: () => new Promise(() => {}) };
  const health = await healthOf('1.0.0', [fine, deaf]);
  t.same(health.checks.queue, { ok: false, detail: 'no answer within 2000 ms' });
  t.same(health.checks.database, { ok: true });
});

t.test('details name files without the folders of the server that they lie in', async (t) => {
  const detail = async (sentence: string): Promise<string | undefined> => {
    const check: HealthCheck = {
      name: 'evidence',
      vital: false,
      ask: async () => {
        throw new Error(sentence);
      },
    };
    return (await healthOf('1.0.0', [check])).checks.evidence?.detail;
  };
  t.equal(
    await detail('/srv/call/data.signer/last-signed: is of 3 entries'),
    '…/last-signed: is of 3 entries',
  );
  t.equal(await detail("EROFS, open '/srv/a/b.tmp'"), "EROFS, open '…/b.tmp'");
  t.equal(await detail('ledger/tile/0/000, entry 3: differs'), 'ledger/tile/0/000, entry 3: differs');
  t.equal(await detail('https://x.example/a/b is away, 3/4 left'), 'https://x.example/a/b is away, 3/4 left');
});
