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
