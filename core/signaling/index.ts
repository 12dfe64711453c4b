// signaling: the WebSocket that browsers keep open: sign-in, JSON-RPC method table, presence of devices.
// Not here: what a call may do (core/call), tokens (core/auth), media.
// Imported by: core/app.ts.
export type { SignalingOptions } from './plugin.ts';
export { signaling } from './plugin.ts';
export type { DeviceLink } from './registry.ts';
export { DeviceRegistry } from './registry.ts';
