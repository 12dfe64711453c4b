import { EvidenceError, textOf } from './bytes.ts';

/** A JSON object that is read member by member, each with the type that is expected of it. */
export class JsonReader {
  readonly #value: Record<string, unknown>;
  readonly #what: string;

  constructor(value: unknown, what: string) {
    if (!isRecord(value)) throw new EvidenceError(`${what}: expected a JSON object`);
    this.#value = value;
    this.#what = what;
  }

  static parse(bytes: Uint8Array, what: string): JsonReader {
    let value: unknown;
    try {
      value = JSON.parse(textOf(bytes, what));
    } catch (cause) {
      throw new EvidenceError(`${what}: expected JSON`, { cause });
    }
    return new JsonReader(value, what);
  }

  text(name: string): string {
    const value = this.#value[name];
    if (typeof value !== 'string') throw new EvidenceError(`${this.#what}: expected ${name} as text`);
    return value;
  }

  /** Null is no text. */
  textOrNull(name: string): string | null {
    return this.#value[name] === null ? null : this.text(name);
  }

  number(name: string): number {
    const value = this.#value[name];
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      throw new EvidenceError(`${this.#what}: expected ${name} as a whole number`);
    }
    return value;
  }

  object(name: string): JsonReader {
    return new JsonReader(this.#value[name], `${this.#what}, ${name}`);
  }

  objects(name: string): JsonReader[] {
    return this.#list(name).map((item, at) => new JsonReader(item, `${this.#what}, ${name} ${at}`));
  }

  texts(name: string): string[] {
    return this.#list(name).map((item) => {
      if (typeof item !== 'string') throw new EvidenceError(`${this.#what}: expected ${name} as texts`);
      return item;
    });
  }

  #list(name: string): unknown[] {
    const value = this.#value[name];
    if (!Array.isArray(value)) throw new EvidenceError(`${this.#what}: expected ${name} as a list`);
    return value;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
