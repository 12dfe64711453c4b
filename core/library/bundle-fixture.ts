import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import { openSealed } from '#store';
import { readZip } from '../../client/verify/index.ts';
import type { Database } from '../db/index.ts';
import type { MadeCall } from '../evidence/audit-fixture.ts';
import { MadeFolder } from '../evidence/audit-fixture.ts';
import { Bundles } from './bundle.ts';
import { Verifiers } from './verifiers.ts';
import { layOutZip } from './zip.ts';

/** For tests: real recordings with real evidence, and the bundles made of them. */
export class BundleFolder {
  readonly folder: MadeFolder;
  readonly verifiers: Verifiers;
  readonly bundles: Bundles;
  readonly #builtDir: string;

  private constructor(folder: MadeFolder, verifiers: Verifiers, bundles: Bundles, builtDir: string) {
    this.folder = folder;
    this.verifiers = verifiers;
    this.bundles = bundles;
    this.#builtDir = builtDir;
  }

  /** `verifierDir` holds a built verifier; without it a small stand-in is written, whose bytes are all that matters. */
  static async open(db: Database, dir: string, verifierDir?: string): Promise<BundleFolder> {
    const builtDir = verifierDir ?? join(dir, 'built');
    if (verifierDir === undefined) await writeVerifier(builtDir, '1');
    const dataDir = join(dir, 'data');
    let verifiers: Verifiers | undefined;
    const folder = await MadeFolder.open(db, dataDir, {
      verifier: async () => (await verifiers?.keep()) ?? null,
    });
    const { paths, evidence, identity } = folder;
    verifiers = new Verifiers({ paths, builtDir });
    const openRecording = (id: string) => openSealed({ pay: paths.pay(id), hdr: paths.hdr(id), identity });
    const bundles = new Bundles({ paths, evidence, verifiers, openRecording });
    return new BundleFolder(folder, verifiers, bundles, builtDir);
  }

  /** A whole call, of whose journal one head was signed. */
  call(): Promise<MadeCall> {
    return this.folder.call();
  }

  async bundle(recordingId: string): Promise<Buffer<ArrayBuffer>> {
    const source = await this.bundles.open(recordingId);
    try {
      return Buffer.from(await buffer(source.stream(0, source.sizeBytes)));
    } finally {
      await source.close();
    }
  }

  /** The server is upgraded and comes with another verifier. */
  async upgrade(): Promise<void> {
    await writeVerifier(this.#builtDir, '2');
  }

  close(): Promise<void> {
    return this.folder.close();
  }
}

async function writeVerifier(dir: string, version: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'verify.html'), `<!doctype html><title>${version}</title>`);
  await writeFile(join(dir, 'verify.mjs'), `console.log(${version});\n`);
}

/** The files of a bundle by name, in its order. */
export function unpack(zip: Buffer<ArrayBuffer>): Map<string, Buffer> {
  return new Map(readZip(zip).map(({ name, start, end }) => [name, Buffer.from(zip.subarray(start, end))]));
}

/** A zip of these files, with a manifest that fits unless told otherwise: a forger would see to it. */
export function pack(files: ReadonlyMap<string, Buffer>, { manifest = true } = {}): Buffer<ArrayBuffer> {
  const all = new Map(files);
  if (manifest) all.set('manifest.json', manifestOf(all));
  const members = [...all].map(([name, bytes]) => ({ name, sizeBytes: bytes.length, crc32: crc32(bytes) }));
  const { headers, directory } = layOutZip(members);
  const contents = [...all.values()];
  return Buffer.concat([
    ...headers.flatMap((header, at) => [header, contents[at] ?? Buffer.alloc(0)]),
    directory,
  ]);
}

function manifestOf(files: ReadonlyMap<string, Buffer>): Buffer {
  const rows = [...files]
    .filter(([name]) => name !== 'manifest.json')
    .map(([name, bytes]) => ({
      name,
      size: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    }));
  return Buffer.from(JSON.stringify({ v: 1, files: rows }));
}
