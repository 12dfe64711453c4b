import type { NoteVerifier } from '#ledger';
import { LedgerError, openNote, openVerifier, parseCheckpoint } from '#ledger';

/** A signed head: a checkpoint in the C2SP form. */
export interface Head {
  size: number;
  root: Buffer;
  /** The whole signed note. */
  note: string;
  /** Keys that signed it, as verifier keys. */
  signedBy: string[];
}

/** A note larger than this is none of ours: a text of three lines and two signatures. */
export const MAX_NOTE_BYTES = 4096;

/**
 * Reads a signed checkpoint of this log. Every signature on it must be right and by one of these keys: the log's own
 * heads carry no others. Throws LedgerError.
 */
export function readHead(note: string, origin: string, vkeys: readonly string[]): Head {
  const verifiers = new Map<NoteVerifier, string>(vkeys.map((vkey) => [openVerifier(vkey), vkey]));
  const { text, verified } = openNote(note, [...verifiers.keys()]);
  const signatures = note.slice(text.length + 1).split('\n').length - 1;
  if (verified.length !== signatures) {
    throw new LedgerError(
      `expected signatures by the log's keys only, ${verified.length} of ${signatures} are`,
    );
  }
  const head = parseCheckpoint(text);
  if (head.origin !== origin) throw new LedgerError(`is of the log ${head.origin}, expected ${origin}`);
  const signedBy = verified.flatMap((verifier) => verifiers.get(verifier) ?? []);
  return { size: head.size, root: head.root, note, signedBy };
}

/**
 * What a note says that a key signed which nobody here knows: nothing that could be believed, but it is what is left of
 * the memory when a copy of the data was put back that is older than its last key. Undefined when it is no checkpoint
 * of this log.
 */
export function unprovenHead(note: string, origin: string): Head | undefined {
  const text = note.slice(0, note.lastIndexOf('\n\n') + 1);
  try {
    const head = parseCheckpoint(text);
    return head.origin === origin ? { size: head.size, root: head.root, note, signedBy: [] } : undefined;
  } catch (error) {
    if (error instanceof LedgerError) return undefined;
    throw error;
  }
}
