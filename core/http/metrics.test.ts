import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { cookieOf, httpFixture } from './fixture.ts';

const db = await testDatabase(t);
const DASHBOARD = resolve(import.meta.dirname, '../../docs/grafana-dashboard.json');

/** What the dashboard leaves out, and why. */
const NOT_SHOWN: Readonly<Record<string, string>> = {
  verbatim_media_recorder_links: 'says something only to who looks for a fault between hosts',
  verbatim_recorder_packets_total: 'the media workers’ packets are shown, and what a recorder loses',
  verbatim_recorded_seconds_total: 'for a bill, not for a watch',
  verbatim_scrub_bytes: 'follows from the size of the folder',
  verbatim_scrub_seconds: 'the time since the last check is shown',
  nodejs_active_resources: 'says something only to who looks for a leak',
  process_start_time_seconds: 'restarts show in every counter',
};

/** The figures of a scrape by their names: a histogram is one. */
function namesOf(text: string): string[] {
  return [...text.matchAll(/^# TYPE (\S+) \w+$/gm)].flatMap(([, name]) => name ?? []);
}

t.test('F52 whoever asks on this machine, directly, reads the metrics, and nobody else does', async (t) => {
  const { http, url } = await httpFixture(t, db, { trustProxy: ['10.0.0.1'] });
  const live = await fetch(`${url}/metrics`);
  t.equal(live.status, 200);
  t.equal(live.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  t.equal(live.headers.get('cache-control'), 'no-store');
  t.match(await live.text(), /^verbatim_build_info\{version="0\.0\.0",node="v/m);
  const local = { url: '/metrics', headers: { host: '127.0.0.1:4443' } };
  t.equal((await http.inject(local)).statusCode, 200);
  t.equal((await http.inject({ ...local, remoteAddress: '::1' })).statusCode, 200);
  const unknown = (await http.inject({ ...local, url: '/metricz' })).json();
  for (const [what, more] of Object.entries({
    'another machine': { remoteAddress: '192.0.2.7' },
    'a proxy on this machine': { headers: { host: 'localhost', 'x-forwarded-for': '192.0.2.7' } },
    'a proxy that says less': { headers: { host: 'localhost', via: '1.1 front' } },
    'a trusted proxy': {
      remoteAddress: '10.0.0.1',
      headers: { host: 'localhost', 'x-forwarded-for': '127.0.0.1' },
    },
    'a page under another name for this address': { headers: { host: 'rebound.example' } },
  })) {
    const answer = await http.inject({ ...local, ...more });
    t.equal(answer.statusCode, 404, what);
    t.match(
      answer.json(),
      { ...unknown, detail: 'there is no /metrics' },
      `${what} is told as of an unknown path`,
    );
  }
});

t.test('F52 with a token the metrics are for who shows it, from anywhere', async (t) => {
  const token = 'correct.horse-battery_staple';
  const { http, logText } = await httpFixture(t, db, { metricsToken: token });
  const read = (authorization?: string) =>
    http.inject({
      url: '/metrics',
      remoteAddress: '192.0.2.7',
      headers: { host: 'calls.example', ...(authorization === undefined ? {} : { authorization }) },
    });
  t.equal((await read(`Bearer ${token}`)).statusCode, 200);
  for (const wrong of [undefined, 'Bearer ', `Bearer ${token}x`, `Basic ${token}`, 'Bearer x'])
    t.equal((await read(wrong)).statusCode, 401, String(wrong));
  const local = await http.inject({ url: '/metrics', headers: { host: 'localhost' } });
  t.equal(local.statusCode, 401, 'this machine is no exception then');
  t.notMatch(logText(), token);
});

t.test('F52 requests and what is played are counted, and no label names anybody or anything', async (t) => {
  const { http, url, addApp, addRecording } = await httpFixture(t, db);
  const { server, user } = await addApp('counted-app');
  const put = (url: string, payload: object) =>
    http.inject({ method: 'PUT', url, headers: { authorization: server }, payload });
  await put('/v1/users/wilhelmina', { name: 'Wilhelmina' });
  await put('/v1/users/bob', { name: 'Bob' });
  await put('/v1/chats/secret-chat', { kind: 'direct', members: ['wilhelmina', 'bob'] });
  await http.inject('/v1/nowhere/wilhelmina');
  await http.inject({ method: 'PROPFIND' as 'GET', url: '/v1/health' });
  const { id, bytes } = await addRecording({
    appId: 'counted-app',
    chatId: 'secret-chat',
    callerId: 'wilhelmina',
    calleeId: 'bob',
  });
  const granted = await http.inject({
    method: 'POST',
    url: `/v1/recordings/${id}/grants`,
    headers: { authorization: await user('wilhelmina') },
    payload: {},
  });
  const headers = { cookie: cookieOf(granted.headers), range: 'bytes=0-9' };
  await (await fetch(`${url}${granted.json().url}`, { headers })).arrayBuffer();
  const text = await (await fetch(`${url}/metrics`)).text();
  for (const line of [
    'verbatim_http_requests_total{method="PUT",route="/v1/users/:id",status="200"} 2',
    'verbatim_http_requests_total{method="GET",route="none",status="404"} 1',
    'verbatim_http_requests_total{method="GET",route="/media/:grantId",status="206"} 1',
    'verbatim_http_request_seconds_count{method="PUT",route="/v1/users/:id"} 2',
    'verbatim_library_requests_total{disposition="inline",container="webm"} 1',
    'verbatim_library_first_byte_seconds_count{container="webm"} 1',
    'verbatim_library_bytes_total 10',
  ])
    t.ok(text.includes(`${line}\n`), line);
  t.ok(bytes.length > 10);
  for (const secret of ['counted-app', 'wilhelmina', 'secret-chat', id, granted.json().grantId])
    t.notMatch(text.toLowerCase(), secret, `nothing says ${secret}`);
});

t.test(
  'F52 the dashboard asks for figures that there are, and leaves none out without a reason',
  async (t) => {
    const { url } = await httpFixture(t, db);
    const scraped = namesOf(await (await fetch(`${url}/metrics`)).text());
    const dashboard = JSON.parse(await readFile(DASHBOARD, 'utf8'));
    const panels: { title: string; targets?: { expr: string }[] }[] = dashboard.panels;
    const asked = new Set<string>();
    for (const { title, targets = [] } of panels) {
      for (const { expr } of targets) {
        const names = expr.match(/\b(?:verbatim|process|nodejs)_[a-z0-9_]+/g) ?? [];
        t.ok(names.length > 0, `${title}: ${expr}`);
        for (const name of names) {
          const figure = scraped.find((one) =>
            [one, `${one}_bucket`, `${one}_sum`, `${one}_count`].includes(name),
          );
          t.ok(figure, `${title} asks for ${name}`);
          if (figure !== undefined) asked.add(figure);
        }
      }
    }
    t.ok(scraped.length > 50);
    t.strictSame(
      scraped.filter((name) => !asked.has(name)).sort(),
      Object.keys(NOT_SHOWN).sort(),
      'what is not shown has its reason above, and what has a reason is not shown',
    );
  },
);
