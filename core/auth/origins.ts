import type { Database } from '../db/index.ts';
import { listApps } from '../db/index.ts';

/** A change of an app's origins takes effect at most this long after it is committed. */
const FRESH_MS = 2_000;

/**
 * The allowed origins of all apps. A preflight request comes without a token (Fetch standard, CORS-preflight), so
 * it can only be asked whether any app allows its origin; the request itself is held to the list of its own app.
 */
export class Origins {
  readonly #db: Database;
  readonly #nowMs: () => number;
  #loaded: { lists: Promise<Map<string, readonly string[]>>; atMs: number } | undefined;

  constructor(db: Database, nowMs: () => number = Date.now) {
    this.#db = db;
    this.#nowMs = nowMs;
  }

  async ofApp(appId: string): Promise<readonly string[]> {
    return (await this.#lists()).get(appId) ?? [];
  }

  async isKnown(origin: string): Promise<boolean> {
    for (const list of (await this.#lists()).values()) if (list.includes(origin)) return true;
    return false;
  }

  async #lists(): Promise<Map<string, readonly string[]>> {
    const nowMs = this.#nowMs();
    const known = this.#loaded;
    if (known !== undefined && Math.abs(nowMs - known.atMs) < FRESH_MS) return known.lists;
    const loaded = { lists: this.#load(), atMs: nowMs };
    this.#loaded = loaded;
    try {
      return await loaded.lists;
    } catch (error) {
      if (this.#loaded === loaded) this.#loaded = undefined;
      throw error;
    }
  }

  async #load(): Promise<Map<string, readonly string[]>> {
    const apps = await listApps(this.#db);
    return new Map(apps.map((app) => [app.id, app.allowedOrigins]));
  }
}
