import type { Params } from '#protocol';
import { VerbatimError } from '#protocol';
import type { Authenticator } from '../auth/index.ts';
import type { Participant } from '../call/index.ts';

export interface SessionDeps extends Pick<Authenticator, 'verifyUserToken'> {
  /** Origins (`https://chat.example`) whose pages may use this app, besides the server's own. */
  allowedOrigins(appId: string): Promise<readonly string[]>;
}

/** Where the socket came from: the `Origin` header of its upgrade request, and the host it asked for. */
export interface Provenance {
  origin: string | undefined;
  host: string | undefined;
}

/**
 * Turns the parameters of `session.start` into a participant.
 * The origin is checked here and not at the upgrade, because only the token says which app's list counts.
 * @throws VerbatimError `unauthorized`, `token_expired`, `origin_refused`
 */
export async function authenticate(
  deps: SessionDeps,
  { token, device }: Params<'session.start'>,
  from: Provenance,
): Promise<{ who: Participant; expiresAtMs: number; kid: string }> {
  const identity = await deps.verifyUserToken(token);
  if (!isOwnOrigin(from)) {
    const allowed = await deps.allowedOrigins(identity.appId);
    if (!allowed.includes(from.origin ?? '')) {
      throw new VerbatimError(
        'origin_refused',
        `the origin ${JSON.stringify(from.origin)} is not among the allowed origins of this app`,
      );
    }
  }
  const { appId, userId, name, role, picture } = identity;
  const who: Participant = {
    appId,
    userId,
    device,
    name,
    ...(role === undefined ? {} : { role }),
    ...(picture === undefined ? {} : { picture }),
  };
  return { who, expiresAtMs: identity.expiresAtMs, kid: identity.kid };
}

/**
 * A program that is not a browser sends no `Origin`: its token decides alone. Browsers always send one.
 * The scheme is not compared, since TLS usually ends at a proxy in front of this server.
 */
function isOwnOrigin({ origin, host }: Provenance): boolean {
  if (origin === undefined) return true;
  if (host === undefined || !URL.canParse(origin)) return false;
  const page = new URL(origin);
  // Parsing the Host header with the page's scheme drops a default port that only one of the two names.
  const own = `${page.protocol}//${host}`;
  return URL.canParse(own) && new URL(own).host === page.host;
}
