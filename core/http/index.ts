// http: the HTTP server: routes under /v1 one file per resource, playback, OpenAPI, errors, static pages.
// Not here: what a request means to a call or a recording (their rooms); tokens and sessions (core/auth).
// Imported by: core/app.ts.
export { buildHttp } from './build.ts';
export type { RouteAuth } from './caller.ts';
export type { HttpApp, HttpDeps, HttpMetrics, HttpSettings } from './deps.ts';
export { HTTP_LIMITS } from './limits.ts';
