import { hash, randomBytes } from 'node:crypto';

const MIN_SLOTS = 1024;
/** Filled further, probing gets long. */
const MAX_LOAD = 0.75;
const SLOT_WORDS = 4;
const EMPTY = 0;

/**
 * A map from texts to numbers below 2^32 - 1 that keeps 12 bytes of a keyed SHA-256 for each text instead of the
 * text. 16 bytes a slot; that two of a million texts share a fingerprint has a chance of 10^-17, and nobody can look
 * for such a pair, because the key is made anew by each process.
 */
export class Fingerprints {
  readonly #key = randomBytes(16).toString('hex');
  #slots = new Uint32Array(MIN_SLOTS * SLOT_WORDS);
  #size = 0;
  /** The last one asked for: it is looked up before it is set. */
  #text: string | undefined;
  #printed = new Uint32Array(3);

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#slots.byteLength;
  }

  get(text: string): number | undefined {
    const value = this.#slots[this.#find(this.#print(text)) + 3] ?? EMPTY;
    return value === EMPTY ? undefined : value - 1;
  }

  set(text: string, value: number): void {
    if ((this.#size + 1) * SLOT_WORDS > this.#slots.length * MAX_LOAD) this.#grow();
    this.#put(this.#print(text), value + 1);
  }

  #print(text: string): Uint32Array {
    if (text === this.#text) return this.#printed;
    const digest = hash('sha256', this.#key + text, 'buffer');
    this.#text = text;
    this.#printed = Uint32Array.of(digest.readUInt32LE(0), digest.readUInt32LE(4), digest.readUInt32LE(8));
    return this.#printed;
  }

  /** Where it is, or the free slot where it would be. */
  #find([a = 0, b = 0, c = 0]: Uint32Array): number {
    const slots = this.#slots;
    for (let at = (a * SLOT_WORDS) % slots.length; ; at = (at + SLOT_WORDS) % slots.length) {
      if (slots[at + 3] === EMPTY) return at;
      if (slots[at] === a && slots[at + 1] === b && slots[at + 2] === c) return at;
    }
  }

  #put(print: Uint32Array, value: number): void {
    const at = this.#find(print);
    if (this.#slots[at + 3] === EMPTY) this.#size += 1;
    this.#slots.set(print, at);
    this.#slots[at + 3] = value;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    this.#size = 0;
    for (let at = 0; at < old.length; at += SLOT_WORDS) {
      const value = old[at + 3] ?? EMPTY;
      if (value !== EMPTY) this.#put(old.subarray(at, at + 3), value);
    }
  }
}
