import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import Value from 'typebox/value';
import { parse, YAMLParseError } from 'yaml';
import type { Config, Setting } from './schema.ts';
import { ConfigSchema, SECTIONS, SETTINGS } from './schema.ts';

/** A configuration that cannot be used. The message names every wrong key and what was expected there. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[], options?: { cause?: unknown }) {
    super(
      problems.length === 1
        ? `The configuration is wrong: ${problems[0]}`
        : `The configuration is wrong:\n${problems.map((problem) => `- ${problem}`).join('\n')}`,
      options,
    );
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

export interface LoadConfigOptions {
  /** The YAML file; without it `VERBATIM_CONFIG` of `env`, and without that no file. */
  path?: string;
  env?: NodeJS.ProcessEnv;
  /** Against which a relative `dataDir` from the environment or the default is resolved. */
  cwd?: string;
}

/** Names of the environment under our prefix that are not settings. */
const OTHER_ENV_NAMES: readonly string[] = ['VERBATIM_CONFIG'];
const ENV_PREFIX = 'VERBATIM_';

/** A value and where it came from, so that a complaint can name the place. */
interface Given {
  value: unknown;
  from: string;
  /** Folder against which a relative path in this value is resolved. */
  base: string;
}

/**
 * Reads the settings: the environment wins over the file, the file over the defaults.
 * Relative paths in the file are relative to the file's folder, others to `cwd`.
 * Throws ConfigError with all problems at once; nothing is corrected silently.
 */
export function loadConfig(options: LoadConfigOptions = {}): Config {
  const env = options.env ?? process.env;
  const cwd = resolve(options.cwd ?? process.cwd());
  const path = options.path ?? (env.VERBATIM_CONFIG || undefined);
  const problems: string[] = [];
  const given = new Map<Setting, Given>();

  if (path !== undefined) readFile(resolve(cwd, path), given, problems);
  readEnv(env, cwd, given, problems);

  const values: Record<string, unknown> = Object.fromEntries(SECTIONS.map((section) => [section, {}]));
  for (const setting of SETTINGS) {
    const value = settle(setting, given.get(setting), cwd, problems);
    if (value === undefined) continue;
    const parent = setting.section === undefined ? values : values[setting.section];
    if (isRecord(parent)) parent[setting.key] = value;
  }
  if (problems.length > 0) throw new ConfigError(problems);

  const config = asConfig(values);
  const conflicts = conflictsOf(config);
  if (conflicts.length > 0) throw new ConfigError(conflicts);
  return config;
}

function readFile(path: string, given: Map<Setting, Given>, problems: string[]): void {
  let document: unknown;
  try {
    document = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const why =
      error instanceof YAMLParseError
        ? `it is not valid YAML: ${(error.message.split('\n')[0] ?? '').replace(/:$/, '')}`
        : readErrorOf(error);
    throw new ConfigError([`the file ${path} cannot be read: ${why}`], { cause: error });
  }
  if (document === null || document === undefined) return;
  if (!isRecord(document)) {
    throw new ConfigError([`the file ${path}: expected keys and values, got ${describe(document)}`]);
  }

  const base = dirname(path);
  const add = (key: string, value: unknown): void => {
    const setting = SETTINGS.find((candidate) => candidate.path === key);
    if (setting === undefined) {
      problems.push(
        `${key}: there is no such key${suggest(
          key,
          SETTINGS.map((row) => row.path),
        )} (in ${path})`,
      );
    } else {
      given.set(setting, { value, from: `in ${path}`, base });
    }
  };
  for (const [name, value] of Object.entries(document)) {
    if (!SECTIONS.includes(name)) {
      add(name, value);
    } else if (isRecord(value)) {
      for (const [key, leaf] of Object.entries(value)) add(`${name}.${key}`, leaf);
    } else if (value !== null) {
      // A section whose keys are all commented out reads as null; that is an empty section.
      problems.push(`${name}: expected a section of keys and values, got ${describe(value)} (in ${path})`);
    }
  }
}

function readEnv(env: NodeJS.ProcessEnv, cwd: string, given: Map<Setting, Given>, problems: string[]): void {
  const known = SETTINGS.map(({ envName }) => envName);
  for (const [name, text] of Object.entries(env)) {
    // An empty variable counts as not given: that is how compose files spell "unset".
    if (!name.startsWith(ENV_PREFIX) || OTHER_ENV_NAMES.includes(name) || !text) continue;
    const setting = SETTINGS.find(({ envName }) => envName === name);
    if (setting === undefined) {
      problems.push(
        `${name}: there is no such setting${suggest(name, known)} (environment names starting with ${ENV_PREFIX} are reserved for settings)`,
      );
    } else {
      given.set(setting, { value: fromText(setting, text), from: `from ${name}`, base: cwd });
    }
  }
}

/** Environment values are text: the schema says what the text means. What does not parse stays text and is refused. */
function fromText({ schema }: Setting, text: string): unknown {
  const type = 'type' in schema ? schema.type : undefined;
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (type === 'integer' || type === 'number') return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  if (type === 'array') return text.split(',').map((item) => item.trim());
  return text;
}

function settle(setting: Setting, given: Given | undefined, cwd: string, problems: string[]): unknown {
  const { schema } = setting;
  if (given !== undefined && !Value.Check(schema, given.value)) {
    const got = schema.secret && typeof given.value === 'string' ? 'something else' : describe(given.value);
    problems.push(`${setting.path}: expected ${schema.expected}, got ${got} (${given.from})`);
    return undefined;
  }
  const value = given === undefined ? setting.default : given.value;
  return schema.path && typeof value === 'string' ? resolve(given?.base ?? cwd, value) : value;
}

function asConfig(values: unknown): Config {
  // Each leaf was checked above; this guards against a schema and a reader that drift apart.
  Value.Assert(ConfigSchema, values);
  return values as Config;
}

/** Settings that are right one by one and wrong together. */
function conflictsOf(config: Config): string[] {
  const conflicts: string[] = [];
  const anyAddress = (ip: string): boolean => ip === '0.0.0.0' || ip === '::';
  if ((config.tls.certFile === undefined) !== (config.tls.keyFile === undefined)) {
    const missing = config.tls.certFile === undefined ? 'tls.certFile' : 'tls.keyFile';
    conflicts.push(`${missing}: expected both tls.certFile and tls.keyFile or neither, got only one`);
  }
  if (anyAddress(config.media.listenIp) && config.media.announcedAddress === undefined) {
    conflicts.push(
      `media.announcedAddress: expected the address that browsers reach this server by, because media.listenIp is ${config.media.listenIp}, got nothing`,
    );
  }
  if (anyAddress(config.recorder.ip) && config.recorder.announcedIp === undefined) {
    conflicts.push(
      `recorder.announcedIp: expected the address that the media workers reach the recorder by, because recorder.ip is ${config.recorder.ip}, got nothing`,
    );
  }
  const { turnUrls, secret, secretFile, relayOnly } = config.ice;
  if (turnUrls.length > 0 && secret === undefined && secretFile === undefined) {
    conflicts.push(
      'ice.secretFile: expected a file with the secret of the relays in ice.turnUrls (or VERBATIM_ICE_SECRET), got nothing',
    );
  }
  if (relayOnly && turnUrls.length === 0) {
    conflicts.push('ice.turnUrls: expected at least one relay, because ice.relayOnly is true, got none');
  }
  const lastPort = config.media.basePort + (config.media.workers ?? 1) - 1;
  if (lastPort > 65_535) {
    conflicts.push(
      `media.basePort: expected room for ${config.media.workers} ports up to 65535, got ${config.media.basePort}`,
    );
  }
  return conflicts;
}

function readErrorOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES') return 'this user may not read it';
  if (code === 'EISDIR') return 'it is a folder';
  return error instanceof Error ? error.message : String(error);
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a section';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** The known name that differs in the fewest letters, when it is close enough to be a slip. */
function suggest(name: string, known: readonly string[]): string {
  const ranked = known
    .map((candidate) => ({ candidate, distance: distanceOf(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= 3 ? `, did you mean ${best.candidate}?` : '';
}

/** Levenshtein distance. */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
