// protocol: the words that processes say to each other: signaling messages, REST bodies, jobs, error codes.
// Not here: behaviour, I/O, anything of Node or the DOM; every file runs in a browser unchanged.
// Imported by: every room.
export * from './admin.ts';
export * from './advice.ts';
export * from './apps.ts';
export * from './demo.ts';
export * from './directory.ts';
export * from './errors.ts';
export * from './history.ts';
export * from './ids.ts';
export * from './jobs.ts';
export * from './listening.ts';
export * from './peer.ts';
export * from './policy.ts';
export * from './rest.ts';
export * from './signaling.ts';
export * from './webhooks.ts';
