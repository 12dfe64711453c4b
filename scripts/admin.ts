import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Config } from '#config';
import { loadConfig } from '#config';
import type { AdminRole } from '#protocol';
import { ADMIN_ROLES } from '#protocol';
import type { AdminRow } from '../core/db/admins.ts';
import { changeAdmin, endAdminSessions, findAdminByLogin, listAdmins } from '../core/db/admins.ts';
import type { Database, Log } from '../core/db/index.ts';
import { inviteLink, recoveryLink, untilText } from './lib/admin-links.ts';
import { openOperatorDatabase } from './lib/operator-database.ts';
import { OperatorError, runCommand } from './lib/operator-error.ts';
import { publicUrlOf } from './lib/public-url.ts';

const HELP = `Usage: scripts/admin COMMAND [OPTIONS]

  list                              who may sign in to the admin console, and with what
  invite [--role ROLE]              prints a one-time link for a new admin: viewer, operator, legal_officer or owner;
                                    owner unless given. Of the links for owners only the newest is good.
  recover LOGIN                     prints a one-time link with which this admin begins anew: another password, no
                                    second factor, signed in nowhere. Their role stays.
  disable LOGIN                     signs them out and lets them in no more
  enable LOGIN

A link is good for one use: an invitation for three days, a recovery for an hour. Hand it over as you would a password.
The console is at /admin/ of the server.

  --json          prints one line of JSON instead
  --config FILE   settings, as for scripts/start
  --data DIR      the data folder, as for scripts/start
`;

const root = resolve(import.meta.dirname, '..');

type Options = ReturnType<typeof parse>['values'];
/** What a command tells: lines for a person, and the same as data. */
interface Answer {
  lines: string[];
  data: unknown;
}

/** Standard output is the answer's alone. */
const say = (_: object, message: string): void => void process.stderr.write(`${message}.\n`);
const stderrLog: Log = { debug: () => undefined, info: say, warn: say, error: say };

type Command = (
  db: Database,
  login: string,
  context: { config: Config; options: Options },
) => Promise<Answer>;
const COMMANDS: Record<string, { takesLogin: boolean; run: Command }> = {
  list: { takesLogin: false, run: list },
  invite: { takesLogin: false, run: invite },
  recover: { takesLogin: true, run: recover },
  disable: { takesLogin: true, run: (db, login) => setDisabled(db, login, true) },
  enable: { takesLogin: true, run: (db, login) => setDisabled(db, login, false) },
};

await runCommand(main);

async function main(argv: string[]): Promise<void> {
  const { values: options, positionals } = parse(argv);
  const [name, ...rest] = positionals;
  if (options.help || name === undefined) {
    process.stdout.write(HELP);
    return;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined)
    throw new OperatorError(`There is no command "${name}": see scripts/admin --help.`);
  const [login = ''] = rest;
  if (rest.length !== (command.takesLogin ? 1 : 0)) {
    throw new OperatorError(
      command.takesLogin
        ? `"${name}" takes the login of one admin: see scripts/admin --help.`
        : `"${name}" takes no arguments, got "${rest.join(' ')}": see scripts/admin --help.`,
    );
  }
  const env = { ...process.env, ...(options.data ? { VERBATIM_DATA_DIR: resolve(options.data) } : {}) };
  const config = loadConfig({ ...(options.config ? { path: resolve(options.config) } : {}), env, cwd: root });
  const db = await openOperatorDatabase(config, stderrLog);
  try {
    const { lines, data } = await command.run(db, login, { config, options });
    process.stdout.write(options.json ? `${JSON.stringify(data)}\n` : `${lines.join('\n')}\n`);
  } finally {
    await db.close();
  }
}

function parse(argv: string[]) {
  return parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      json: { type: 'boolean' },
      config: { type: 'string' },
      data: { type: 'string' },
      role: { type: 'string' },
    },
  });
}

async function list(db: Database): Promise<Answer> {
  const admins = (await listAdmins(db)).map((row) => ({
    login: row.login,
    name: row.name,
    role: row.role,
    factors: factorsOf(row),
    lastSeenAt: row.lastSeenAt?.toISOString() ?? null,
    disabledAt: row.disabledAt?.toISOString() ?? null,
  }));
  const lines = admins.map(({ login, name, role, factors, disabledAt }) =>
    [login.padEnd(20), role.padEnd(14), (disabledAt === null ? factors : 'disabled').padEnd(24), name].join(
      '  ',
    ),
  );
  return {
    lines: lines.length === 0 ? ['There is no admin yet: scripts/admin invite makes a link.'] : lines,
    data: admins,
  };
}

async function invite(
  db: Database,
  _: string,
  { config, options }: { config: Config; options: Options },
): Promise<Answer> {
  const role = roleOf(options.role ?? 'owner');
  const link = await inviteLink(db, publicUrlOf(config), role);
  return {
    lines: [
      `For one new ${role.replace('_', ' ')}, once, until ${untilText(link.expiresAt)}:`,
      `  ${link.url}`,
    ],
    data: { role, ...link },
  };
}

async function recover(db: Database, login: string, { config }: { config: Config }): Promise<Answer> {
  const { id, name } = await adminOf(db, login);
  const link = await recoveryLink(db, publicUrlOf(config), id);
  return {
    lines: [
      `For ${name} (${login}) alone, once, until ${untilText(link.expiresAt)}:`,
      `  ${link.url}`,
      'Until it is used, everything stays as it is.',
    ],
    data: { login, ...link },
  };
}

async function setDisabled(db: Database, login: string, disabled: boolean): Promise<Answer> {
  const { id, name } = await adminOf(db, login);
  const now = new Date();
  if (!(await changeAdmin(db, id, { disabledAt: disabled ? now : null }))) {
    throw new OperatorError(`${name} (${login}) is the last owner: invite another one first.`);
  }
  if (disabled) await endAdminSessions(db, id, {}, now);
  const words = disabled ? 'is signed out, and may not sign in any more' : 'may sign in again';
  return { lines: [`${name} (${login}) ${words}.`], data: { login, disabled } };
}

async function adminOf(db: Database, login: string): Promise<AdminRow> {
  const admin = await findAdminByLogin(db, login);
  if (admin === undefined)
    throw new OperatorError(`There is no admin "${login}": scripts/admin list shows them.`);
  return admin;
}

function roleOf(text: string): AdminRole {
  const role = ADMIN_ROLES.find((each) => each === text);
  if (role === undefined)
    throw new OperatorError(`--role: expected one of ${ADMIN_ROLES.join(', ')}, got "${text}".`);
  return role;
}

function factorsOf({ passkeys, totp }: AdminRow): string {
  const parts = [
    ...(passkeys === 0 ? [] : [passkeys === 1 ? 'a passkey' : `${passkeys} passkeys`]),
    ...(totp ? ['an app'] : []),
  ];
  return parts.length === 0 ? 'no second factor' : parts.join(', ');
}
