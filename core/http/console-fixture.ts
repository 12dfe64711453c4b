import type { AdminLink, AdminRole, AdminSession, PasskeyChallenge } from '#protocol';
import { SoftwareAuthenticator } from '../admins/fixture.ts';
import { newLink } from '../admins/index.ts';
import type { HttpFixture } from './fixture.ts';

/** Where the console is opened in tests. */
export const CONSOLE_HOST = 'localhost:4443';
export const CONSOLE_ORIGIN = `http://${CONSOLE_HOST}`;
/** Long enough and in no list. */
export const GOOD_PASSWORD = 'seven quiet herons over Tromsø';

export interface ConsoleAnswer<T = unknown> {
  status: number;
  body: T;
  code: string | undefined;
  headers: Record<string, unknown>;
}

/** For tests: a browser at the console, with its cookie and a passkey. */
export class ConsoleBrowser {
  readonly authenticator = new SoftwareAuthenticator();
  readonly #fixture: HttpFixture;
  /** The address that it comes from; the fixture must trust 127.0.0.1 as a proxy. */
  readonly #address: string | undefined;
  cookie: string | undefined;

  constructor(fixture: HttpFixture, address?: string) {
    this.#fixture = fixture;
    this.#address = address;
  }

  async ask<T = unknown>(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: object,
    headers: Record<string, string> = {},
  ): Promise<ConsoleAnswer<T>> {
    const answer = await this.#fixture.http.inject({
      method,
      url: path.startsWith('/') ? path : `/admin/api/${path}`,
      headers: {
        host: CONSOLE_HOST,
        ...(method === 'GET' ? {} : { origin: CONSOLE_ORIGIN }),
        'sec-fetch-site': 'same-origin',
        ...(this.cookie === undefined ? {} : { cookie: this.cookie }),
        ...(this.#address === undefined ? {} : { 'x-forwarded-for': this.#address }),
        ...headers,
      },
      ...(body === undefined ? {} : { payload: body }),
    });
    const set = answer.headers['set-cookie'];
    if (typeof set === 'string') this.cookie = set.split(';', 1)[0];
    const parsed = answer.body === '' ? undefined : answer.json();
    return {
      status: answer.statusCode,
      body: parsed,
      code: parsed?.code,
      headers: answer.headers,
    };
  }

  /** Uses a one-time link and sets up the passkey. */
  async join(link: AdminLink, login: string, password = GOOD_PASSWORD): Promise<AdminSession> {
    const used = await this.ask('POST', 'links/use', { token: link.token, login, name: login, password });
    if (used.status !== 200) throw new Error(`the link was refused: ${JSON.stringify(used.body)}`);
    return this.enrol();
  }

  async enrol(): Promise<AdminSession> {
    const { body: challenge } = await this.ask<PasskeyChallenge>('POST', 'account/passkeys/options');
    const { status, body } = await this.ask<AdminSession>('POST', 'account/passkeys', {
      challengeId: challenge.challengeId,
      answer: this.authenticator.create(challenge, CONSOLE_ORIGIN),
      name: 'key',
    });
    if (status !== 200) throw new Error(`the passkey was refused: ${JSON.stringify(body)}`);
    return body;
  }

  signIn(login: string, password = GOOD_PASSWORD): Promise<ConsoleAnswer<AdminSession>> {
    return this.ask('POST', 'session', { login, password });
  }

  /** The second half of signing in, or a fresh proof. */
  async prove(): Promise<ConsoleAnswer<AdminSession>> {
    const { body: challenge } = await this.ask<PasskeyChallenge>('POST', 'session/passkey/options');
    return this.ask('POST', 'session/passkey', {
      challengeId: challenge.challengeId,
      answer: this.authenticator.get(challenge, CONSOLE_ORIGIN),
    });
  }
}

/** An invitation as the command line makes one. */
export function ownerLink({ db, clock }: HttpFixture, role: AdminRole = 'owner'): Promise<AdminLink> {
  return newLink(db, { purpose: 'invite', role }, { createdBy: null, nowMs: clock.nowMs });
}

/** Somebody who is signed in, freshly proven. */
export async function signedInAs(
  fixture: HttpFixture,
  role: AdminRole,
  login: string,
  address?: string,
): Promise<ConsoleBrowser> {
  const browser = new ConsoleBrowser(fixture, address);
  await browser.join(await ownerLink(fixture, role), login);
  return browser;
}
