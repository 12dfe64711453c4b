// call: one call's life: who may do what, and when; it alone orders the media and the recording room about.
// Not here: sockets and messages (signaling), RTP (media), journals and files (recording).
// Imported by: signaling, http, app.ts.
export type { IceSettings } from './ice-servers.ts';
export { iceServersFor } from './ice-servers.ts';
export type { CallEffect, CallEvent, CallStatus } from './machine.ts';
export { placeCall, step } from './machine.ts';
export type { CallWatcher, Devices, Participant } from './ports.ts';
export type { CallLimits, CallServiceDeps } from './service.ts';
export { CallService } from './service.ts';
