import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Config } from '#config';
import { demoAllowed, loadConfig, loadSecrets } from '#config';
import { hasOwner } from '../core/db/admins.ts';
import type { Log } from '../core/db/index.ts';
import { inviteLink, untilText } from './lib/admin-links.ts';
import { buildClient } from './lib/client-build.ts';
import { Daemon } from './lib/daemon.ts';
import { openOperatorDatabase } from './lib/operator-database.ts';
import { OperatorError, runCommand } from './lib/operator-error.ts';
import { mediaPortProblem, preflight } from './lib/preflight.ts';
import { localUrlOf } from './lib/public-url.ts';
import { ensureMediaWorker } from './media-worker/ensure.ts';

const root = resolve(import.meta.dirname, '..');
const ignore = (): void => undefined;
const silent: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

await runCommand(main);

async function main(argv: string[]): Promise<void> {
  const startedAt = Date.now();
  const env = environmentOf(argv);
  // The environment has it all from here on: the daemon and its children read the same.
  const config = loadConfig({ env, cwd: root });
  const stop = stopOnSignal();

  await preflight(config);
  const portProblem = await mediaPortProblem(config);
  if (portProblem !== undefined) {
    // Ports that somebody wrote down are in a firewall, too; the default ones are as good as any others.
    if (env.VERBATIM_CONFIG || env.VERBATIM_MEDIA_BASE_PORT) throw new OperatorError(portProblem);
    say(`The usual media ports (${config.media.basePort} and up) are taken, so any free ones are used.`);
    env.VERBATIM_MEDIA_BASE_PORT = '0';
  }
  // Made here already, so that a secret that must not be used is told before anything is built.
  loadSecrets(config.dataDir);
  const mediaWorker = await interruptible(
    stop.signal,
    ensureMediaWorker({ log: say, signal: stop.signal, env }),
  );
  await interruptible(stop.signal, buildClient(root, say));
  if (stop.signal.aborted) return;

  say('Starting the server.');
  const daemon = await Daemon.start({
    root,
    env: { ...env, MEDIASOUP_WORKER_BIN: mediaWorker },
    url: localUrlOf(config),
    logFile: join(config.dataDir, 'logs', 'verbatim.log'),
  });
  stop.onAbort((hard) => void daemon.stop({ hard }));
  try {
    const faults = await interruptible(stop.signal, daemon.untilReady(stop.signal));
    if (faults !== undefined) {
      const owner = await ownerLink(config, daemon);
      say(welcome(config, daemon, { tookMs: Date.now() - startedAt, faults, owner }));
    }
    const words = await daemon.ended;
    if (!stop.signal.aborted)
      throw new OperatorError(`Verbatim ended by itself: ${words} Its log is ${daemon.logFile}.`);
  } finally {
    await daemon.stop();
  }
  say('Stopped.');
}

/** The settings of the command line as environment, which wins over a file. */
function environmentOf(args: string[]): NodeJS.ProcessEnv {
  const { values } = parseArgs({
    args,
    options: {
      data: { type: 'string' },
      port: { type: 'string' },
      config: { type: 'string' },
    },
  });
  if (values.port !== undefined && !(/^\d{1,5}$/.test(values.port) && Number(values.port) <= 65_535)) {
    throw new OperatorError(`--port: expected a port from 1 to 65535, got "${values.port}".`);
  }
  const config = values.config ?? process.env.VERBATIM_CONFIG;
  return {
    ...process.env,
    ...(config ? { VERBATIM_CONFIG: resolve(config) } : {}),
    ...(values.data ? { VERBATIM_DATA_DIR: resolve(values.data) } : {}),
    ...(values.port ? { VERBATIM_LISTEN_PORT: values.port } : {}),
    // Who has written no settings is looking around.
    ...(config || process.env.VERBATIM_DEMO_ENABLED ? {} : { VERBATIM_DEMO_ENABLED: 'true' }),
  };
}

interface Stop {
  signal: AbortSignal;
  /** Called with the first signal, and with `hard` at the second. */
  onAbort(action: (hard: boolean) => void): void;
}

function stopOnSignal(): Stop {
  const controller = new AbortController();
  let action: (hard: boolean) => void = () => undefined;
  for (const name of SIGNALS) {
    process.on(name, () => {
      const hard = controller.signal.aborted;
      if (!hard) say('Stopping (once more to stop without waiting).');
      controller.abort();
      action(hard);
    });
  }
  return {
    signal: controller.signal,
    onAbort(next) {
      action = next;
      if (controller.signal.aborted) next(false);
    },
  };
}

/** Waits for the work, and takes its failure for an end when it was asked to stop. */
async function interruptible<T>(signal: AbortSignal, work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

/**
 * The first owner's link, while there is none. The console without an owner is open to nobody; who reads this terminal
 * or the settings may become one.
 */
async function ownerLink(config: Config, daemon: Daemon): Promise<string[]> {
  const db = await openOperatorDatabase(config, silent);
  try {
    if (await hasOwner(db)) return [];
    // What goes into a log is read by others, too.
    if (!process.stdout.isTTY)
      return ['  The admin console has no owner yet: scripts/admin invite prints a link for one.'];
    const { url, expiresAt } = await inviteLink(db, config.publicUrl ?? daemon.url, 'owner');
    return [
      '  The admin console has no owner yet. This link makes one, once:',
      `    ${url}`,
      `    (good until ${untilText(expiresAt)}; scripts/admin invite makes another)`,
    ];
  } finally {
    await db.close();
  }
}

function welcome(
  config: Config,
  daemon: Daemon,
  { tookMs, faults, owner }: { tookMs: number; faults: string[]; owner: string[] },
): string {
  const { logFile } = daemon;
  const url = config.publicUrl ?? daemon.url;
  return [
    `Verbatim runs (started in ${(tookMs / 1000).toFixed(1)} s).`,
    '',
    ...(demoAllowed(config)
      ? [
          '  Open the demo messenger as two people, each in a window of its own:',
          `    Alice  ${url}/demo/?as=alice`,
          `    Bob    ${url}/demo/?as=bob`,
        ]
      : [`  Address  ${url}`]),
    `  Console  ${url}/admin/`,
    ...owner,
    `  Data     ${config.dataDir}`,
    `  Log      ${logFile}`,
    ...faults.map((fault) => `  Not working  ${fault}`),
    '',
    'Ctrl-C stops it.',
  ].join('\n');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
