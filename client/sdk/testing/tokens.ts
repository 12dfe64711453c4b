import { VerbatimClientError } from '../index.ts';

/** The user tokens of a test server: they say whom they speak for and when they run out, and nothing is secret. */
export class TestTokens {
  readonly #lifetimeMs: number;

  constructor(lifetimeMs: number) {
    this.#lifetimeMs = lifetimeMs;
  }

  issue(userId: string): string {
    return `${Date.now() + this.#lifetimeMs}.${userId}`;
  }

  /** @throws VerbatimClientError `unauthorized`, `token_expired` */
  read(token: string): { userId: string; expiresAtMs: number } {
    const [, endsAt, userId] = /^(\d+)\.(.+)$/.exec(token) ?? [];
    if (endsAt === undefined || userId === undefined) throw new VerbatimClientError('unauthorized');
    const expiresAtMs = Number(endsAt);
    if (expiresAtMs <= Date.now()) throw new VerbatimClientError('token_expired');
    return { userId, expiresAtMs };
  }
}
