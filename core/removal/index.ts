// removal: how a recording goes: retention, legal orders, holds against both, and the destruction that they share.
// Not here: who signs in as an admin (core/admins), which folder fits its ledger (core/evidence), what parties see.
// Imported by: core/http, core/app.ts, scripts.
export type { SetHold } from './holds.ts';
export type { OrderRequest } from './orders.ts';
export type { RemovalParts } from './removal.ts';
export { Removal } from './removal.ts';
export type { StepUpAssertion } from './step-up.ts';
export { challengeOf } from './step-up.ts';
