import { readFile } from 'node:fs/promises';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { Span, Uuid, VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { isErrno, writeFileDurable } from '#store';

const Hash = Type.String({ pattern: '^[0-9a-f]{64}$' });
const Text = Type.Object({ locale: Type.String(), version: Type.Integer(), text: Type.String() });
const Index = Type.Integer({ minimum: 0 });
const Receipt = Type.Object({ epoch: Type.Integer({ minimum: 1 }), note: Type.String() });
const Journal = Type.Object({ epoch: Type.Integer(), seq: Type.Integer(), head: Type.String() });
const CoverageSchema = Type.Object({
  v: Type.Literal(1),
  recording: Uuid,
  call: Uuid,
  startedAt: Type.String(),
  endedAt: Type.String(),
  durationMs: Type.Integer(),
  legs: Type.Array(
    Type.Object({
      side: Type.Union([Type.Literal('caller'), Type.Literal('callee')]),
      packets: Type.Integer(),
      lost: Type.Integer(),
      duplicates: Type.Integer(),
      unusable: Type.Integer(),
      gaps: Type.Array(Span),
      mutes: Type.Array(Span),
      reconnects: Type.Integer(),
    }),
  ),
  holes: Type.Array(Span),
  reason: Type.Union([Type.String(), Type.Null()]),
  endReason: Type.Union([Type.String(), Type.Null()]),
  truncated: Type.Boolean(),
  combined: Type.Boolean(),
  format: Type.String(),
  journals: Type.Array(Journal),
});

/** `recordings/<id>.evd`: what opens the ledger's commitment of one available recording. FORMAT.md has the words. */
export const Opening = Type.Object({
  v: Type.Literal(1),
  recording: Uuid,
  call: Uuid,
  app: Type.String(),
  chat: Type.String(),
  caller: Type.String(),
  callee: Type.String(),
  sizeBytes: Type.Integer(),
  sha256: Hash,
  sha512: Type.String({ pattern: '^[0-9a-f]{128}$' }),
  crc32: Type.Integer({ minimum: 0, maximum: 0xffffffff }),
  format: Type.String(),
  coverage: CoverageSchema,
  entries: Type.Object({ consentCaller: Index, consentCallee: Index, final: Index }),
  /** The first checkpoint that covers `rec.final`: a signed note. */
  checkpoint: Type.String(),
  /** The last head of each epoch that left the server, as signed notes, oldest epoch first. */
  receipts: Type.Array(Receipt),
  disclosures: Type.Object({ caller: Text, callee: Text }),
  /** The call as a signed vCon: made once, because a later key would make other bytes. */
  vcon: Type.String(),
  /** Names the verifier that a bundle carries; null when the server had none. */
  verifier: Type.Union([Hash, Type.Null()]),
});
export type Opening = Type.Static<typeof Opening>;

/** Texts of 16 KiB twice and a thousand spans are far below it. */
export const MAX_OPENING_BYTES = 4 * 1024 * 1024;

/**
 * Writes it once, durably, and never over another one: the bundle's bytes are fixed from here on. One that stands and is
 * about the same file and entry is kept, since it was written before a crash. Answers the one that counts.
 * @throws VerbatimError `corrupt` when the one that stands is about something else
 */
export async function writeOpening(paths: DataPaths, opening: Opening): Promise<Opening> {
  const standing = await readOpening(paths, opening.recording);
  if (standing === undefined) {
    try {
      await writeFileDurable(paths.evidence(opening.recording), `${JSON.stringify(opening)}\n`, {
        exclusive: true,
      });
      return opening;
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
  }
  const kept = standing ?? (await readOpening(paths, opening.recording));
  const same =
    kept?.recording === opening.recording &&
    kept.sha256 === opening.sha256 &&
    kept.sha512 === opening.sha512 &&
    kept.entries.final === opening.entries.final;
  if (!same || kept === undefined)
    throw new VerbatimError('corrupt', `the opening of ${opening.recording} is about another file or entry`);
  return kept;
}

/** Undefined when there is none. @throws VerbatimError `corrupt` for what is not an opening */
export async function readOpening(paths: DataPaths, recordingId: string): Promise<Opening | undefined> {
  const path = paths.evidence(recordingId);
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  if (bytes.length > MAX_OPENING_BYTES) throw new VerbatimError('corrupt', `${path}: ${bytes.length} bytes`);
  try {
    return parseOpening(bytes);
  } catch (error) {
    throw new VerbatimError('corrupt', `${path}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** Strict about what is needed, silent about what a later version adds. @throws Error */
export function parseOpening(bytes: Buffer): Opening {
  const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  if (!Check(Opening, value)) throw new Error('this is not an opening of version 1');
  return value;
}
