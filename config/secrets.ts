import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Config } from './schema.ts';
import { isIceSecret, isMetricsToken } from './schema.ts';

/** The server's own secrets. They are made on first start and never have a default. */
export interface Secrets {
  /** HMAC-SHA-256 key of playback grants, 32 bytes. */
  grantKey: Buffer;
  /** AES-256-GCM key under which the secrets of apps are stored, 32 bytes. */
  sealKey: Buffer;
  /** Makes the pseudonyms of the access log, 32 bytes. */
  accessNameKey: Buffer;
  /** Password of the embedded PostgreSQL: 43 URL-safe characters. */
  postgresPassword: string;
}

/** A secret file that must not be used. The message says what to do. */
export class SecretError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'SecretError';
  }
}

const KEY_BYTES = 32;
/** No secret of ours is longer; a longer file is not one. */
const MAX_SECRET_BYTES = 4_096;

/** Creates the data folder and `secrets/` in it, both for this user only; answers the path of `secrets/`. */
export function ensureSecretsDir(dataDir: string): string {
  const dir = join(dataDir, 'secrets');
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return dir;
}

/** Reads the secrets, and makes those that are missing. Two processes may do so at once: both get the same. */
export function loadSecrets(dataDir: string): Secrets {
  const dir = ensureSecretsDir(dataDir);
  return {
    grantKey: loadKey(join(dir, 'grant.key')),
    sealKey: loadKey(join(dir, 'seal.key')),
    accessNameKey: loadKey(join(dir, 'access-names.key')),
    postgresPassword: loadPassword(dataDir),
  };
}

/** Only the password of the embedded PostgreSQL. */
export function loadPassword(dataDir: string): string {
  const path = join(ensureSecretsDir(dataDir), 'postgres.password');
  const password = loadSecretFile(path, () => randomBytes(KEY_BYTES).toString('base64url'));
  if (!/^[A-Za-z0-9_-]{43}$/.test(password)) {
    throw new SecretError(
      `The secret file ${path} does not hold a password of 43 characters: restore it from a backup.`,
    );
  }
  return password;
}

/**
 * The secret that relays share with this server, from the setting or from its file; undefined without relays.
 * @throws SecretError when the file is missing, can be read by others, or holds no secret
 */
export function loadIceSecret({ turnUrls, secret, secretFile }: Config['ice']): string | undefined {
  if (turnUrls.length === 0) return undefined;
  if (secret !== undefined) return secret;
  const path = secretFile ?? '';
  const text = readSecret(path);
  if (text === undefined)
    throw new SecretError(
      `The secret file ${path} is missing (ice.secretFile): voice calls need it for their relays.`,
    );
  if (!isIceSecret(text)) {
    throw new SecretError(
      `The secret file ${path} does not hold the secret of a relay: 16 to 256 characters without spaces (ice.secretFile).`,
    );
  }
  return text;
}

/**
 * The token that a monitor has to show; undefined when none is set, which leaves the metrics to this machine alone.
 * @throws SecretError when the file is missing, can be read by others, or holds no token
 */
export function loadMetricsToken({ enabled, tokenFile }: Config['metrics']): string | undefined {
  if (!enabled || tokenFile === undefined) return undefined;
  const text = readSecret(tokenFile);
  if (text === undefined)
    throw new SecretError(`The secret file ${tokenFile} is missing (metrics.tokenFile).`);
  if (!isMetricsToken(text)) {
    throw new SecretError(
      `The secret file ${tokenFile} does not hold a token: 16 to 256 letters, digits and . _ ~ + / = - (metrics.tokenFile).`,
    );
  }
  return text;
}

function loadKey(path: string): Buffer {
  const text = loadSecretFile(path, () => randomBytes(KEY_BYTES).toString('base64'));
  const key = Buffer.from(text, 'base64');
  if (key.length !== KEY_BYTES || key.toString('base64') !== text) {
    throw new SecretError(
      `The secret file ${path} does not hold ${KEY_BYTES} bytes in base64: restore it from a backup.`,
    );
  }
  return key;
}

/**
 * The text of a secret file without its line end. When there is none, `make` gives it and it is created with
 * mode 0600. A file that its group or others can read is refused: its secret may be known already.
 * The name appears only once the content is durable, so a crash leaves no empty secret behind.
 */
export function loadSecretFile(path: string, make: () => string): string {
  return readSecret(path) ?? createSecret(path, make());
}

function readSecret(path: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new SecretError(
      `The secret file ${path} cannot be read (${codeOf(error)}): run as the user who owns it.`,
      {
        cause: error,
      },
    );
  }
  try {
    const { mode, size } = fstatSync(fd);
    if ((mode & 0o077) !== 0) {
      throw new SecretError(
        `The secret file ${path} can be read by other users (mode ${(mode & 0o777).toString(8).padStart(4, '0')}): run "chmod 600 ${path}", and replace the secret if others may have read it.`,
      );
    }
    if (size === 0 || size > MAX_SECRET_BYTES) {
      throw new SecretError(
        `The secret file ${path} has ${size} bytes, which no secret has: restore it from a backup.`,
      );
    }
    const bytes = Buffer.alloc(size);
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, size, 0)).trim();
  } finally {
    closeSync(fd);
  }
}

function createSecret(path: string, secret: string): string {
  const temporary = `${path}.${process.pid}.new`;
  const fd = openSync(
    temporary,
    constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    writeSync(fd, `${secret}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  try {
    // link(2) fails where rename(2) would replace: the first process to get here decides.
    linkSync(temporary, path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  } finally {
    unlinkSync(temporary);
  }
  syncDir(join(path, '..'));
  const stored = readSecret(path);
  if (stored === undefined)
    throw new SecretError(`The secret file ${path} vanished while it was being made.`);
  return stored;
}

function syncDir(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : 'unknown error';
}
