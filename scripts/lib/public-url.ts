import type { Config } from '#config';

/** Where this machine reaches the server, without its port when that is one of the settings' own. */
export function localUrlOf({ listen, tls }: Config): string {
  const local = ['127.0.0.1', '::1', 'localhost', '0.0.0.0', '::'].includes(listen.host);
  const host = local ? 'localhost' : listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  return `${tls.certFile === undefined ? 'http' : 'https'}://${host}`;
}

/** Where people reach it, by the settings alone. */
export function publicUrlOf(config: Config): string {
  return config.publicUrl ?? `${localUrlOf(config)}:${config.listen.port}`;
}
