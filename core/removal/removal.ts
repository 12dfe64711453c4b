import type { DestroyerParts } from './destroyer.ts';
import { Destroyer } from './destroyer.ts';
import { Holds } from './holds.ts';
import { Orders } from './orders.ts';
import { Retention } from './retention.ts';

export interface RemovalParts extends DestroyerParts {
  /** Both clocks of retention, and the time of orders and holds; for tests. */
  wallMs?: () => number;
  monoMs?: () => number;
  now?: () => Date;
  /** `removal.enabled`: false for deployments that must not carry out legal orders. */
  enabled: boolean;
}

/** The ways by which a recording goes, and what stands against them; all over one destroyer. */
export class Removal {
  readonly holds: Holds;
  readonly orders: Orders;
  readonly retention: Retention;
  readonly #destroyer: Destroyer;

  constructor({ enabled, ...parts }: RemovalParts) {
    const destroyer = new Destroyer(parts);
    this.#destroyer = destroyer;
    this.holds = new Holds(parts);
    this.orders = new Orders({ ...parts, destroyer, enabled });
    this.retention = new Retention({ ...parts, destroyer });
  }

  /** Brings to its end what an earlier run began, and looks after what waits from then on. */
  start(): void {
    this.orders.start();
    this.retention.start();
  }

  /** Idempotent; waits for what is under way. */
  async close(): Promise<void> {
    await Promise.all([this.orders.close(), this.retention.close()]);
    await this.#destroyer.close();
  }
}
