import type { CloseReason, NotificationName, NotificationParams } from '#protocol';
import { SIGNALING_LIMITS } from '#protocol';
import type { Devices } from '../call/index.ts';

/** What the registry needs of a connection that has signed in. */
export interface DeviceLink {
  readonly appId: string;
  readonly userId: string;
  readonly device: string;
  /** The key that signed its present token. */
  readonly kid: string;
  notify<N extends NotificationName>(name: N, params: NotificationParams<N>): void;
  /** Tells the client why, then closes the socket. */
  closeWith(reason: CloseReason, message: string): void;
}

/**
 * Which devices of which users are signed in now. A user is online with at least one of them.
 * A device whose socket was lost is not in here any more, even while its call waits for it to come back.
 */
export class DeviceRegistry implements Devices {
  /** User key -> device -> link. Bounded by `maxConnectionsPerUser` times the users who hold a valid token. */
  readonly #users = new Map<string, Map<string, DeviceLink>>();
  readonly #maxPerUser: number;
  /** Keys that were revoked while this server runs: a sign-in that was under way then must not come in after it. */
  readonly #revoked = new Set<string>();

  constructor(maxPerUser: number = SIGNALING_LIMITS.maxConnectionsPerUser) {
    this.#maxPerUser = maxPerUser;
  }

  /**
   * Puts a signed-in connection in the place of its device.
   * Gives back the older connection of the same device, which the caller closes, or `full`.
   */
  add(link: DeviceLink): { replaced?: DeviceLink } | 'full' {
    const key = userKey(link.appId, link.userId);
    const devices = this.#users.get(key) ?? new Map<string, DeviceLink>();
    const replaced = devices.get(link.device);
    if (replaced === undefined && devices.size >= this.#maxPerUser) return 'full';
    devices.set(link.device, link);
    this.#users.set(key, devices);
    return replaced === undefined ? {} : { replaced };
  }

  /** Takes a connection out; false when a newer connection of the same device has taken its place. */
  remove(link: DeviceLink): boolean {
    const key = userKey(link.appId, link.userId);
    const devices = this.#users.get(key);
    if (devices?.get(link.device) !== link) return false;
    devices.delete(link.device);
    if (devices.size === 0) this.#users.delete(key);
    return true;
  }

  online(appId: string, userId: string): boolean {
    return this.#users.has(userKey(appId, userId));
  }

  devicesOf(appId: string, userId: string): string[] {
    return [...(this.#users.get(userKey(appId, userId))?.keys() ?? [])];
  }

  /** Sends to one device or to all devices of a user. A device that is not signed in is told when it returns. */
  notify<N extends NotificationName>(
    appId: string,
    userId: string,
    device: string,
    name: N,
    params: NotificationParams<N>,
  ): void {
    const devices = this.#users.get(userKey(appId, userId));
    if (devices === undefined) return;
    if (device !== 'all') {
      devices.get(device)?.notify(name, params);
      return;
    }
    // A copy: a link that is found too slow leaves the map while it is told.
    for (const link of [...devices.values()]) link.notify(name, params);
  }

  /** The keys that signed the tokens of those who are signed in now. */
  kidsInUse(): string[] {
    const kids = new Set<string>();
    for (const devices of this.#users.values()) for (const { kid } of devices.values()) kids.add(kid);
    return [...kids];
  }

  /** Closes whatever a key let in, now and later. Who gets a token by another key may come back with it. */
  revokeKey(kid: string): void {
    this.#revoked.add(kid);
    for (const devices of [...this.#users.values()])
      for (const link of [...devices.values()]) this.closeRevoked(link);
  }

  /** Closes a link whose key is revoked, also one that has just signed in or renewed its token. */
  closeRevoked(link: DeviceLink): void {
    if (this.#revoked.has(link.kid))
      link.closeWith('token_expired', 'the key of the token was revoked: sign in with a newer one');
  }

  /** Signed-in connections and users, for metrics. */
  get size(): { users: number; connections: number } {
    let connections = 0;
    for (const devices of this.#users.values()) connections += devices.size;
    return { users: this.#users.size, connections };
  }
}

/** The separator cannot occur in an id (protocol, ExternalId), so two users never share a key. */
function userKey(appId: string, userId: string): string {
  return `${appId}\n${userId}`;
}
