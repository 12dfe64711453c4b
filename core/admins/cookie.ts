/** `__Host-`: only from this host, only when secure, never set by a neighbouring subdomain (RFC 6265bis §4.1.3.2). */
const NAME = '__Host-verbatim-admin';
const TOKEN = /^[A-Za-z0-9_-]{43}$/;
const MAX_HEADER = 8_192;
/** Strict: no other site's link or form brings it along. */
const SCOPE = 'Path=/; Secure; HttpOnly; SameSite=Strict';

/** The `Set-Cookie` of a session. It ends with the browser, or at the server. */
export function cookieOfAdmin(token: string): string {
  return `${NAME}=${token}; ${SCOPE}`;
}

export function endedAdminCookie(): string {
  return `${NAME}=; Max-Age=0; ${SCOPE}`;
}

/** The token of a `Cookie` header (RFC 6265 §4.2.1). Two cookies of this name are an attack, or at best a mistake. */
export function tokenOfAdmin(header: string | undefined): string | undefined {
  if (header === undefined || header.length > MAX_HEADER) return undefined;
  const found = header
    .split(';')
    .map((pair) => pair.trim().split('=', 2))
    .filter(([name]) => name === NAME);
  const [token] = found.map(([, value = '']) => value);
  return found.length === 1 && token !== undefined && TOKEN.test(token) ? token : undefined;
}
