import { createHash, randomUUID } from 'node:crypto';
import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { GRANT_LIMITS } from '../library/index.ts';
import { httpFixture } from './fixture.ts';
import { bytesOf, grantOf, idle, playbackScene } from './playback-fixture.ts';

const db = await testDatabase(t);

t.test('F20 F25 both parties get the very same bytes', async (t) => {
  const fixture = await httpFixture(t, db);
  const { recording, grant } = await playbackScene(fixture);
  for (const who of ['alice', 'bob']) {
    const { url, cookie } = await grant(who);
    const answer = await fetch(fixture.url + url, { headers: { cookie } });
    t.equal(answer.status, 200);
    t.ok((await bytesOf(answer)).equals(recording.bytes), who);
    const sha256 = Buffer.from(recording.sha256, 'hex').toString('base64');
    t.match(Object.fromEntries(answer.headers), {
      'content-type': 'audio/webm; codecs=opus',
      'content-length': String(recording.bytes.length),
      'accept-ranges': 'bytes',
      etag: `"${recording.sha256}"`,
      'repr-digest': `sha-256=:${sha256}:`,
      'cache-control': 'private, no-store',
      'x-content-type-options': 'nosniff',
    });
    t.match(
      answer.headers.get('content-disposition'),
      /^inline; filename="secure-call-[0-9-]+-[0-9a-f]{8}\.webm"$/,
    );
  }
  await idle(fixture);
  t.equal(fixture.library.streams, 0, 'nothing stays open');
});

t.test('F25 a download asks the browser to save the file', async (t) => {
  const fixture = await httpFixture(t, db);
  const { app, recording } = await playbackScene(fixture);
  const { url, cookie } = await grantOf(fixture, app, recording.id, 'bob', { disposition: 'attachment' });
  const answer = await fetch(fixture.url + url, { headers: { cookie } });
  t.match(answer.headers.get('content-disposition'), /^attachment; filename="[\w-]+\.webm"$/);
  t.equal(
    createHash('sha256')
      .update(await bytesOf(answer))
      .digest('hex'),
    recording.sha256,
  );
});

t.test('F25 ranges are served as RFC 9110 says', async (t) => {
  const fixture = await httpFixture(t, db);
  const { recording, grant } = await playbackScene(fixture);
  const { url, cookie } = await grant('alice');
  const { bytes } = recording;
  const size = bytes.length;
  const etag = `"${recording.sha256}"`;
  type Expected = { status: number; first?: number; last?: number; code?: string };
  const whole: Expected = { status: 200, first: 0, last: size - 1 };
  const cases: [string, Record<string, string>, Expected][] = [
    ['the first byte', { range: 'bytes=0-0' }, { status: 206, first: 0, last: 0 }],
    ['the beginning', { range: 'bytes=0-' }, { status: 206, first: 0, last: size - 1 }],
    ['a part across slices', { range: 'bytes=65000-140000' }, { status: 206, first: 65_000, last: 140_000 }],
    ['the last byte', { range: `bytes=${size - 1}-` }, { status: 206, first: size - 1, last: size - 1 }],
    ['the last 100 bytes', { range: 'bytes=-100' }, { status: 206, first: size - 100, last: size - 1 }],
    ['more than there is', { range: 'bytes=100-99999999' }, { status: 206, first: 100, last: size - 1 }],
    ['beyond the end', { range: `bytes=${size}-` }, { status: 416, code: 'range_not_satisfiable' }],
    ['the last no bytes', { range: 'bytes=-0' }, { status: 416, code: 'range_not_satisfiable' }],
    ['several ranges', { range: 'bytes=0-1,5-6' }, whole],
    ['a range that ends before it begins', { range: 'bytes=5-2' }, whole],
    ['words', { range: 'bytes=first-last' }, whole],
    ['another unit', { range: 'seconds=0-1' }, whole],
    ['If-Range with the tag', { range: 'bytes=0-9', 'if-range': etag }, { status: 206, first: 0, last: 9 }],
    ['If-Range with another tag', { range: 'bytes=0-9', 'if-range': '"other"' }, whole],
    ['If-Range with a weak tag', { range: 'bytes=0-9', 'if-range': `W/${etag}` }, whole],
    ['If-Range with a date', { range: 'bytes=0-9', 'if-range': 'Sat, 21 Nov 2026 00:00:00 GMT' }, whole],
    ['If-Range with a range beyond the end', { range: `bytes=${size}-`, 'if-range': '"other"' }, whole],
    ['If-Match with the tag', { 'if-match': etag }, whole],
    ['If-Match with any', { 'if-match': '*' }, whole],
    ['If-Match with another', { 'if-match': '"a", "b"' }, { status: 412, code: 'precondition_failed' }],
    ['If-Match with a weak tag', { 'if-match': `W/${etag}` }, { status: 412, code: 'precondition_failed' }],
    ['If-None-Match with the tag', { 'if-none-match': `"a", ${etag}` }, { status: 304 }],
    ['If-None-Match with the weak tag', { 'if-none-match': `W/${etag}` }, { status: 304 }],
    ['If-None-Match with another', { 'if-none-match': '"a"' }, whole],
  ];
  for (const [what, headers, expected] of cases) {
    const answer = await fetch(fixture.url + url, { headers: { cookie, ...headers } });
    const body = await bytesOf(answer);
    t.equal(answer.status, expected.status, what);
    const { first, last } = expected;
    if (first !== undefined && last !== undefined) {
      t.ok(body.equals(bytes.subarray(first, last + 1)), `${what}: the right bytes`);
      t.equal(answer.headers.get('content-length'), String(last - first + 1), what);
      t.equal(
        answer.headers.get('content-range'),
        answer.status === 206 ? `bytes ${first}-${last}/${size}` : null,
        what,
      );
      t.equal(answer.headers.get('etag'), etag);
    }
    if (expected.status === 416) t.equal(answer.headers.get('content-range'), `bytes */${size}`);
    if (expected.status === 304) t.equal(body.length, 0);
    if (expected.code) t.equal(JSON.parse(body.toString()).code, expected.code, what);
  }
});

t.test('F25 HEAD tells what GET would, without a body', async (t) => {
  const fixture = await httpFixture(t, db);
  const { recording, grant } = await playbackScene(fixture);
  const { url, cookie } = await grant('alice');
  const headers = { cookie, range: 'bytes=0-9' };
  const head = await fetch(fixture.url + url, { method: 'HEAD', headers });
  t.equal(head.status, 200, 'Range counts for GET only');
  t.equal(head.headers.get('content-length'), String(recording.bytes.length));
  t.equal(head.headers.get('etag'), `"${recording.sha256}"`);
  t.equal((await bytesOf(head)).length, 0);
  await idle(fixture);
  t.equal(fixture.library.streams, 0);
});

t.test(
  'F25 a playback address works for its own session only, and every other way answers the same',
  async (t) => {
    const fixture = await httpFixture(t, db);
    const { app, recording, grant } = await playbackScene(fixture);
    const alice = await grant('alice');
    const bob = await grant('bob');
    const elsewhere = await grant('alice');
    const other = await grantOf(fixture, app, recording.id, 'alice', {
      cookie: alice.cookie,
      disposition: 'attachment',
    });
    t.not(elsewhere.cookie, alice.cookie, 'another browser of the same user has another session');
    const url = new URL(fixture.url + alice.url);
    const changed = (edit: (url: URL) => void) => {
      const copy = new URL(url);
      edit(copy);
      return copy.pathname + copy.search;
    };
    const flipped = (name: string) =>
      changed(({ searchParams }) => {
        const value = searchParams.get(name) ?? '';
        const last = value.at(-1) ?? '';
        searchParams.set(name, value.slice(0, -1) + (last === '0' || last === 'A' ? '1' : '0'));
      });
    const otherQuery = new URL(fixture.url + other.url).search;
    const cookieName = alice.cookie.slice(0, alice.cookie.indexOf('='));
    const cases: [string, string, string][] = [
      ['no session', alice.url, ''],
      ['the other party’s session', alice.url, bob.cookie],
      ['the same user in another browser', alice.url, elsewhere.cookie],
      ['an invented session', alice.url, `${cookieName}=${'A'.repeat(43)}`],
      ['a session cookie with one bit changed', alice.url, flipCookie(alice.cookie)],
      ['a session cookie under another name', alice.url, alice.cookie.replace('__Host-', '')],
      ['a changed end', flipped('e'), alice.cookie],
      ['a changed key', flipped('k'), alice.cookie],
      ['a changed signature', flipped('s'), alice.cookie],
      ['no signature', changed(({ searchParams }) => searchParams.delete('s')), alice.cookie],
      ['a further parameter', `${alice.url}&x=1`, alice.cookie],
      ['a parameter twice', `${alice.url}&e=1`, alice.cookie],
      ['the signature of another grant', `/media/${alice.grantId}${otherQuery}`, other.cookie],
      ['another grant’s id', `/media/${bob.grantId}${url.search}`, alice.cookie],
      ['an unknown id', `/media/${randomUUID()}${url.search}`, alice.cookie],
      ['the id in capitals', `/media/${alice.grantId.toUpperCase()}${url.search}`, alice.cookie],
    ];
    const answers = new Set<string>();
    for (const [what, path, cookie] of cases) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await fetch(fixture.url + path, { method, headers: cookie === '' ? {} : { cookie } });
        const body = await answer.text();
        t.equal(answer.status, 403, `${method} ${what}`);
        if (method === 'GET') answers.add(body);
      }
      const good = await fetch(fixture.url + alice.url, {
        headers: { cookie: alice.cookie, range: 'bytes=0-0' },
      });
      t.equal(good.status, 206, `after ${what}`);
      await good.arrayBuffer();
    }
    t.equal(answers.size, 1, 'the answers do not tell the reasons apart');
    t.match([...answers][0], /grant_invalid/);
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      const answer = await fetch(fixture.url + alice.url, { method, headers: { cookie: alice.cookie } });
      t.equal(answer.status, 405, method);
    }
    t.notMatch(fixture.logText(), url.searchParams.get('s') ?? '', 'no signature in the log');
    t.notMatch(fixture.logText(), alice.cookie.split('=')[1] ?? '', 'no session in the log');
    const [, , tokenSignature = ''] = (await app.user('alice')).split('.');
    t.notMatch(fixture.logText(), tokenSignature, 'no user token in the log');
    t.match(fixture.logText(), `/media/${alice.grantId}`, 'but the path');
  },
);

t.test('F25 the first request must come within two minutes', async (t) => {
  const fixture = await httpFixture(t, db);
  const { grant } = await playbackScene(fixture);
  const late = await grant('alice');
  const early = await grant('alice', late.cookie);
  const play = async ({ url, cookie }: { url: string; cookie: string }) => {
    const answer = await fetch(fixture.url + url, { headers: { cookie, range: 'bytes=0-9' } });
    await answer.arrayBuffer();
    return answer.status;
  };
  t.equal(GRANT_LIMITS.firstUseMs, 120_000);
  fixture.clock.nowMs += 119_999;
  t.equal(await play(early), 206);
  fixture.clock.nowMs += 1;
  t.equal(await play(late), 403);
  t.equal(await play(early), 206, 'one that was used in time goes on');
});

t.test('a copied address does not use up the first use', async (t) => {
  const fixture = await httpFixture(t, db);
  const { grant } = await playbackScene(fixture);
  const { url, cookie, grantId } = await grant('alice');
  const bob = await grant('bob');
  await fetch(fixture.url + url, { headers: { cookie: bob.cookie } }).then((answer) => answer.text());
  const rows = await db.sql`select first_used_at from grants where id = ${grantId}`;
  t.equal(rows[0]?.first_used_at, null);
  t.equal((await fetch(fixture.url + url, { method: 'HEAD', headers: { cookie } })).status, 200);
});

t.test('F25 a grant ends after three times the duration and 15 minutes', async (t) => {
  const fixture = await httpFixture(t, db);
  const { grant } = await playbackScene(fixture, { durationMs: 3_600_000 });
  const startMs = fixture.clock.nowMs;
  const { url, cookie, endsAt } = await grant('alice');
  const status = async () => (await fetch(fixture.url + url, { method: 'HEAD', headers: { cookie } })).status;
  const endMs = Date.parse(endsAt);
  t.ok(endMs >= startMs + 3 * 3_600_000 + 900_000 && endMs <= startMs + 3 * 3_600_000 + 901_000, endsAt);
  t.equal(await status(), 200);
  fixture.clock.nowMs = endMs - 10_000;
  t.equal(await status(), 200);
  fixture.clock.nowMs = endMs;
  t.equal(await status(), 403);
});

t.test(
  'the session cookie is bound to this host, hidden from scripts and as narrow as its use',
  async (t) => {
    const fixture = await httpFixture(t, db);
    const { app, recording } = await playbackScene(fixture);
    const cookieFor = async (headers: Record<string, string>) =>
      (await grantOf(fixture, app, recording.id, 'alice', { headers })).setCookie;
    const own = await cookieFor({});
    t.match(own, /^__Host-verbatim-session=[\w-]{43}; Path=\/; Max-Age=\d+; Secure; HttpOnly; SameSite=Lax$/);
    t.equal(
      await cookieFor({ 'sec-fetch-site': 'same-site', origin: 'https://chat.example' }).then(tail),
      tail(own),
    );
    t.match(
      await cookieFor({ 'sec-fetch-site': 'cross-site', origin: 'https://chat.example' }),
      /; Secure; HttpOnly; SameSite=None; Partitioned$/,
    );
    const rows = await db.sql`select token_sha256 from sessions`;
    t.ok(
      rows.every((row) => row.token_sha256.length === 32),
      'only hashes are stored',
    );
  },
);

t.test('a recording that was removed cannot be played with an old address', async (t) => {
  const fixture = await httpFixture(t, db);
  const { recording, grant } = await playbackScene(fixture);
  const { url, cookie } = await grant('alice');
  const status = async () => (await fetch(fixture.url + url, { method: 'HEAD', headers: { cookie } })).status;
  t.equal(await status(), 200);
  await db.sql`update recordings set state = 'removed', reason = 'legal_order' where id = ${recording.id}`;
  t.equal(await status(), 403);
});

function tail(cookie: string): string {
  return cookie.slice(cookie.indexOf('; Secure'));
}

function flipCookie(cookie: string): string {
  const at = cookie.indexOf('=') + 1;
  return cookie.slice(0, at) + (cookie[at] === 'A' ? 'B' : 'A') + cookie.slice(at + 1);
}
