import { decodeBase64, decodeNumber } from './base64.ts';
import { LedgerError } from './error.ts';
import { RECEIPT_FIRST_LINE } from './receipt.ts';
import { emptyRoot, HASH_BYTES } from './tree.ts';

/** The head of a log, the text of a C2SP tlog-checkpoint. */
export interface Checkpoint {
  /** Which log. */
  origin: string;
  /** How many entries. */
  size: number;
  /** The tree's root over them. */
  root: Buffer;
}

/** Three lines: origin, size, root in base64. */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  const text = `${origin}\n${size}\n${root.toString('base64')}\n`;
  parseCheckpoint(text);
  return text;
}

/** The text of a checkpoint, from which the signatures were taken off. Extension lines are refused: this log has none. */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.split('\n');
  const [origin, size, root, end] = lines;
  if (lines.length !== 4 || end !== '' || !origin || size === undefined || root === undefined) {
    throw new LedgerError('expected a checkpoint of three lines: origin, size, root');
  }
  if (origin === RECEIPT_FIRST_LINE) throw new LedgerError(`no log is called ${origin}`);
  const head = {
    origin,
    size: decodeNumber(size, 'size of the checkpoint'),
    root: decodeBase64(root, 'root of the checkpoint', HASH_BYTES),
  };
  if (head.size === 0 && !head.root.equals(emptyRoot())) {
    throw new LedgerError('the root of a checkpoint of no entries is not that of an empty tree');
  }
  return head;
}
