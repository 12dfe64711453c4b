// recording: one recording's life from a call's accept to its last state: the queue, arming, loss, recovery.
// Not here: packets and journals' bytes (recorder-worker, store), who may call or listen (call, library).
// Imported by: core/call, core/http, core/app.ts.

export type { QueueSettings } from './backend.ts';
export type { EpochHead, Head, RecorderAddress } from './capture.ts';
export { Capture } from './capture.ts';
export { WorkerChild } from './children.ts';
export type { RecorderInfo } from './known-recorders.ts';
export { RecorderQueue } from './queue.ts';
export type { RecordingServiceOptions } from './service.ts';
export { RecordingService } from './service.ts';
