// verify: checks evidence wherever it is opened: browsers, a page from a file, Node. Web Crypto only.
// Not here: network, storage, the DOM, and no code of the server: it was written apart from core/ledger on purpose.
// Imported by: client/sdk, scripts, and built into the verify.html and verify.mjs of every evidence bundle.
export { MAX_BUNDLE_BYTES, verifyBundle } from './bundle.ts';
export type { Bytes } from './bytes.ts';
export { EvidenceError, fromBase64, fromHex, sha256, toBase64, toHex } from './bytes.ts';
export { foldChain, LIGHT_BLOCK_BYTES, readChain } from './chain.ts';
export { JsonReader } from './json.ts';
export type { Checkpoint, LogKey, Receipt } from './note.ts';
export { openCheckpoint, openKey, openNote, openReceipt, parseCheckpoint, sameHead } from './note.ts';
export type { BundleFacts, BundleReport, Check } from './report.ts';
export type { TlogProof } from './tree.ts';
export { checkConsistency, checkInclusion, leafHash, parseProof } from './tree.ts';
export type { ZipFile } from './zip.ts';
export { readZip } from './zip.ts';
