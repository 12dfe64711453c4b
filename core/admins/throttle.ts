import { isIPv6 } from 'node:net';
import { ADMIN_LIMITS } from './limits.ts';

/**
 * Counts failures by key in a sliding window. Only who fails there waits: the same login goes on from elsewhere, and
 * another login from the same network, up to that network's own limit.
 */
export class Throttle {
  readonly #failures = new Map<string, number[]>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Milliseconds until this key may try again; 0 when it may now. */
  waitMs(key: string, limit: number): number {
    const times = this.#recent(key);
    const oldest = times.at(-limit);
    return oldest === undefined ? 0 : oldest + ADMIN_LIMITS.windowMs - this.#nowMs();
  }

  fail(key: string): void {
    const times = [...this.#recent(key), this.#nowMs()].slice(-ADMIN_LIMITS.failuresPerNetwork);
    // The newest at the end, so that the first one is the one that was quiet longest.
    this.#failures.delete(key);
    this.#failures.set(key, times);
    if (this.#failures.size <= ADMIN_LIMITS.tracked) return;
    for (const quietest of this.#failures.keys()) {
      this.#failures.delete(quietest);
      return;
    }
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  #recent(key: string): number[] {
    const since = this.#nowMs() - ADMIN_LIMITS.windowMs;
    return (this.#failures.get(key) ?? []).filter((at) => at > since);
  }
}

/** Whose failures are counted together: an IPv4 address, or the /64 that one IPv6 customer has (RFC 6177). */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [head = '', tail] = (address.split('%', 1)[0] ?? '').split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros =
    tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  const groups = [...left, ...zeros, ...right]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16));
  return `${groups.join(':')}::/64`;
}
