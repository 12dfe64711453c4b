import { Fingerprints } from './fingerprints.ts';

/** The index that stands for none: more entries than any log holds. */
const NONE = 0xffff_ffff;

/**
 * Which entries belong to which subject, and which ids are taken. It holds numbers and fingerprints only: 4 bytes an
 * entry for the chain, 21 to 43 for its id, as much again for each subject. A million entries of 150,000 subjects
 * take 38 to 46 MB.
 */
export class Subjects {
  readonly #last = new Fingerprints();
  readonly #ids = new Fingerprints();
  /** For each entry the one before it of the same subject. */
  #before = new Uint32Array(1024);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#last.bytes + this.#ids.bytes + this.#before.byteLength;
  }

  /** The subject's newest entry. */
  last(sub: string): number | undefined {
    return this.#last.get(sub);
  }

  /** The entry of this subject with this id. */
  find(sub: string, id: string): number | undefined {
    return this.#ids.get(`${sub}\0${id}`);
  }

  /** The subject's entry before this one. */
  before(index: number): number | undefined {
    const before = this.#before[index];
    return index >= this.#size || before === undefined || before === NONE ? undefined : before;
  }

  /** The next entry of the log. A place without a readable entry is taken by `skip`. */
  add(sub: string, id: string): void {
    const index = this.#size;
    this.#grow(this.#last.get(sub) ?? NONE);
    this.#last.set(sub, index);
    this.#ids.set(`${sub}\0${id}`, index);
  }

  skip(): void {
    this.#grow(NONE);
  }

  #grow(before: number): void {
    if (this.#size === this.#before.length) {
      const old = this.#before;
      this.#before = new Uint32Array(old.length * 2);
      this.#before.set(old);
    }
    this.#before[this.#size] = before;
    this.#size += 1;
  }
}
