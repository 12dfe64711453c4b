import { execFile } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import {
  loadConfig,
  loadIceSecret,
  loadMetricsToken,
  loadSecretFile,
  loadSecrets,
  SecretError,
} from './index.ts';

const run = promisify(execFile);
const FILES = ['access-names.key', 'grant.key', 'postgres.password', 'seal.key'];

t.test(
  'the first start makes every secret, for this user only, and later starts read the same',
  async (t) => {
    const dataDir = join(t.testdir({}), 'data');
    const first = loadSecrets(dataDir);
    t.equal(first.grantKey.length, 32);
    t.equal(first.sealKey.length, 32);
    t.equal(first.accessNameKey.length, 32);
    t.notOk(first.grantKey.equals(first.sealKey));
    t.match(first.postgresPassword, /^[A-Za-z0-9_-]{43}$/);

    t.strictSame(readdirSync(join(dataDir, 'secrets')).sort(), FILES, 'and leaves nothing else behind');
    t.equal(statSync(dataDir).mode & 0o777, 0o700);
    t.equal(statSync(join(dataDir, 'secrets')).mode & 0o777, 0o700);
    for (const file of FILES) t.equal(statSync(join(dataDir, 'secrets', file)).mode & 0o777, 0o600, file);

    t.strictSame(loadSecrets(dataDir), first);
  },
);

t.test('two data folders have different secrets', async (t) => {
  const dir = t.testdir({});
  const [a, b] = [loadSecrets(join(dir, 'a')), loadSecrets(join(dir, 'b'))];
  t.notOk(a.grantKey.equals(b.grantKey));
  t.not(a.postgresPassword, b.postgresPassword);
});

t.test('a secret that its group or others can read is refused with the remedy', async (t) => {
  for (const mode of [0o640, 0o604, 0o620, 0o666]) {
    const dataDir = t.testdir({});
    loadSecrets(dataDir);
    const path = join(dataDir, 'secrets', 'grant.key');
    chmodSync(path, mode);
    t.throws(
      () => loadSecrets(dataDir),
      { name: 'SecretError', message: `run "chmod 600 ${path}"` },
      mode.toString(8),
    );
    t.throws(() => loadSecrets(dataDir), SecretError);
  }
});

t.test('a damaged secret is refused and left as it is', async (t) => {
  const cases: [file: string, content: string, expected: RegExp][] = [
    ['grant.key', '', /has 0 bytes/],
    ['grant.key', 'AAAA\n', /does not hold 32 bytes/],
    ['seal.key', 'not base64 at all, but as long as a key is\n', /does not hold 32 bytes/],
    ['seal.key', 'x'.repeat(5_000), /has 5000 bytes/],
    ['postgres.password', "a'; drop table x; --\n", /does not hold a password/],
  ];
  for (const [file, content, expected] of cases) {
    const dataDir = t.testdir({});
    mkdirSync(join(dataDir, 'secrets'));
    const path = join(dataDir, 'secrets', file);
    writeFileSync(path, content, { mode: 0o600 });
    t.throws(() => loadSecrets(dataDir), { name: 'SecretError', message: expected }, `${file}: ${expected}`);
    t.equal(readFileSync(path, 'utf8'), content);
  }
});

t.test('a secret is never read through a symbolic link', async (t) => {
  const dataDir = t.testdir({ elsewhere: 'x' });
  mkdirSync(join(dataDir, 'secrets'));
  symlinkSync(join(dataDir, 'elsewhere'), join(dataDir, 'secrets', 'grant.key'));
  t.throws(() => loadSecrets(dataDir), { name: 'SecretError', message: /cannot be read \(ELOOP\)/ });
});

t.test('processes that start at once agree on one secret', async (t) => {
  const dataDir = t.testdir({});
  const code = `import { loadSecrets } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))};
    process.stdout.write(loadSecrets(${JSON.stringify(dataDir)}).grantKey.toString('hex'));`;
  const results = await Promise.all(
    Array.from({ length: 4 }, () => run(process.execPath, ['--input-type=module', '-e', code])),
  );
  t.equal(new Set(results.map(({ stdout }) => stdout)).size, 1);
  t.equal(results[0]?.stdout.length, 64);
});

t.test('a secret of another room gets the same care', async (t) => {
  const path = join(t.testdir({}), 'server.age');
  t.equal(
    loadSecretFile(path, () => 'MADE'),
    'MADE',
  );
  t.equal(
    loadSecretFile(path, () => 'NOT USED'),
    'MADE',
  );
  t.equal(statSync(path).mode & 0o777, 0o600);
});

t.test(
  'F14 the secret of the relays comes from its file or the environment, and from no open file',
  async (t) => {
    const path = join(t.testdir({}), 'turn.secret');
    const env = { VERBATIM_ICE_TURN_URLS: 'turn:relay.example.org', VERBATIM_ICE_SECRET_FILE: path };
    const { ice } = loadConfig({ env });
    t.throws(() => loadIceSecret(ice), SecretError, 'a missing file is no secret');
    writeFileSync(path, 'correct-horse-battery\n', { mode: 0o600 });
    t.equal(loadIceSecret(ice), 'correct-horse-battery');
    t.equal(loadIceSecret({ ...ice, secret: 'another-one-of-the-same' }), 'another-one-of-the-same');
    t.equal(loadIceSecret({ ...ice, turnUrls: [] }), undefined, 'without relays nothing is read');
    writeFileSync(path, 'short\n');
    t.throws(() => loadIceSecret(ice), /does not hold the secret of a relay/);
    writeFileSync(path, 'correct-horse-battery\n');
    chmodSync(path, 0o644);
    t.throws(() => loadIceSecret(ice), /can be read by other users/);
  },
);

t.test(
  'F52 the token of a monitor comes from a file that only this user can read, or there is none',
  async (t) => {
    const path = join(t.testdir({}), 'metrics.token');
    const { metrics } = loadConfig({ env: { VERBATIM_METRICS_TOKEN_FILE: path } });
    t.equal(loadMetricsToken(loadConfig({ env: {} }).metrics), undefined);
    t.throws(() => loadMetricsToken(metrics), /is missing \(metrics\.tokenFile\)/);
    writeFileSync(path, 'a-token-of-some-length\n', { mode: 0o600 });
    t.equal(loadMetricsToken(metrics), 'a-token-of-some-length');
    t.equal(loadMetricsToken({ ...metrics, enabled: false }), undefined);
    writeFileSync(path, 'two words are not one token\n');
    t.throws(() => loadMetricsToken(metrics), /does not hold a token/);
    writeFileSync(path, 'a-token-of-some-length\n');
    chmodSync(path, 0o640);
    t.throws(() => loadMetricsToken(metrics), /can be read by other users/);
  },
);
