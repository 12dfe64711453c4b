import { spawn } from 'node:child_process';
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import t from 'tap';
import { loadSecrets } from '#config';
import { createAuthenticator } from '../core/auth/index.ts';
import type { Log } from '../core/db/index.ts';
import { findAppKey, findEmbeddedPostgres, openDatabase, startEmbeddedPostgres } from '../core/db/index.ts';

t.setTimeout(220_000);

const program = join(import.meta.dirname, 'app.ts');
const ignore = (): void => undefined;
const log: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

async function app(dataDir: string, args: string[], { input = '', env = {} } = {}): Promise<Outcome> {
  const child = spawn(process.execPath, [program, '--data', dataDir, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const exit = new Promise<number | null>((done) => child.on('close', done));
  child.stdin.on('error', ignore);
  child.stdin.end(input);
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
  return { code, out, err };
}

function folder(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'verbatim-app-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true, maxRetries: 20 }));
  return dir;
}

/** A folder with its server running, as beside a daemon. */
async function running(t: Test): Promise<{ dataDir: string; url: string }> {
  const dataDir = folder(t);
  const { postgresPassword: password } = loadSecrets(dataDir);
  const server = await startEmbeddedPostgres({ dataDir, password, log });
  t.teardown(() => server.stop());
  return { dataDir, url: server.url };
}

t.test(
  'F50 on a folder that nobody uses the command starts the database itself and stops it again',
  async (t) => {
    const dataDir = folder(t);
    const made = await app(dataDir, ['create', '--id', 'shop', '--name', 'The Shop', '--json']);
    t.equal(made.code, 0, made.err);
    t.match(JSON.parse(made.out), {
      id: 'shop',
      recordingEnabled: false,
      key: { algorithm: 'HS256', secret: /^[\w-]{43}$/ },
    });
    t.equal(await findEmbeddedPostgres(dataDir, loadSecrets(dataDir).postgresPassword), undefined);

    const listed = await app(dataDir, ['list']);
    t.equal(listed.out, 'shop  "The Shop"  secure calls off\n');
  },
);

t.test(
  'F50 beside a running server it uses that one’s database, and the key it prints signs users in',
  async (t) => {
    const { dataDir, url } = await running(t);
    const made = await app(dataDir, ['create', '--id', 'shop', '--name', 'Shop', '--recording', 'on']);
    t.equal(made.code, 0, made.err);
    const [, kid = ''] = /^Key id: {2}(\S+) {2}\(HS256\)$/m.exec(made.out) ?? [];
    const [, secret = ''] = /^Secret: {2}(\S+)$/m.exec(made.out) ?? [];

    const db = await openDatabase({ url, log });
    t.teardown(() => db.close());
    const auth = createAuthenticator({ db, sealKey: loadSecrets(dataDir).sealKey });
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const body = `${encode({ alg: 'HS256', kid })}.${encode({ sub: 'ann', name: 'Ann', exp: Math.floor(Date.now() / 1000) + 600 })}`;
    // RFC 7515 appendix A.1: the signature by hand, not by the library that checks it.
    const token = `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
    t.match(await auth.verifyUserToken(token), { appId: 'shop', userId: 'ann', kid });

    const stored = await findAppKey(db, kid);
    t.notOk(
      Buffer.from(stored?.secretSealed ?? []).includes(secret),
      'the secret is not stored in the clear',
    );
    t.notMatch(
      (await app(dataDir, ['key', 'list', 'shop'])).out,
      new RegExp(secret),
      'and never shown again',
    );

    const revoked = await app(dataDir, ['key', 'revoke', 'shop', kid]);
    t.equal(revoked.out, `Key ${kid} revoked.\n`);
    const fresh = createAuthenticator({ db, sealKey: loadSecrets(dataDir).sealKey });
    await t.rejects(fresh.verifyUserToken(token), { code: 'unauthorized' });
  },
);

t.test('public keys are taken in PEM and JWK form, and the algorithm is the key’s own', async (t) => {
  const { dataDir } = await running(t);
  await app(dataDir, ['create', '--id', 'shop', '--name', 'Shop']);
  const file = (name: string, content: string): string => {
    writeFileSync(join(dataDir, name), content);
    return join(dataDir, name);
  };
  const ed = generateKeyPairSync('ed25519');
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const spki = { format: 'pem', type: 'spki' } as const;
  const edPem = file('ed.pem', ed.publicKey.export(spki).toString());
  const ecJwk = file('ec.jwk', JSON.stringify(ec.publicKey.export({ format: 'jwk' })));

  const added: [args: string[], algorithm: string][] = [
    [['--public-key', edPem], 'EdDSA'],
    [['--public-key', ecJwk, '--algorithm', 'ES256'], 'ES256'],
  ];
  for (const [args, algorithm] of added) {
    const { out, err } = await app(dataDir, ['key', 'add', 'shop', ...args, '--json']);
    t.match(JSON.parse(out || '{}'), { kid: /^\S+$/, algorithm }, err);
    t.notMatch(out, /secret/);
  }

  const refused: [args: string[], expected: RegExp][] = [
    [['--public-key', edPem, '--algorithm', 'ES256'], /holds a key for EdDSA, not for ES256/],
    [
      ['--public-key', file('p.pem', ed.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString())],
      /holds a private key/,
    ],
    [['--public-key', file('p.jwk', JSON.stringify(ec.privateKey.export({ format: 'jwk' })))], /private key/],
    [['--public-key', file('rsa.pem', rsa.publicKey.export(spki).toString())], /Ed25519 or a P-256/],
    [
      ['--public-key', file('junk', randomBytes(64).toString('hex'))],
      /expected a public key in PEM or JWK form/,
    ],
    [['--public-key', file('list.jwk', '{"kty": 1}')], /expected a public key in PEM or JWK form/],
    [['--public-key', join(dataDir, 'none')], /^There is no .*none\.$/],
    [['--algorithm', 'ES256'], /--algorithm ES256 needs --public-key FILE/],
    [['--algorithm', 'none'], /--algorithm: expected HS256, ES256, EdDSA, got "none"/],
  ];
  for (const [args, expected] of refused) {
    const { code, out, err } = await app(dataDir, ['key', 'add', 'shop', ...args]);
    t.strictSame([code, out], [1, ''], args.join(' '));
    t.match(err.trimEnd(), expected);
    t.notMatch(err, /\n +at /);
  }
});

t.test('F28 F35 settings are changed one by one, and what is wrong is refused in one sentence', async (t) => {
  const { dataDir } = await running(t);
  await app(dataDir, ['create', '--id', 'shop', '--name', 'Shop']);

  t.equal((await app(dataDir, ['recording', 'on', 'shop'])).out, 'Secure calls of "shop" are on.\n');
  t.match(
    (await app(dataDir, ['origins', 'shop', 'https://chat.example.org'])).out,
    /^Pages of https:\/\/chat/,
  );
  const set = ['disclosure', 'set', 'shop', '--locale', 'en', '--file', '-'];
  t.match((await app(dataDir, set, { input: 'We record this.\n' })).out, /^Version 1 of the en text/);
  t.match((await app(dataDir, set, { input: 'We record this call.\n' })).out, /^Version 2 of the en text/);
  t.equal((await app(dataDir, ['disclosure', 'list', 'shop'])).out, 'en, version 2:\nWe record this call.\n');
  t.match(JSON.parse((await app(dataDir, ['list', '--json'])).out), [
    { id: 'shop', recordingEnabled: true, allowedOrigins: ['https://chat.example.org'] },
  ]);

  const relays = ['ice', 'set', 'shop', '--turn', 'turn:b.example', '--secret-file', '-'];
  const shown = await app(dataDir, relays, { input: 'north-by-northwest\n' });
  t.match(shown.out, /^ICE servers: +turn:b\.example$/m);
  t.notMatch(shown.out + shown.err, /north-by/, 'the secret of the relays is never shown');

  await app(dataDir, ['role', 'set', 'shop', 'default', '--secure', 'off']);
  const role = await app(dataDir, ['role', 'set', 'shop', 'agent', '--secure', 'on', '--recordings', 'off']);
  t.equal(
    role.out,
    'agent: voice on, secure on, recordings off\ndefault: voice on, secure off, recordings on\n',
    'F12 a role begins with what everybody else may do',
  );
  t.equal((await app(dataDir, ['role', 'list', 'shop'])).out, role.out);
  t.equal(
    (await app(dataDir, ['role', 'remove', 'shop', 'agent'])).out,
    'default: voice on, secure off, recordings on\n',
  );

  const refused: [args: string[], expected: RegExp][] = [
    [['role', 'set', 'shop', 'agent'], /^Say what the role may do/],
    [['role', 'set', 'shop', 'a b', '--voice', 'on'], /^Expected a role of up to 64/],
    [['role', 'set', 'shop', 'agent', '--voice', 'yes'], /^--voice: expected on or off, got "yes"/],
    [['role', 'remove', 'shop', 'agent'], /^The app "shop" has no rules for the role "agent"/],
    [['role', 'list', 'none'], /^There is no app "none"/],
    [['create', '--id', 'shop', '--name', 'x'], /^There is an app "shop" already/],
    [['create', '--id', 'a b', '--name', 'x'], /^--id: expected /],
    [['create', '--id', 'x', '--name', 'a\u0007'], /^--name: expected /],
    [['create', '--name', 'x'], /^--id is missing/],
    [['recording', 'maybe', 'shop'], /^Expected on or off, got "maybe"/],
    [['recording', 'on', 'none'], /^There is no app "none"/],
    [['recording', 'on'], /^"recording" takes 2 arguments, got 1/],
    [['key', 'revoke', 'shop', 'none'], /^The app "shop" has no key "none"/],
    [['key', 'add', 'none'], /^There is no app "none"/],
    [['origins', 'shop', 'chat.example.org/x'], /^Expected an origin such as/],
    [['disclosure', 'set', 'shop', '--locale', '?', '--file', '-'], /^--locale: expected one such as/],
    [['disclosure', 'set', 'shop', '--locale', 'en', '--file', '-'], /^--file: expected 1 to/],
    [['frobnicate'], /^There is no command "frobnicate"/],
    [['list', '--frobnicate'], /^Unknown option '--frobnicate': see --help/],
  ];
  for (const [args, expected] of refused) {
    const { code, err } = await app(dataDir, args);
    t.equal(code, 1, args.join(' '));
    t.match(err, expected);
    t.equal(err.trimEnd().split('\n').length, 1, 'one line');
  }
  t.equal(JSON.parse((await app(dataDir, ['list', '--json'])).out).length, 1, 'and nothing was made');
});

t.test('the help names every command', async (t) => {
  const { code, out } = await app('/nowhere', ['--help']);
  t.equal(code, 0);
  const source = readFileSync(program, 'utf8');
  const commands = [...source.matchAll(/^ {2}'?([a-z ]+)'?: \{\s+arguments:/gm)].map(([, name]) => name);
  t.equal(commands.length, 17);
  for (const name of commands) t.match(out, new RegExp(`^ {2}${name}`, 'm'));
});
