import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import t from 'tap';
import { parse } from 'yaml';
import { ConfigError, loadConfig, SETTINGS } from './index.ts';

const samplePath = join(import.meta.dirname, 'sample.yaml');
const cwd = '/somewhere';

function fileWith(test: Test, text: string): string {
  const path = join(test.testdir({}), 'verbatim.yaml');
  writeFileSync(path, text);
  return path;
}

function problemsOf(load: () => unknown): readonly string[] {
  try {
    load();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

t.test(
  'without file and environment every setting has its default, and optional ones are absent',
  async (t) => {
    const config = loadConfig({ env: {}, cwd });
    t.equal(config.dataDir, '/somewhere/data');
    t.equal(config.listen.host, '127.0.0.1');
    t.equal(config.call.graceMs, 15_000);
    t.equal(config.demo.enabled, false);
    t.notOk('url' in config.database);
  },
);

t.test('the sample shows every key of the schema with its default, and no other key', async (t) => {
  const text = readFileSync(samplePath, 'utf8');
  t.strictSame(loadConfig({ path: samplePath, env: {}, cwd }), {
    ...loadConfig({ env: {}, cwd }),
    dataDir: join(import.meta.dirname, 'data'),
  });

  const written = parse(text);
  // "# key: value" is an optional key that is shown; "# words" is a comment.
  const shown = parse(text.replace(/^( *)# ([a-z][A-Za-z]*: \S+)$/gm, '$1$2'));
  const at = (document: unknown, path: string): unknown =>
    path.split('.').reduce<unknown>((node, key) => Object(node)[key], document);
  for (const setting of SETTINGS) {
    t.strictSame(at(written, setting.path), setting.default, `${setting.path} has its default`);
    t.not(at(shown, setting.path), undefined, `${setting.path} is shown`);
  }
  const path = fileWith(t, text.replace(/^( *)# ([a-z][A-Za-z]*: \S+)$/gm, '$1$2'));
  t.strictSame(
    problemsOf(() => loadConfig({ path, env: {} })),
    [],
    'the examples of optional keys are valid',
  );
});

t.test('every key of the sample has a comment of its own or that of its section', async (t) => {
  const lines = readFileSync(samplePath, 'utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    if (/^[a-z]+:$/.test(line)) {
      const near = [lines[index - 1], lines[index + 1]].some((other) => /^ *# \w/.test(other ?? ''));
      t.ok(near, `${line} is explained`);
    }
  }
});

t.test('the environment wins over the file, and the file over the defaults', async (t) => {
  const path = fileWith(t, 'listen:\n  port: 5000\n  host: 0.0.0.0\nlog:\n');
  const env = { VERBATIM_CONFIG: path, VERBATIM_LISTEN_PORT: '6000', OTHER: 'x', VERBATIM_LOG_LEVEL: '' };
  const config = loadConfig({ env, cwd });
  t.equal(config.listen.port, 6000);
  t.equal(config.listen.host, '0.0.0.0');
  t.equal(config.log.level, 'info', 'an empty variable counts as not set');
});

t.test('every setting has an environment name of its own, by the documented rule', async (t) => {
  const names = SETTINGS.map(({ envName }) => envName);
  t.equal(new Set(names).size, names.length);
  t.ok(names.includes('VERBATIM_MEDIA_ANNOUNCED_ADDRESS'));
  t.ok(names.includes('VERBATIM_RECORDING_RECOVERY_RECIPIENT'));
  t.ok(names.includes('VERBATIM_DATA_DIR'));
});

t.test('environment values become numbers, booleans and lists as the schema says', async (t) => {
  const config = loadConfig({
    env: {
      VERBATIM_MEDIA_MAX_CPU: '0.5',
      VERBATIM_RECORDER_EMBEDDED: 'false',
      VERBATIM_TRUST_PROXY: '10.0.0.0/8, 192.0.2.1, ::1, fd00::/64',
      VERBATIM_MEDIA_ANNOUNCED_ADDRESS: '12',
    },
  });
  t.equal(config.media.maxCpu, 0.5);
  t.equal(config.recorder.embedded, false);
  t.strictSame(config.trustProxy, ['10.0.0.0/8', '192.0.2.1', '::1', 'fd00::/64']);
  t.equal(config.media.announcedAddress, '12');
});

t.test('F14 relays without their secret, and a way that no relay stands on, refuse to start', async (t) => {
  const relay = {
    VERBATIM_ICE_TURN_URLS: 'turn:relay.example.org:3478, turns:[2001:db8::1]:443?transport=tcp',
  };
  t.match(
    problemsOf(() => loadConfig({ env: relay })),
    [/^ice\.secretFile: expected a file with the secret/],
  );
  t.match(
    problemsOf(() => loadConfig({ env: { VERBATIM_ICE_RELAY_ONLY: 'true' } })),
    [/^ice\.turnUrls: expected at least one relay/],
  );
  const config = loadConfig({ env: { ...relay, VERBATIM_ICE_SECRET: 'correct-horse-battery' } });
  t.strictSame(config.ice.turnUrls, ['turn:relay.example.org:3478', 'turns:[2001:db8::1]:443?transport=tcp']);
  for (const secret of ['short', 'a secret with some spaces in it']) {
    const problems = problemsOf(() => loadConfig({ env: { ...relay, VERBATIM_ICE_SECRET: secret } }));
    t.match(problems, [/^ice\.secret: expected the secret/]);
    t.notMatch(problems.join(), new RegExp(secret), 'and what was given is not repeated');
  }
  for (const url of [
    'turn:',
    'stun:a.example',
    'https://a.example',
    'turn:a.example:70000',
    'turn:a@b.example',
  ]) {
    const env = { VERBATIM_ICE_TURN_URLS: url, VERBATIM_ICE_SECRET: 'correct-horse-battery' };
    t.match(
      problemsOf(() => loadConfig({ env })),
      [/^ice\.turnUrls: expected a list/],
      `${url} is refused`,
    );
  }
});

t.test('relative paths in the file are relative to its folder, others to the working folder', async (t) => {
  const path = fileWith(t, 'dataDir: state\ntls: {certFile: tls/c.pem, keyFile: /k.pem}\n');
  const config = loadConfig({ path, env: {}, cwd });
  t.equal(config.dataDir, join(path, '..', 'state'));
  t.strictSame(config.tls, { certFile: join(path, '..', 'tls/c.pem'), keyFile: '/k.pem' });
  t.equal(loadConfig({ path, env: { VERBATIM_DATA_DIR: 'state' }, cwd }).dataDir, '/somewhere/state');
});

t.test('what is wrong is refused with its path, what was expected, what came and from where', async (t) => {
  const cases: [name: string, yaml: string, env: Record<string, string>, expected: RegExp][] = [
    [
      'unknown key',
      'listen: {prot: 1}',
      {},
      /^listen\.prot: there is no such key, did you mean listen\.port\?/,
    ],
    ['unknown section', 'nonsense: {a: 1}', {}, /^nonsense: there is no such key \(in \//],
    ['section given as value', 'listen: 4443', {}, /^listen: expected a section .*, got 4443 /],
    ['section given as list', 'listen: [1]', {}, /^listen: expected a section .*, got a list /],
    [
      'value given as section',
      'dataDir: {a: 1}',
      {},
      /^dataDir: expected the path of a folder, got a section /,
    ],
    [
      'number as text',
      'listen: {port: "80"}',
      {},
      /^listen\.port: expected .* a port from 1 to 65535.*, got "80" /,
    ],
    ['port too high', 'listen: {port: 65536}', {}, /^listen\.port: expected /],
    ['negative port', 'listen: {port: -1}', {}, /^listen\.port: expected /],
    [
      'fraction',
      'call: {graceMs: 1.5}',
      {},
      /^call\.graceMs: expected a whole number of milliseconds from 0 to/,
    ],
    ['out of range', 'media: {maxCpu: 2}', {}, /^media\.maxCpu: expected a share .*, got 2 /],
    ...[
      'proxy.example.org',
      'true',
      '',
      '10.0.0.0/0',
      '10.0.0.0/33',
      '::1/129',
      '10.0.0.0/8/8',
      '10.0.0.0/',
    ].map((proxy): [string, string, Record<string, string>, RegExp] => [
      `a proxy of ${JSON.stringify(proxy)}`,
      `trustProxy: [10.0.0.1, ${JSON.stringify(proxy)}]`,
      {},
      /^trustProxy: expected a list of IP addresses or networks such as 10\.0\.0\.0\/8, got /,
    ]),
    [
      'not an address',
      'media: {listenIp: localhost}',
      {},
      /^media\.listenIp: expected an IPv4 or IPv6 address/,
    ],
    ['null value', 'log: {level: }', {}, /^log\.level: expected one of fatal, .*, got nothing /],
    ['unknown level', 'log: {level: loud}', {}, /^log\.level: expected one of .*, got "loud" /],
    ['a path in publicUrl', 'publicUrl: https://a.example/x', {}, /^publicUrl: expected an origin such as/],
    ['not a web URL', 'publicUrl: ftp://a.example', {}, /^publicUrl: expected an origin/],
    ['wrong scheme', 'redis: {url: "http://x"}', {}, /^redis\.url: expected a URL such as redis:/],
    [
      'not an age recipient',
      'recording: {recoveryRecipient: age1x}',
      {},
      /^recording\.recoveryRecipient: expected an age/,
    ],
    [
      'duplicate key',
      'log: {level: info}\nlog: {level: warn}',
      {},
      /is not valid YAML: Map keys must be unique/,
    ],
    ['not YAML', 'log: [', {}, /^the file \/.* cannot be read: it is not valid YAML/],
    ['a list as document', '- a', {}, /expected keys and values, got a list/],
    ['only one TLS file', 'tls: {certFile: c.pem}', {}, /^tls\.keyFile: expected both/],
    [
      'any address without announced one',
      'media: {listenIp: 0.0.0.0}',
      {},
      /^media\.announcedAddress: expected the address/,
    ],
    ['any recorder address', 'recorder: {ip: "::"}', {}, /^recorder\.announcedIp: expected the address/],
    [
      'ports past the end',
      'media: {basePort: 65535, workers: 2}',
      {},
      /^media\.basePort: expected room for 2 ports/,
    ],
    [
      'unknown variable',
      '',
      { VERBATIM_LISTEN_PROT: '1' },
      /^VERBATIM_LISTEN_PROT: .* did you mean VERBATIM_LISTEN_PORT\?/,
    ],
    ['unlike any variable', '', { VERBATIM_FOO: '1' }, /^VERBATIM_FOO: there is no such setting \(/],
    [
      'boolean variable',
      '',
      { VERBATIM_DEMO_ENABLED: 'yes' },
      /^demo\.enabled: expected true or false, got "yes" \(from VERBATIM_DEMO_ENABLED\)/,
    ],
    [
      'number variable',
      '',
      { VERBATIM_LISTEN_PORT: '0x50' },
      /^listen\.port: expected .*, got "0x50" \(from VERBATIM/,
    ],
  ];
  for (const [name, yaml, env, expected] of cases) {
    const path = fileWith(t, yaml);
    const problems = problemsOf(() => loadConfig({ path, env }));
    t.equal(problems.length, 1, `${name}: one problem`);
    t.match(problems[0], expected, name);
  }
});

t.test('all problems are told at once', async (t) => {
  const path = fileWith(t, 'listen: {port: x}\nlog: {level: loud}\n');
  const problems = problemsOf(() => loadConfig({ path, env: { VERBATIM_FOO: '1' } }));
  t.equal(problems.length, 3);
});

t.test('a missing file and a folder are refused in words', async (t) => {
  t.match(
    problemsOf(() => loadConfig({ path: '/no/such.yaml', env: {} })),
    [/no\/such\.yaml .*there is no such file/],
  );
  t.match(
    problemsOf(() => loadConfig({ path: t.testdir({}), env: {} })),
    [/it is a folder/],
  );
});

t.test('a password in a URL never gets into a message', async (t) => {
  const env = { VERBATIM_DATABASE_URL: 'mysql://user:hunter2@host/db' };
  const problems = problemsOf(() => loadConfig({ env }));
  t.match(problems[0], /^database\.url: expected a URL such as/);
  t.notMatch(problems.join('\n'), /hunter2/);
});
