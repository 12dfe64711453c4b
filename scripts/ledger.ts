import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Config } from '#config';
import { loadConfig } from '#config';
import type { LedgerLog, LedgerReading } from '#store';
import { beginAnew, dataPaths, findingText, Ledger, readLedger } from '#store';
import { holdLock } from '../core/db/index.ts';
import { assertDataFolder } from './lib/data-folder.ts';
import { OperatorError, runCommand } from './lib/operator-error.ts';

const HELP = `Usage: scripts/ledger COMMAND [OPTIONS]

  status                          reads and checks the whole ledger
  key                             prints its public keys, oldest first
  rotate-key --reason TEXT        replaces the signing key; the server must be stopped
  accept-head --reason TEXT --confirm ORIGIN
                                  after an older copy of the data folder was restored: enters in the ledger that the
                                  newer entries are lost, and lets it go on; the server must be stopped
  begin-anew --reason TEXT --confirm ORIGIN
                                  when the ledger is damaged or gone and there is no copy to put back: moves what is
                                  left of it aside and begins another one, whose first entry says so and names the
                                  earlier keys. The recordings until now can be played, and prove nothing any more;
                                  the server must be stopped

Nothing secret is printed. What is found is never repaired and nothing is deleted.

  --data-dir DIR  (or --data) the data folder; that of the settings unless given
  --config FILE   settings, as for scripts/start
  --json          prints one line of JSON instead

Ends with 0 when all is well, 1 when something is wrong with the ledger, 2 when there is none or when it could not be
done.
`;

const MAX_REASON_CHARACTERS = 500;
const SHOWN_FINDINGS = 20;

/** As scripts/verify has them. */
const FAULTY = 1;
const UNUSABLE = 2;

const root = resolve(import.meta.dirname, '..');

type Options = ReturnType<typeof parse>['values'];
/** What a command tells: lines for a person, and the same as data. */
interface Answer {
  lines: string[];
  data: unknown;
  wrong?: boolean;
}

/** Standard output is the answer's alone. */
const say = (_: object, message: string): void => void process.stderr.write(`${message}.\n`);
const stderrLog: LedgerLog = { info: say, warn: say, error: say };

const COMMANDS: Record<string, (config: Config, options: Options) => Promise<Answer>> = {
  status,
  key,
  'rotate-key': rotateKey,
  'accept-head': acceptHead,
  'begin-anew': anew,
};

await runCommand(main, { failed: UNUSABLE });

async function main(argv: string[]): Promise<void> {
  const { values: options, positionals } = parse(argv);
  const [name, ...others] = positionals;
  if (options.help || name === undefined) {
    process.stdout.write(HELP);
    return;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined || others.length > 0) {
    throw new OperatorError(`There is no command "${positionals.join(' ')}": see scripts/ledger --help.`);
  }
  const given = options['data-dir'] ?? options.data;
  const env = { ...process.env, ...(given === undefined ? {} : { VERBATIM_DATA_DIR: resolve(given) }) };
  const config = loadConfig({ ...(options.config ? { path: resolve(options.config) } : {}), env, cwd: root });
  const { lines, data, wrong = false } = await command(config, options);
  process.stdout.write(
    options.json ? `${JSON.stringify(data)}\n` : lines.map((line) => `${line}\n`).join(''),
  );
  if (wrong) process.exitCode = FAULTY;
}

function parse(args: string[]) {
  return parseArgs({
    args,
    allowPositionals: true,
    options: {
      reason: { type: 'string' },
      confirm: { type: 'string' },
      json: { type: 'boolean' },
      config: { type: 'string' },
      'data-dir': { type: 'string' },
      // As `start` calls it.
      data: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
}

async function status(config: Config): Promise<Answer> {
  const { origin, listedVkeys, size, root, checkpoint, memory, findings, findingCount } =
    await readAll(config);
  const wrong = findings.map(findingText);
  const data = {
    origin,
    entries: size,
    root: root.toString('hex'),
    published: checkpoint?.size ?? 0,
    signerRemembers: memory?.size ?? null,
    keys: listedVkeys.length,
    sound: findingCount === 0,
    findingCount,
    findings,
  };
  const lines = [
    `Origin:     ${origin ?? 'unknown'}`,
    `Entries:    ${size}, ${checkpoint?.size ?? 0} of them under the published checkpoint`,
    `Root:       ${data.root}`,
    `Signer:     ${memory === undefined ? 'remembers nothing' : `remembers ${memory.size} entries`}`,
    `Keys:       ${listedVkeys.length}`,
    findingCount === 0 ? 'Every entry, tile and signature is right.' : `Wrong:      ${findingCount}`,
    ...wrong.slice(0, SHOWN_FINDINGS).map((text) => `  ${text}`),
  ];
  return { lines, data, wrong: findingCount > 0 };
}

async function key(config: Config): Promise<Answer> {
  const { origin, listedVkeys } = await readAll(config);
  return { lines: [...listedVkeys], data: { origin, vkeys: listedVkeys } };
}

async function rotateKey(config: Config, options: Options): Promise<Answer> {
  const reason = reasonOf(options);
  await readAll(config);
  return alone(config, async () => {
    const ledger = await Ledger.open(ledgerOptions(config));
    try {
      const { state } = ledger;
      if (state.mode === 'read-only')
        throw new OperatorError(`The ledger takes no entries: ${state.problem}.`);
      const { index, old, new: vkey } = await ledger.rotateKey(reason);
      const lines = [`The key was replaced (entry ${index}).`, `Old key:  ${old}`, `New key:  ${vkey}`];
      return { lines, data: { index, old, new: vkey } };
    } finally {
      await ledger.close();
    }
  });
}

async function acceptHead(config: Config, options: Options): Promise<Answer> {
  const reason = reasonOf(options);
  const { origin } = await readAll(config);
  if (options.confirm !== origin) {
    throw new OperatorError(
      `Expected --confirm ${origin}, the origin of this ledger: its newer entries will be given up.`,
    );
  }
  return alone(config, async () => {
    const { lost, now } = await Ledger.acceptHead({ ...ledgerOptions(config), reason });
    const lines = [
      `The ledger goes on from ${now.size} entries; that the signer had signed ${lost.size} is entered.`,
      `Lost head:  ${lost.size} ${lost.root}`,
      `Head now:   ${now.size} ${now.root}`,
    ];
    return { lines, data: { lost, now } };
  });
}

async function anew(config: Config, options: Options): Promise<Answer> {
  const reason = reasonOf(options);
  const { origin = 'unknown' } = await readAll(config);
  if (options.confirm !== origin) {
    throw new OperatorError(
      `Expected --confirm ${origin}, the origin of the ledger that is given up: what it proves of the recordings until now is lost.`,
    );
  }
  return alone(config, async () => {
    const begun = await beginAnew({ ...ledgerOptions(config), reason });
    const lines = [
      'A new ledger is begun. Its first entry says why, and names the keys of the one before.',
      `Origin:  ${begun.origin}`,
      `Key:     ${begun.vkey}`,
      ...begun.moved.map((path) => `Kept as  ${path}`),
    ];
    return { lines, data: begun };
  });
}

/** Holds the folder as the server does, so that the two never write at the same time. */
async function alone(config: Config, act: () => Promise<Answer>): Promise<Answer> {
  const lock = await holdLock(join(config.dataDir, 'daemon.lock'), {
    purpose: 'scripts/ledger',
    what: `The data folder ${config.dataDir}`,
    waitMs: 0,
  });
  try {
    return await act();
  } finally {
    await lock.release();
  }
}

/** Reads the log without changing anything, also beside a running server. */
async function readAll(config: Config): Promise<LedgerReading> {
  await assertDataFolder(config.dataDir);
  const reader = readLedger(dataPaths(config.dataDir), { signerDir: signerDirOf(config), live: true });
  for await (const _ of reader.entries());
  if (!reader.result.exists && reader.result.findingCount === 0) {
    throw new OperatorError(`There is no ledger in ${config.dataDir}: the server makes it when it starts.`);
  }
  return reader.result;
}

function ledgerOptions(config: Config) {
  const { origin } = config.ledger;
  return {
    paths: dataPaths(config.dataDir),
    signerDir: signerDirOf(config),
    version: 'scripts/ledger',
    log: stderrLog,
    onAlarm: (problem: string) => void process.stderr.write(`Note: ${problem}.\n`),
    ...(origin === undefined ? {} : { origin }),
  };
}

function signerDirOf({ ledger, dataDir }: Config): string {
  return ledger.signerDir ?? `${dataDir}.signer`;
}

function reasonOf({ reason = '' }: Options): string {
  if (reason.trim() === '' || reason.length > MAX_REASON_CHARACTERS) {
    throw new OperatorError(
      `--reason: expected a text of 1 to ${MAX_REASON_CHARACTERS} characters; it is entered in the ledger.`,
    );
  }
  return reason;
}
