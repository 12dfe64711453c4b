import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { isErrno, mkdirDurable, writeFileDurable } from '#store';

/** What checks a bundle without this server: a page and a program, built from client/verify. */
export interface Verifier {
  html: Buffer;
  mjs: Buffer;
}

const NAMES = { html: 'verify.html', mjs: 'verify.mjs' } as const;

/**
 * The verifiers that bundles carry, kept by what they are: a bundle names the one of the day when its recording was
 * finished, so that it stays the same bytes when the server is upgraded.
 */
export class Verifiers {
  readonly #paths: DataPaths;
  readonly #builtDir: string;
  #kept: Promise<string | null> | undefined;

  constructor(options: { paths: DataPaths; builtDir: string }) {
    this.#paths = options.paths;
    this.#builtDir = options.builtDir;
  }

  /** Keeps this server's own, durably, and answers its SHA-256 (hex); null when it was not built. */
  keep(): Promise<string | null> {
    this.#kept ??= this.#keep().catch((error: unknown) => {
      this.#kept = undefined;
      throw error;
    });
    return this.#kept;
  }

  /** @throws VerbatimError `corrupt` when it is not what its name says, `not_found` */
  async read(sha256: string): Promise<Verifier> {
    const dir = join(this.#paths.verifiers, sha256);
    const verifier = await readVerifier(dir);
    if (verifier === undefined) throw new VerbatimError('not_found', `the verifier ${dir} is missing`);
    if (hashOf(verifier) !== sha256) throw new VerbatimError('corrupt', `the verifier ${dir} was changed`);
    return verifier;
  }

  async #keep(): Promise<string | null> {
    const verifier = await readVerifier(this.#builtDir);
    if (verifier === undefined) return null;
    const sha256 = hashOf(verifier);
    const dir = join(this.#paths.verifiers, sha256);
    await mkdirDurable(dir);
    // A crash between the two leaves one; both are written again.
    const there = await readVerifier(dir);
    if (there === undefined || hashOf(there) !== sha256) {
      await writeFileDurable(join(dir, NAMES.html), verifier.html);
      await writeFileDurable(join(dir, NAMES.mjs), verifier.mjs);
    }
    return sha256;
  }
}

async function readVerifier(dir: string): Promise<Verifier | undefined> {
  try {
    const [html, mjs] = await Promise.all([readFile(join(dir, NAMES.html)), readFile(join(dir, NAMES.mjs))]);
    return { html, mjs };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function hashOf({ html, mjs }: Verifier): string {
  const part = (bytes: Buffer) => createHash('sha256').update(bytes).digest();
  return createHash('sha256').update(part(html)).update(part(mjs)).digest('hex');
}
