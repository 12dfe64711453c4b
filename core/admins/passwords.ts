import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { VerbatimError } from '#protocol';
import { ADMIN_LIMITS } from './limits.ts';

/** What a hash costs: KiB of memory, passes over it, lanes. */
export interface PasswordCost {
  memory: number;
  passes: number;
  parallelism: number;
}

/** RFC 9106 §4, second recommended option in memory (64 MiB, 3 passes), with one lane: hashes run beside calls. */
const COST: PasswordCost = { memory: 65_536, passes: 3, parallelism: 1 };
const SALT_BYTES = 16;
const TAG_BYTES = 32;
/** `$argon2id$v=19$m=65536,t=3,p=1$<salt>$<tag>`, base64 without padding (PHC string format). */
const PHC =
  /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,64})\$([A-Za-z0-9+/]{22,86})$/;

const derive = promisify(argon2);

/** Hashes passwords with argon2id (RFC 9106), a bounded number at a time. */
export class Passwords {
  readonly #cost: PasswordCost;
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  /** What a login without an account is compared with, so that it takes as long as one with. */
  #decoy: Promise<string> | undefined;

  constructor(cost: PasswordCost = COST) {
    this.#cost = cost;
  }

  /** The PHC string of a password. @throws VerbatimError `busy_server` when too many wait already */
  hash(password: string): Promise<string> {
    return this.#inTurn(async () => {
      const nonce = randomBytes(SALT_BYTES);
      const tag = await derive('argon2id', {
        message: normal(password),
        nonce,
        tagLength: TAG_BYTES,
        ...this.#cost,
      });
      const { memory, passes, parallelism } = this.#cost;
      return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${unpadded(nonce)}$${unpadded(tag)}`;
    });
  }

  /**
   * Whether this is the password. Without a hash the answer is no, after the same work.
   * @throws VerbatimError `busy_server` when too many wait already; `corrupt` for a hash of another form
   */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    if (hash === undefined) {
      this.#decoy ??= this.hash(randomBytes(SALT_BYTES).toString('hex'));
      await this.#compare(password, await this.#decoy);
      return false;
    }
    return this.#compare(password, hash);
  }

  #compare(password: string, hash: string): Promise<boolean> {
    const [, memory, passes, parallelism, salt = '', tag = ''] = PHC.exec(hash) ?? [];
    if (memory === undefined)
      throw new VerbatimError('corrupt', 'a stored password hash has an unknown form');
    const wanted = Buffer.from(tag, 'base64');
    return this.#inTurn(async () => {
      const got = await derive('argon2id', {
        message: normal(password),
        nonce: Buffer.from(salt, 'base64'),
        tagLength: wanted.length,
        memory: Number(memory),
        passes: Number(passes),
        parallelism: Number(parallelism),
      });
      return timingSafeEqual(got, wanted);
    });
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= ADMIN_LIMITS.hashesAtOnce) {
      if (this.#waiting.length >= ADMIN_LIMITS.hashesWaiting) {
        throw new VerbatimError('busy_server', 'too many sign-ins at once: try again in a moment');
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await work();
    } finally {
      // The turn goes to the next one, or is given back.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}

/** The same characters typed on another keyboard are the same password (RFC 8265 §4.2.1: NFC). */
function normal(password: string): string {
  return password.normalize('NFC');
}

function unpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replace(/=+$/, '');
}
