// ledger: the transparency log as pure functions: entries, Merkle tree, tiles, signed notes, checkpoints, proofs.
// Not here: files, clocks, who may enter what, the writer (core/store) and what is entered about calls (core/evidence).
// Imported by: store, evidence, library, removal, recorder-worker, app.ts, scripts.
export type { Checkpoint } from './checkpoint.ts';
export { formatCheckpoint, parseCheckpoint } from './checkpoint.ts';
export type { Entry, EntryType, Json, JsonObject } from './entry.ts';
export { ENTRY_TYPES, encodeEntry, MAX_ENTRY_BYTES, parseEntry } from './entry.ts';
export { LedgerError } from './error.ts';
export { commitment, mark, partyMark, SALT_BYTES } from './marks.ts';
export type { NoteSigner, NoteVerifier } from './note.ts';
export { generateLogKey, openNote, openSigner, openVerifier, signNote } from './note.ts';
export type { HashReader } from './proofs.ts';
export { consistencyProof, inclusionProof, verifyConsistency, verifyInclusion } from './proofs.ts';
export type { ReceiptFacts } from './receipt.ts';
export { parseReceipt, receiptText } from './receipt.ts';
export type { TilePlace } from './tiles.ts';
export { decodeEntryBundle, encodeEntryBundle, entriesPath, TILE_WIDTH, tilePath, tilesOf } from './tiles.ts';
export type { TlogProof } from './tlog-proof.ts';
export { formatProof, parseProof } from './tlog-proof.ts';
export { emptyRoot, Frontier, HASH_BYTES, leafHash, nodeHash, rootOf } from './tree.ts';
