// library: who may see which recording, playback grants, and the bytes of a sealed recording in ranges.
// Not here: HTTP headers and status codes (core/http), sealing (#store), states of a recording (core/recording).
// Imported by: core/http, core/app.ts.
export type { BundleDeps } from './bundle.ts';
export { BundleSource, Bundles } from './bundle.ts';
export { History } from './history.ts';
export type { LibraryDeps } from './library.ts';
export { GRANT_LIMITS, Library } from './library.ts';
export { Listeners } from './listeners.ts';
export type { Playback, SealedSource } from './playback.ts';
export type { RangeAnswer } from './range.ts';
export { answerRange } from './range.ts';
export { Timelines } from './timelines.ts';
export type { Verifier } from './verifiers.ts';
export { Verifiers } from './verifiers.ts';
export { parseVtt, vttOf } from './vtt.ts';
