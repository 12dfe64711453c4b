// db: PostgreSQL — connection, numbered migrations, one file of queries per topic, the embedded server.
// Not here: what a row means to a call, a recording or a token; BullMQ's own tables.
// Imported by: core rooms as design's table allows, recorder-worker/main.ts through core/recording, scripts.
export * from './apps.ts';
export type { Database, DatabaseOptions, Queryable, Sql, TransactionSql } from './database.ts';
export { connectionStates, openDatabase } from './database.ts';
export { directoryOf } from './directory.ts';
export type { EmbeddedPostgres, EmbeddedPostgresOptions } from './embedded.ts';
export { findEmbeddedPostgres, startEmbeddedPostgres } from './embedded.ts';
export * from './library.ts';
export type { HeldLock } from './lock.ts';
export { holdLock } from './lock.ts';
export type { Log } from './log.ts';
export type { RoleBearer } from './policies.ts';
export { permissionsFor, rolePermissions } from './policies.ts';
export { openSealedSecret, sealSecret } from './sealed-secret.ts';
export type { SessionLockOptions } from './session-lock.ts';
export { SessionLock } from './session-lock.ts';
export * from './sessions-grants.ts';
export * from './users-chats.ts';
