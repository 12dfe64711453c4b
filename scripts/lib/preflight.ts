import { createSocket } from 'node:dgram';
import { access, constants, mkdir, readdir, stat, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import type { Config } from '#config';
import { healthAt } from './daemon.ts';
import { OperatorError } from './operator-error.ts';

/** A database, a log and a first call need about this much. */
const NEEDED_BYTES = 256 * 1024 * 1024;

/** Looks before anything starts for what would stop it half-way. @throws OperatorError */
export async function preflight(config: Config): Promise<void> {
  await checkDataDir(config.dataDir);
  await checkHttpPort(config);
}

async function checkDataDir(dir: string): Promise<void> {
  try {
    await makeFolder(dir);
    await access(dir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    const code = codeOf(cause);
    const why =
      code === 'EEXIST' || code === 'ENOTDIR'
        ? `The data folder ${dir} cannot be made, because a file is in its place`
        : code === 'ENOSPC'
          ? `The disk that is to hold the data folder ${dir} is full`
          : `This user may not use the data folder ${dir} (${code === 'EACCES' ? 'permission denied' : code})`;
    throw new OperatorError(`${why}: choose another with --data DIR, or put that right.`, { cause });
  }
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  if (free < NEEDED_BYTES) {
    throw new OperatorError(
      `The disk that holds the data folder ${dir} has only ${megabytes(free)} MB free and ${megabytes(NEEDED_BYTES)} are needed: make room, or choose another with --data DIR.`,
    );
  }
}

/** Not mkdir's own `recursive`: on a file system that takes no folders (/proc, say) that never comes back. */
async function makeFolder(dir: string): Promise<void> {
  if (await stat(dir).catch(() => undefined)) return void (await readdir(dir));
  if (dirname(dir) !== dir) await makeFolder(dirname(dir));
  await mkdir(dir, { mode: 0o700 });
}

async function checkHttpPort({ listen, tls }: Config): Promise<void> {
  const code = await tryTcp(listen.host, listen.port);
  if (code === undefined) return;
  const place = `${listen.host}:${listen.port}`;
  switch (code) {
    case 'EADDRINUSE': {
      const scheme = tls.certFile === undefined ? 'http' : 'https';
      const running = (await healthAt(`${scheme}://${listen.host}:${listen.port}`)) !== undefined;
      throw new OperatorError(
        running
          ? `Verbatim runs already on port ${listen.port}: stop it, or start another one with --port N and --data DIR.`
          : `Another program uses port ${listen.port} on ${listen.host}: stop it, or choose another port with --port N.`,
      );
    }
    case 'EACCES':
      throw new OperatorError(
        `This user may not listen on port ${listen.port}: choose one above 1023 with --port N.`,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      throw new OperatorError(`This machine has no address ${listen.host}: correct listen.host.`);
    default:
      throw new OperatorError(
        `Verbatim cannot listen on ${place} (${code}): correct listen.host and listen.port.`,
      );
  }
}

/** Undefined when the media workers can have their ports, otherwise the sentence that says why not. */
export async function mediaPortProblem({ media }: Config): Promise<string | undefined> {
  if (media.basePort === 0) return undefined;
  const workers = media.workers ?? availableParallelism();
  for (let port = media.basePort; port < media.basePort + workers; port++) {
    const code = (await tryTcp(media.listenIp, port)) ?? (await tryUdp(media.listenIp, port));
    if (code === undefined) continue;
    if (code === 'EADDRNOTAVAIL') {
      return `This machine has no address ${media.listenIp}: correct media.listenIp.`;
    }
    const why = code === 'EADDRINUSE' ? 'another program has it' : code;
    return `The media port ${port} on ${media.listenIp} cannot be used (${why}): stop that program, or set media.basePort (VERBATIM_MEDIA_BASE_PORT) to another port, or to 0 for any.`;
  }
  return undefined;
}

/** The error code of listening there, or undefined when it works. */
function tryTcp(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(codeOf(error)));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

function tryUdp(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.once('error', (error) => {
      socket.close();
      resolve(codeOf(error));
    });
    socket.bind({ address: host, port, exclusive: true }, () => socket.close(() => resolve(undefined)));
  });
}

function megabytes(bytes: number): number {
  return Math.floor(bytes / 1024 / 1024);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}
