import type { NotificationName, NotificationParams } from '#protocol';

/** A signed-in device. */
export interface Link {
  readonly userId: string;
  readonly device: string;
  notify<N extends NotificationName>(method: N, params: NotificationParams<N>): void;
}

/** Every device that is signed in. */
export class Links {
  readonly #links = new Set<Link>();

  add(link: Link): void {
    this.#links.add(link);
  }

  delete(link: Link): boolean {
    return this.#links.delete(link);
  }

  of(userId: string): Link[] {
    return [...this.#links].filter((link) => link.userId === userId);
  }
}
