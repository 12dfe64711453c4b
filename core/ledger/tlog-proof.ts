import { decodeBase64, decodeNumber } from './base64.ts';
import { LedgerError } from './error.ts';
import { HASH_BYTES } from './tree.ts';

const FIRST_LINE = 'c2sp.org/tlog-proof@v1';
const MAX_HASHES = 64;

/** That an entry is in a log, as one text (C2SP tlog-proof). */
export interface TlogProof {
  index: number;
  /** The audit path, deepest first. */
  hashes: Buffer[];
  /** The signed note of the checkpoint that it leads to. */
  checkpoint: string;
}

/** Throws LedgerError for what would not be read back. */
export function formatProof({ index, hashes, checkpoint }: TlogProof): string {
  const path = hashes.map((hash) => `${hash.toString('base64')}\n`).join('');
  const text = `${FIRST_LINE}\nindex ${index}\n${path}\n${checkpoint}`;
  parseProof(text);
  return text;
}

/** Throws LedgerError. Proofs with extra data are refused: this log gives none. The checkpoint is not looked into. */
export function parseProof(text: string): TlogProof {
  const split = text.indexOf('\n\n');
  if (split < 0) throw new LedgerError('expected a proof, an empty line and a checkpoint');
  const [first, index, ...path] = text.slice(0, split).split('\n');
  if (first !== FIRST_LINE) throw new LedgerError(`expected a proof that begins with ${FIRST_LINE}`);
  if (index === undefined || !index.startsWith('index '))
    throw new LedgerError('expected the line "index <number>"');
  if (path.length > MAX_HASHES) throw new LedgerError(`a proof has at most ${MAX_HASHES} hashes`);
  const checkpoint = text.slice(split + 2);
  if (checkpoint === '') throw new LedgerError('the proof holds no checkpoint');
  return {
    index: decodeNumber(index.slice('index '.length), 'index of the proof'),
    hashes: path.map((line, at) => decodeBase64(line, `hash ${at} of the proof`, HASH_BYTES)),
    checkpoint,
  };
}
