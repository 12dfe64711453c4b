import { setImmediate as turn } from 'node:timers/promises';
import type { HttpFixture, TestApp } from './fixture.ts';
import { cookieOf } from './fixture.ts';

let apps = 0;

/** An app with one recording of Alice and Bob, and a way to get grants as a browser would. */
export async function playbackScene(
  fixture: HttpFixture,
  options: { durationMs?: number; bytes?: Buffer } = {},
) {
  apps += 1;
  const app = await fixture.addApp(`playback-${apps}`, ['https://chat.example']);
  const put = (url: string, payload: object) =>
    fixture.http.inject({ method: 'PUT', url, headers: { authorization: app.server }, payload });
  for (const id of ['alice', 'bob', 'mallory']) await put(`/v1/users/${id}`, { name: id });
  await put('/v1/chats/c', { kind: 'direct', members: ['alice', 'bob'] });
  const parties = { chatId: 'c', callerId: 'alice', calleeId: 'bob' };
  const recording = await fixture.addRecording({ appId: app.id, ...parties, ...options });
  return {
    app,
    recording,
    grant: (who: string, cookie?: string) => grantOf(fixture, app, recording.id, who, { cookie }),
  };
}

export async function grantOf(
  fixture: HttpFixture,
  app: TestApp,
  recordingId: string,
  who: string,
  options: {
    cookie?: string | undefined;
    headers?: Record<string, string>;
    disposition?: string;
    format?: string;
  } = {},
) {
  const answer = await fetch(`${fixture.url}/v1/recordings/${recordingId}/grants`, {
    method: 'POST',
    headers: {
      authorization: await app.user(who),
      'content-type': 'application/json',
      ...(options.cookie && { cookie: options.cookie }),
      ...options.headers,
    },
    body: JSON.stringify({ disposition: options.disposition, format: options.format }),
  });
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  const body = (await answer.json()) as {
    grantId: string;
    url: string;
    firstUseBefore: string;
    endsAt: string;
  };
  return { ...body, cookie: cookieOf(answer.headers), setCookie: answer.headers.get('set-cookie') ?? '' };
}

export async function bytesOf(answer: Response): Promise<Buffer> {
  return Buffer.from(await answer.arrayBuffer());
}

/** The streams of earlier requests are closed once their sockets are; a stream that stays shows in the check after. */
export async function idle(fixture: HttpFixture): Promise<void> {
  const giveUpAtMs = Date.now() + 10_000;
  while (fixture.library.streams > 0 && Date.now() < giveUpAtMs) await turn();
}
