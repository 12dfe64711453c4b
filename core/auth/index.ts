// auth: app keys, user tokens, server API authentication, viewers' sessions and the signatures of playback addresses.
// Not here: routes, headers of answers, who may see which recording (that is core/library).
// Imported by: core/http, core/library, core/signaling, core/app.ts, scripts.
export * from './app-keys.ts';
export * from './apps.ts';
export * from './authenticator.ts';
export * from './demo.ts';
export * from './grant-urls.ts';
export * from './key-ring.ts';
export * from './origins.ts';
export * from './server-tokens.ts';
export * from './sessions.ts';
export { TOKEN_LIMITS } from './token-refusal.ts';
export * from './user-tokens.ts';
