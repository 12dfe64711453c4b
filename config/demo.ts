import type { Config } from './schema.ts';

/**
 * Whether the demo is there: it gives tokens to whoever asks, so it never runs where others can ask. `log` is told when
 * the setting is ignored.
 */
export function demoAllowed(
  { demo, listen: { host } }: Pick<Config, 'demo' | 'listen'>,
  log?: { warn(fields: object, message: string): void },
): boolean {
  if (!demo.enabled) return false;
  if (host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)) return true;
  log?.warn({ host }, 'demo.enabled is ignored: the demo runs only where the server listens on loopback');
  return false;
}
