import { createPublicKey as parsePublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { Value } from 'typebox/value';
import { loadConfig } from '#config';
import { ExternalId, Locale } from '#protocol';
import { createPublicKey, createSecretKey } from '../core/auth/index.ts';
import type { KeyAlgorithm, Log, NewAppKey } from '../core/db/index.ts';
import {
  addDisclosure,
  findApp,
  insertApp,
  insertAppKey,
  KEY_ALGORITHMS,
  listAppKeys,
  listApps,
  listDisclosures,
  revokeAppKey,
  setAppOrigins,
  setAppRecording,
} from '../core/db/index.ts';
import { removeIce, setIce, setRetention, setRingTime, showApp } from './lib/app-commands.ts';
import type { OperatorDatabase } from './lib/operator-database.ts';
import { openOperatorDatabase } from './lib/operator-database.ts';
import { OperatorError, runCommand } from './lib/operator-error.ts';
import { listRoles, removeRole, setRole } from './lib/role-commands.ts';

const HELP = `Usage: scripts/app COMMAND [OPTIONS]

  create --id ID --name NAME        creates an app with its first key
      [--recording on|off]          secure calls; off unless given
      [--algorithm ALGORITHM --public-key FILE]
  list                              every app
  show ID                           all settings of an app
  key add ID [--algorithm ALGORITHM --public-key FILE]
  key list ID                       with the time of each one's last use
  key revoke ID KEY                 takes effect at once: open connections that it let in are closed
  recording on|off ID               for calls that start from now on
  origins ID [ORIGIN...]            web origins whose pages may sign in; replaces the list
  retention ID DAYS|forever         how long recordings are kept; for ever unless given
  ring ID SECONDS                   how long calls ring; 45 unless given
  ice set ID [--stun URLS] [--turn URLS --secret-file FILE] [--relay-only on|off] [--credential-seconds N]
                                    ICE servers of this app's voice calls in place of the server's own; URLs are
                                    separated by commas; - reads the secret of the relays from standard input
  ice remove ID                     the server's own again
  disclosure set ID --locale LOCALE --file FILE
                                    the text that both sides of a secure call agree to; - reads it from
                                    standard input
  disclosure list ID
  role list ID                      who may do what
  role set ID ROLE [--voice on|off] [--secure on|off] [--recordings on|off]
                                    what users of a role may place and play; the role "default" is everybody else
  role remove ID ROLE

A key is a shared secret (HS256) unless a public key in PEM or JWK form is given: ES256 (P-256) or EdDSA (Ed25519).
A secret is printed once and cannot be shown again.

  --json          prints one line of JSON instead
  --config FILE   settings, as for scripts/start
  --data DIR      the data folder, as for scripts/start
`;

const MAX_NAME_CHARACTERS = 200;
const MAX_DISCLOSURE_CHARACTERS = 20_000;
const MAX_KEY_FILE_CHARACTERS = 10_000;

const root = resolve(import.meta.dirname, '..');

type Options = ReturnType<typeof parse>['values'];
/** What a command tells: lines for a person, and the same as data. */
interface Answer {
  lines: string[];
  data: unknown;
}

/** Standard output is the answer's alone. */
const stderrLog: Log = {
  debug: () => undefined,
  info: (_, message) => process.stderr.write(`${message}.\n`),
  warn: (_, message) => process.stderr.write(`${message}.\n`),
  error: (_, message) => process.stderr.write(`${message}.\n`),
};

/** Each command with the number of its own arguments. */
const COMMANDS: Record<
  string,
  {
    arguments: [min: number, max: number];
    run: (db: OperatorDatabase, args: string[], options: Options) => Promise<Answer>;
  }
> = {
  create: { arguments: [0, 0], run: create },
  list: { arguments: [0, 0], run: list },
  'key add': { arguments: [1, 1], run: addKey },
  'key list': { arguments: [1, 1], run: listKeys },
  'key revoke': { arguments: [2, 2], run: revokeKey },
  recording: { arguments: [2, 2], run: setRecording },
  origins: { arguments: [1, 100], run: setOrigins },
  show: { arguments: [1, 1], run: (db, [id = '']) => showApp(db, id) },
  retention: { arguments: [2, 2], run: (db, [id = '', period = '']) => setRetention(db, id, period) },
  ring: { arguments: [2, 2], run: (db, [id = '', seconds = '']) => setRingTime(db, id, seconds) },
  'ice set': { arguments: [1, 1], run: (db, [id = ''], options) => setIce(db, id, options) },
  'ice remove': { arguments: [1, 1], run: (db, [id = '']) => removeIce(db, id) },
  'disclosure set': { arguments: [1, 1], run: setDisclosure },
  'disclosure list': { arguments: [1, 1], run: listTexts },
  'role list': { arguments: [1, 1], run: (db, [id = '']) => listRoles(db, id) },
  'role set': {
    arguments: [2, 2],
    run: (db, [id = '', role = ''], options) => setRole(db, id, role, options),
  },
  'role remove': { arguments: [2, 2], run: (db, [id = '', role = '']) => removeRole(db, id, role) },
};

await runCommand(main);

async function main(argv: string[]): Promise<void> {
  const { values: options, positionals } = parse(argv);
  if (options.help || positionals.length === 0) {
    process.stdout.write(HELP);
    return;
  }
  const [first = '', second = ''] = positionals;
  const name = [`${first} ${second}`, first].find((candidate) => Object.hasOwn(COMMANDS, candidate));
  const command = name === undefined ? undefined : COMMANDS[name];
  if (name === undefined || command === undefined) {
    throw new OperatorError(`There is no command "${positionals.join(' ')}": see scripts/app --help.`);
  }
  const args = positionals.slice(name.split(' ').length);
  const [min, max] = command.arguments;
  if (args.length < min || args.length > max) {
    throw new OperatorError(`"${name}" takes ${min} arguments, got ${args.length}: see scripts/app --help.`);
  }
  const env = { ...process.env, ...(options.data ? { VERBATIM_DATA_DIR: resolve(options.data) } : {}) };
  const config = loadConfig({ ...(options.config ? { path: resolve(options.config) } : {}), env, cwd: root });
  const db = await openOperatorDatabase(config, stderrLog);
  try {
    const { lines, data } = await command.run(db, args, options);
    process.stdout.write(
      options.json ? `${JSON.stringify(data)}\n` : lines.map((line) => `${line}\n`).join(''),
    );
  } finally {
    await db.close();
  }
}

function parse(args: string[]) {
  return parseArgs({
    args,
    allowPositionals: true,
    options: {
      id: { type: 'string' },
      name: { type: 'string' },
      recording: { type: 'string' },
      algorithm: { type: 'string' },
      'public-key': { type: 'string' },
      stun: { type: 'string' },
      turn: { type: 'string' },
      'secret-file': { type: 'string' },
      'relay-only': { type: 'string' },
      'credential-seconds': { type: 'string' },
      locale: { type: 'string' },
      file: { type: 'string' },
      voice: { type: 'string' },
      secure: { type: 'string' },
      recordings: { type: 'string' },
      json: { type: 'boolean' },
      config: { type: 'string' },
      data: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
}

async function create(db: OperatorDatabase, _: string[], options: Options): Promise<Answer> {
  const id = needed(options.id, '--id');
  const name = needed(options.name, '--name');
  if (!Value.Check(ExternalId, id)) {
    throw new OperatorError(`--id: expected up to 128 letters, digits or ._~@:+-, got "${id}".`);
  }
  if (name.length > MAX_NAME_CHARACTERS || /\p{Cc}/u.test(name)) {
    throw new OperatorError(`--name: expected up to ${MAX_NAME_CHARACTERS} characters on one line.`);
  }
  const recordingEnabled = options.recording !== undefined && onOff(options.recording);
  // The key is made first: a wrong key file must not leave an app without one.
  const key = await makeKey(db, id, options);
  const app = await insertApp(db, { id, name, recordingEnabled });
  if (app === undefined) throw new OperatorError(`There is an app "${id}" already: choose another --id.`);
  await insertAppKey(db, key.row);
  return {
    lines: [`App "${id}" created, secure calls ${word(recordingEnabled)}.`, ...keyLines(key)],
    data: { ...app, key: keyData(key) },
  };
}

async function list(db: OperatorDatabase): Promise<Answer> {
  const apps = await listApps(db);
  return {
    lines:
      apps.length === 0
        ? ['There are no apps yet: scripts/app create.']
        : apps.map((app) => `${app.id}  "${app.name}"  secure calls ${word(app.recordingEnabled)}`),
    data: apps,
  };
}

async function addKey(db: OperatorDatabase, [id = '']: string[], options: Options): Promise<Answer> {
  await existing(db, id);
  const key = await makeKey(db, id, options);
  await insertAppKey(db, key.row);
  return { lines: keyLines(key), data: keyData(key) };
}

async function listKeys(db: OperatorDatabase, [id = '']: string[]): Promise<Answer> {
  await existing(db, id);
  const keys = (await listAppKeys(db, id)).map(({ kid, algorithm, createdAt, lastUsedAt, revokedAt }) => ({
    kid,
    algorithm,
    createdAt,
    lastUsedAt,
    revokedAt,
  }));
  const state = (revokedAt: Date | null): string =>
    revokedAt === null ? 'in force' : `revoked ${revokedAt.toISOString()}`;
  return {
    lines: keys.map(
      (key) =>
        `${key.kid}  ${key.algorithm}  ${state(key.revokedAt)}, ${key.lastUsedAt === null ? 'never used' : `last used ${key.lastUsedAt.toISOString()}`}`,
    ),
    data: keys,
  };
}

async function revokeKey(db: OperatorDatabase, [id = '', kid = '']: string[]): Promise<Answer> {
  await existing(db, id);
  if (!(await revokeAppKey(db, id, kid))) throw new OperatorError(`The app "${id}" has no key "${kid}".`);
  return { lines: [`Key ${kid} revoked.`], data: { kid, revoked: true } };
}

async function setRecording(db: OperatorDatabase, [state = '', id = '']: string[]): Promise<Answer> {
  const enabled = onOff(state);
  if (!(await setAppRecording(db, id, enabled))) throw noApp(id);
  return {
    lines: [`Secure calls of "${id}" are ${word(enabled)}.`],
    data: { id, recordingEnabled: enabled },
  };
}

async function setOrigins(db: OperatorDatabase, [id = '', ...origins]: string[]): Promise<Answer> {
  for (const origin of origins) {
    if (URL.parse(origin)?.origin !== origin || !/^https?:/.test(origin)) {
      throw new OperatorError(`Expected an origin such as https://chat.example.org, got "${origin}".`);
    }
  }
  if (!(await setAppOrigins(db, id, origins))) throw noApp(id);
  return {
    lines: [
      `Pages of ${origins.length === 0 ? 'no other origin' : origins.join(', ')} may sign in to "${id}".`,
    ],
    data: { id, allowedOrigins: origins },
  };
}

async function setDisclosure(db: OperatorDatabase, [id = '']: string[], options: Options): Promise<Answer> {
  const locale = needed(options.locale, '--locale');
  if (!Value.Check(Locale, locale))
    throw new OperatorError(`--locale: expected one such as en or pt-BR, got "${locale}".`);
  const file = needed(options.file, '--file');
  const body = (file === '-' ? await text(process.stdin) : await readFile(file, 'utf8')).trim();
  if (body.length === 0 || body.length > MAX_DISCLOSURE_CHARACTERS) {
    throw new OperatorError(
      `--file: expected 1 to ${MAX_DISCLOSURE_CHARACTERS} characters of text, got ${body.length}.`,
    );
  }
  await existing(db, id);
  const { version, sha256 } = await addDisclosure(db, { appId: id, locale, body });
  return {
    lines: [`Version ${version} of the ${locale} text of "${id}" is in force (SHA-256 ${sha256}).`],
    data: { id, locale, version, sha256 },
  };
}

async function listTexts(db: OperatorDatabase, [id = '']: string[]): Promise<Answer> {
  await existing(db, id);
  const texts = await listDisclosures(db, id);
  return {
    lines: texts.flatMap(({ locale, version, body }) => [`${locale}, version ${version}:`, body]),
    data: texts,
  };
}

interface MadeKey {
  row: NewAppKey;
  secret?: string;
}

async function makeKey(db: OperatorDatabase, appId: string, options: Options): Promise<MadeKey> {
  const file = options['public-key'];
  const algorithm = options.algorithm;
  if (algorithm !== undefined && !isAlgorithm(algorithm)) {
    throw new OperatorError(`--algorithm: expected ${KEY_ALGORITHMS.join(', ')}, got "${algorithm}".`);
  }
  if (file === undefined) {
    if (algorithm !== undefined && algorithm !== 'HS256') {
      throw new OperatorError(`--algorithm ${algorithm} needs --public-key FILE.`);
    }
    return createSecretKey(appId, db.secrets.sealKey);
  }
  const key = createPublicKey(appId, publicJwkOf(await readFile(file, 'utf8'), file));
  if (algorithm !== undefined && algorithm !== key.row.algorithm) {
    throw new OperatorError(
      `--public-key: ${file} holds a key for ${key.row.algorithm}, not for ${algorithm}.`,
    );
  }
  return key;
}

/** PEM (SPKI) or JWK. A private key is refused, although its public half could be read from it: it should not be here. */
function publicJwkOf(content: string, file: string): { kty: string; d?: string } {
  const refuse = (cause?: unknown): never => {
    throw new OperatorError(`--public-key: expected a public key in PEM or JWK form in ${file}.`, { cause });
  };
  if (content.length > MAX_KEY_FILE_CHARACTERS) return refuse();
  if (/PRIVATE KEY/.test(content)) {
    throw new OperatorError(
      `--public-key: ${file} holds a private key; keep that at the app and give its public half.`,
    );
  }
  try {
    const jwk: unknown = content.trimStart().startsWith('{')
      ? JSON.parse(content)
      : parsePublicKey(content).export({ format: 'jwk' });
    return isJwk(jwk) ? jwk : refuse();
  } catch (error) {
    return error instanceof OperatorError ? refuse(error.cause) : refuse(error);
  }
}

function isJwk(value: unknown): value is { kty: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'kty' in value &&
    Object.values(value).every((member) => typeof member === 'string')
  );
}

function isAlgorithm(value: string): value is KeyAlgorithm {
  return KEY_ALGORITHMS.some((algorithm) => algorithm === value);
}

function keyLines({ row, secret }: MadeKey): string[] {
  return [
    `Key id:  ${row.kid}  (${row.algorithm})`,
    ...(secret === undefined ? [] : [`Secret:  ${secret}`, 'Keep the secret now: it is not shown again.']),
  ];
}

function keyData({ row, secret }: MadeKey): object {
  return { kid: row.kid, algorithm: row.algorithm, ...(secret === undefined ? {} : { secret }) };
}

async function existing(db: OperatorDatabase, id: string): Promise<void> {
  if ((await findApp(db, id)) === undefined) throw noApp(id);
}

function noApp(id: string): OperatorError {
  return new OperatorError(`There is no app "${id}": scripts/app list shows them.`);
}

function needed(value: string | undefined, name: string): string {
  if (!value) throw new OperatorError(`${name} is missing: see scripts/app --help.`);
  return value;
}

function onOff(value: string): boolean {
  if (value !== 'on' && value !== 'off') throw new OperatorError(`Expected on or off, got "${value}".`);
  return value === 'on';
}

function word(enabled: boolean): string {
  return enabled ? 'on' : 'off';
}
