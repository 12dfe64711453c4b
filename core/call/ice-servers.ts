import { createHmac } from 'node:crypto';
import type { IceServer, IceServers } from '#protocol';

/** How browsers find each other in voice calls. */
export interface IceSettings {
  readonly stunUrls: readonly string[];
  readonly turnUrls: readonly string[];
  /** What the relays know too; without it there are no relays. */
  readonly secret?: string;
  readonly credentialSeconds: number;
  /** No direct paths. */
  readonly relayOnly: boolean;
}

/**
 * The ICE servers of one user for one call. The credentials are those of draft-uberti-behave-turn-rest-00, which coturn
 * knows as `use-auth-secret`: the name is when they run out (Unix time) and who they are for, the password is
 * base64(HMAC-SHA1(secret, name)). Relays learn a pseudonym of the user, always the same one, for their quotas.
 */
export function iceServersFor(
  { stunUrls, turnUrls, secret, credentialSeconds, relayOnly }: IceSettings,
  who: { appId: string; userId: string },
  now: Date,
): IceServers {
  const iceServers: IceServer[] = [];
  if (stunUrls.length > 0 && !relayOnly) iceServers.push({ urls: [...stunUrls] });
  if (turnUrls.length > 0 && secret !== undefined) {
    const username = `${Math.floor(now.getTime() / 1_000) + credentialSeconds}:${pseudonym(secret, who)}`;
    const credential = createHmac('sha1', secret).update(username).digest('base64');
    iceServers.push({ urls: [...turnUrls], username, credential });
  }
  return { iceServers, iceTransportPolicy: relayOnly ? 'relay' : 'all' };
}

/** Not to be turned back into the user without the secret. */
function pseudonym(secret: string, { appId, userId }: { appId: string; userId: string }): string {
  return createHmac('sha256', secret).update(`user\0${appId}\0${userId}`).digest('hex').slice(0, 20);
}
