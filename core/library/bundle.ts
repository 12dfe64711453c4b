import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { openNote, openVerifier, parseCheckpoint } from '#ledger';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { lightChain } from '#store';
import type { Evidence, Opening } from '../evidence/index.ts';
import { coverageBytes } from '../evidence/index.ts';
import { bundleReadme } from './bundle-readme.ts';
import type { SealedSource } from './playback.ts';
import type { Verifiers } from './verifiers.ts';
import type { ZipMember } from './zip.ts';
import { layOutZip } from './zip.ts';

export interface BundleDeps {
  paths: DataPaths;
  evidence: Pick<Evidence, 'reading' | 'salts'>;
  verifiers: Pick<Verifiers, 'read'>;
  openRecording: (recordingId: string) => Promise<SealedSource>;
}

const RECORDING = 'recording.webm';

/**
 * Evidence bundles (F38): a zip of stored files, made on request, and the same bytes whoever asks and whenever. The
 * recording comes last and is decrypted while it is read; everything before it is some hundred kilobytes.
 */
export class Bundles {
  readonly #deps: BundleDeps;

  constructor(deps: BundleDeps) {
    this.#deps = deps;
  }

  /** Recordings of before the ledger have none, and those of a ledger that was given up have none any more. */
  async has(recordingId: string): Promise<boolean> {
    const { reading } = this.#deps.evidence;
    const opening = await reading.opening(recordingId);
    return opening !== undefined && !reading.isGivenUp(opening.checkpoint);
  }

  /** The caller closes what it gets. @throws VerbatimError `no_evidence`, `corrupt` when its parts do not fit */
  async open(recordingId: string): Promise<BundleSource> {
    const opening = await this.#deps.evidence.reading.opening(recordingId);
    if (opening === undefined || this.#deps.evidence.reading.isGivenUp(opening.checkpoint))
      throw new VerbatimError('no_evidence');
    const files = await this.#filesOf(opening);
    const recording = await this.#deps.openRecording(recordingId);
    if (recording.sizeBytes !== opening.sizeBytes) {
      await recording.close();
      throw new VerbatimError('corrupt', `recording ${recordingId} has not the size that its opening says`);
    }
    return new BundleSource(files, { sizeBytes: opening.sizeBytes, crc32: opening.crc32, source: recording });
  }

  /** Everything but the recording, the manifest included, in the order of the zip. */
  async #filesOf(opening: Opening): Promise<BundleFile[]> {
    const { evidence, verifiers, paths } = this.#deps;
    const { recording, entries, checkpoint, receipts, disclosures } = opening;
    const salt = await evidence.salts.read(recording);
    const proofs = await Promise.all(
      ENTRIES.map(async ({ name, of }) => ({
        name,
        ...(await evidence.reading.proven(entries[of], checkpoint)),
      })),
    );
    const chains = [];
    // One after the other: each reads a whole journal.
    for (const { epoch } of opening.coverage.journals) {
      const { header, blocks } = await lightChain(paths.journal(recording, epoch));
      chains.push(file(`chain/epoch-${epoch}`, Buffer.concat([header, blocks])));
    }
    const verifier = opening.verifier === null ? undefined : await verifiers.read(opening.verifier);
    const vkeys = vkeysUntil(
      evidence.reading.vkeys(),
      [checkpoint, ...receipts.map(({ note }) => note)],
      opening.vcon,
    );
    const files = [
      file('opening.json', openingBytes(opening, salt)),
      file('coverage.json', coverageBytes(opening.coverage)),
      file('disclosure-caller.txt', Buffer.from(disclosures.caller.text)),
      file('disclosure-callee.txt', Buffer.from(disclosures.callee.text)),
      ...proofs.map(({ name, bytes }) => file(`entries/${name}.json`, bytes)),
      ...proofs.map(({ name, proof }) => file(`proofs/${name}.tlog-proof`, Buffer.from(proof))),
      file('checkpoint', Buffer.from(checkpoint)),
      file('ledger.vkeys', Buffer.from(vkeys)),
      ...receipts.map(({ epoch, note }) => file(`receipts/epoch-${epoch}`, Buffer.from(note))),
      ...chains,
      file('vcon.json', Buffer.from(opening.vcon)),
      ...(verifier === undefined
        ? []
        : [file('verify.mjs', verifier.mjs), file('verify.html', verifier.html)]),
    ];
    const { origin } = parseCheckpoint(textOf(checkpoint));
    const readme = file(
      'README.txt',
      bundleReadme({ recordingId: recording, origin, verifier: verifier !== undefined }),
    );
    return [readme, manifestOf([readme, ...files], opening), ...files];
  }
}

/** A bundle that is open for reading at any place, like a sealed recording. */
export class BundleSource implements SealedSource {
  readonly sizeBytes: number;
  /** Hex: of the manifest, which names every byte of the bundle. */
  readonly fingerprint: string;
  readonly #parts: { start: number; end: number; bytes?: Buffer }[] = [];
  readonly #recording: SealedSource;

  constructor(
    files: readonly BundleFile[],
    recording: { sizeBytes: number; crc32: number; source: SealedSource },
  ) {
    const members: ZipMember[] = [
      ...files.map(({ name, bytes }) => ({ name, sizeBytes: bytes.length, crc32: crc32(bytes) })),
      { name: RECORDING, sizeBytes: recording.sizeBytes, crc32: recording.crc32 },
    ];
    const { headers, directory, sizeBytes } = layOutZip(members);
    let at = 0;
    const add = (length: number, bytes?: Buffer): void => {
      this.#parts.push({ start: at, end: at + length, ...(bytes === undefined ? {} : { bytes }) });
      at += length;
    };
    for (const [index, header] of headers.entries()) {
      add(header.length, header);
      const content = files[index]?.bytes;
      add(content?.length ?? recording.sizeBytes, content);
    }
    add(directory.length, directory);
    this.sizeBytes = sizeBytes;
    this.#recording = recording.source;
    const manifest = files.find(({ name }) => name === 'manifest.json')?.bytes ?? Buffer.alloc(0);
    this.fingerprint = createHash('sha256').update(manifest).digest('hex');
  }

  /** The bytes from `offset` up to, not including, `end`. */
  stream(offset: number, end: number): Readable {
    return Readable.from(this.#pieces(offset, end), { objectMode: false });
  }

  close(): Promise<void> {
    return this.#recording.close();
  }

  async *#pieces(offset: number, end: number): AsyncGenerator<Buffer, void, void> {
    for (const part of this.#parts) {
      const from = Math.max(offset, part.start) - part.start;
      const to = Math.min(end, part.end) - part.start;
      if (from >= to) continue;
      if (part.bytes !== undefined) yield part.bytes.subarray(from, to);
      else yield* this.#recording.stream(from, to);
    }
  }
}

interface BundleFile {
  name: string;
  bytes: Buffer;
}

const ENTRIES = [
  { name: 'consent-caller', of: 'consentCaller' },
  { name: 'consent-callee', of: 'consentCallee' },
  { name: 'rec-final', of: 'final' },
] as const;

const file = (name: string, bytes: Buffer): BundleFile => ({ name, bytes });

/** What opens the entries: without the salt nobody can tell whose they are. */
function openingBytes(opening: Opening, salt: Buffer): Buffer {
  const { v, recording, call, app, chat, caller, callee, sizeBytes, sha256, sha512, format } = opening;
  const facts = { v, recording, call, app, chat, caller, callee, sizeBytes, sha256, sha512, format };
  return Buffer.from(`${JSON.stringify({ ...facts, salt: salt.toString('hex') }, null, 2)}\n`);
}

function manifestOf(files: readonly BundleFile[], opening: Opening): BundleFile {
  const rows = files.map(({ name, bytes }) => ({
    name,
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  }));
  rows.push({ name: RECORDING, size: opening.sizeBytes, sha256: opening.sha256 });
  const manifest = { v: 1, recording: opening.recording, files: rows };
  return file('manifest.json', Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
}

/** The keys up to the newest one that signed something in here: a key of later would make other bytes. */
function vkeysUntil(all: string, notes: readonly string[], vcon: string): string {
  const vkeys = all.split('\n').slice(0, -1);
  const verifiers = vkeys.map(openVerifier);
  const kid = kidOf(vcon);
  const signers = notes.flatMap((note) => openNote(note, verifiers).verified.map(({ vkey }) => vkey));
  const newest = vkeys.findLastIndex((vkey) => signers.includes(vkey) || vkey.startsWith(`${kid}+`));
  return vkeys
    .slice(0, newest + 1)
    .map((vkey) => `${vkey}\n`)
    .join('');
}

function kidOf(vcon: string): string {
  const jws: unknown = JSON.parse(vcon);
  const [signature]: unknown[] = Object(jws).signatures ?? [];
  const header: unknown = JSON.parse(
    Buffer.from(String(Object(signature).protected), 'base64url').toString(),
  );
  return String(Object(header).kid);
}

/** The text of a signed note. */
function textOf(note: string): string {
  return note.slice(0, note.lastIndexOf('\n\n') + 1);
}
