import type { NotificationName, NotificationParams } from '#protocol';

/** A signed-in device. */
export interface Link {
  readonly userId: string;
  readonly device: string;
  notify<N extends NotificationName>(method: N, params: NotificationParams<N>): void;
  drop(reason: string): void;
}

/** Every device that is signed in. */
export class Links {
  readonly #links = new Set<Link>();

  /** A device that signs in on a newer connection has not left: the older connection is closed. */
  add(link: Link): void {
    const older = this.of(link.userId).find(({ device }) => device === link.device);
    if (older !== undefined) this.#links.delete(older);
    this.#links.add(link);
    older?.drop('replaced');
  }

  /** False for one that is not there (any more). */
  delete(link: Link): boolean {
    return this.#links.delete(link);
  }

  of(userId: string): Link[] {
    return [...this.#links].filter((link) => link.userId === userId);
  }
}
