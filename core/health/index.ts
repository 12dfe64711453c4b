// health: is every part of this server fit to take a secure call, and how much of everything is there?
// Not here: how a part works; it is given one question for each part by app.ts, and told what happens.
// Imported by: app.ts.

export type { EndedCall } from './figures/calls.ts';
export type { HealthCheck } from './health.ts';
export { healthOf } from './health.ts';
export type { MetricsSources } from './metrics.ts';
export { Metrics } from './metrics.ts';
