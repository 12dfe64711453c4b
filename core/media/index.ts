// media: mediasoup workers, routers and transports: what carries the audio of a call between two browsers and a recorder.
// Not here: who may call whom, consent, and when audio may pass (call); what a recorder does with it (recorder-worker).
// Imported by: call, app.ts. The only room that imports mediasoup.
export type {
  CallMedia,
  CallMediaClosedReason,
  IceState,
  MediaLog,
  MediaOptions,
  MediaServer,
  MediaWorkerStats,
  OfferedConsumer,
  RecorderEndpoint,
  RecorderLegs,
  SrtpKey,
} from './contract.ts';
export { FakeCallMedia, FakeMediaServer } from './fake.ts';
export { createMediaServer } from './workers.ts';
