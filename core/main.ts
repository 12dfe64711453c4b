import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import type { Config, Secrets } from '#config';
import { ConfigError, loadConfig, loadIceSecret, loadMetricsToken, loadSecrets, SecretError } from '#config';
import { VerbatimError } from '#protocol';
import type { App } from './app.ts';
import { buildApp } from './app.ts';

/** Closing takes a moment for each call that runs; past this the process goes all the same: journals recover. */
const CLOSE_MS = 20_000;

/** What a parent process is told over its IPC channel. */
export type DaemonMessage = { type: 'listening'; url: string } | { type: 'failed'; sentence: string };

/** Reads the settings, builds the app, listens; on SIGTERM or SIGINT drains, closes and goes. */
async function main(): Promise<void> {
  const given = settings();
  const { config } = given;
  const log = pino({ name: 'verbatim', level: config.log.level, serializers: { err: plainError } });
  let app: App | undefined;
  let leaving = false;
  const leave = async (why: string, code: number): Promise<void> => {
    if (leaving) return;
    leaving = true;
    log.info({ why }, 'closing');
    setTimeout(() => process.exit(code || 1), CLOSE_MS).unref();
    await app?.close();
    process.exit(code);
  };
  process.on('SIGTERM', () => void leave('SIGTERM', 0));
  process.on('SIGINT', () => void leave('SIGINT', 0));
  // Started by scripts/start, which has a channel to us: when it is gone, nobody is left who could stop us.
  process.on('disconnect', () => void leave('the starting process is gone', 0));
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  app = await buildApp({
    ...given,
    log,
    version: String(version),
    onLost: (sentence) => {
      log.fatal(sentence);
      void leave(sentence, 1);
    },
  });
  if (leaving) return void (await app.close());
  const url = await app.http
    .listen({ host: config.listen.host, port: config.listen.port })
    .catch(async (error) => {
      await app?.close();
      throw error;
    });
  log.info({ url, dataDir: config.dataDir }, 'listening');
  tell({ type: 'listening', url });
}

interface Settings {
  config: Config;
  secrets: Secrets;
  iceSecret?: string;
  metricsToken?: string;
  tls?: { cert: string; key: string };
}

function settings(): Settings {
  const config = loadConfig();
  const iceSecret = loadIceSecret(config.ice);
  const metricsToken = loadMetricsToken(config.metrics);
  const loaded = {
    config,
    secrets: loadSecrets(config.dataDir),
    ...(iceSecret === undefined ? {} : { iceSecret }),
    ...(metricsToken === undefined ? {} : { metricsToken }),
  };
  const { certFile, keyFile } = config.tls;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new ConfigError(['tls.certFile and tls.keyFile belong together: give both or neither']);
  }
  if (certFile === undefined || keyFile === undefined) return loaded;
  return { ...loaded, tls: { cert: pem(certFile), key: pem(keyFile) } };
}

function pem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError([`the file ${path} cannot be read (${codeOf(error)})`], { cause: error });
  }
}

function tell(message: DaemonMessage): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}

/** One sentence for the operator, when this is something an operator can mend; otherwise nothing. */
function sentenceOf(error: unknown): string | undefined {
  if (error instanceof ConfigError || error instanceof SecretError || error instanceof VerbatimError) {
    return error.message;
  }
  const address = error instanceof Error && 'port' in error && 'address' in error ? error : undefined;
  const where = address ? `${String(address.address)}:${String(address.port)}` : 'the address';
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return `${where} is taken by another program: stop it, or set listen.port to a free port.`;
    case 'EADDRNOTAVAIL':
      return `This machine does not have the address of ${where}: correct listen.host.`;
    case 'EACCES':
    case 'EPERM':
      return `Not permitted: ${messageOf(error)}. Run as the user who owns the data folder, or choose a port above 1023.`;
    case 'ENOSPC':
      return `The disk is full: ${messageOf(error)}. Free some space, or set dataDir to another disk.`;
    case 'EROFS':
      return `The disk is read-only: ${messageOf(error)}. Set dataDir to a folder that can be written.`;
    default:
      return undefined;
  }
}

/**
 * What the log keeps of an error. The database drivers hang their whole connection on theirs, with settings that have
 * no business in a log.
 */
function plainError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message, stack, cause } = error;
  return {
    name,
    message,
    code: codeOf(error) || undefined,
    stack,
    ...(cause === undefined ? {} : { cause: plainError(cause) }),
  };
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : '';
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

try {
  await main();
} catch (error) {
  const sentence = sentenceOf(error);
  tell({ type: 'failed', sentence: sentence ?? `The server cannot start: ${messageOf(error)}` });
  if (sentence === undefined) pino({ name: 'verbatim' }).fatal({ err: error }, 'the server cannot start');
  else process.stderr.write(`${sentence}\n`);
  process.exit(1);
}
