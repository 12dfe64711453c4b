// config: the settings (schema, YAML file, environment) and the server's own generated secrets.
// Not here: what a setting does; the age identity (made by the store).
// Imported by: core, recorder-worker/main.ts and scripts, as #config.
export { demoAllowed } from './demo.ts';
export type { LoadConfigOptions } from './load.ts';
export { ConfigError, loadConfig } from './load.ts';
export type { Config, Setting } from './schema.ts';
export { envNameOf, LOG_LEVELS, SETTINGS } from './schema.ts';
export type { Secrets } from './secrets.ts';
export {
  ensureSecretsDir,
  loadIceSecret,
  loadMetricsToken,
  loadPassword,
  loadSecretFile,
  loadSecrets,
  SecretError,
} from './secrets.ts';
