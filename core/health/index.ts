// health: is every part of this server fit to take a secure call? Asked by operators, load balancers and the canary.
// Not here: how a part works; it is given one question for each part by app.ts.
// Imported by: app.ts.
export type { HealthCheck } from './health.ts';
export { healthOf } from './health.ts';
