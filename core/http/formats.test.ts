import { BufferSource, EncodedPacketSink, Input, MP4, OGG, WEBM } from 'mediabunny';
import t from 'tap';
import { muxedCall } from '../../recorder-worker/test/muxed.ts';
import { testDatabase } from '../db/fixture.ts';
import { httpFixture } from './fixture.ts';
import { bytesOf, grantOf, idle, playbackScene } from './playback-fixture.ts';

/** The same recording as MP4 and Ogg. */

const db = await testDatabase(t);
const webm = muxedCall({ seconds: 30 });

async function packetsOf(bytes: Buffer): Promise<Buffer[]> {
  const input = new Input({ source: new BufferSource(bytes), formats: [WEBM, MP4, OGG] });
  const track = await input.getPrimaryAudioTrack();
  if (track === null) throw new Error('no track');
  const packets: Buffer[] = [];
  for await (const { data } of new EncodedPacketSink(track).packets()) packets.push(Buffer.from(data));
  return packets;
}

t.test(
  'F21 F25 MP4 and Ogg are served under a grant, whole and in ranges, with the same packets',
  async (t) => {
    const fixture = await httpFixture(t, db);
    const { app, recording } = await playbackScene(fixture, { bytes: webm });
    const kept = await packetsOf(webm);
    const tags = new Set([`"${recording.sha256}"`]);
    for (const [format, type, extension] of [
      ['mp4', 'audio/mp4; codecs="opus"', 'm4a'],
      ['ogg', 'audio/ogg; codecs="opus"', 'ogg'],
    ] as const) {
      const { url, cookie } = await grantOf(fixture, app, recording.id, 'alice', {
        format,
        disposition: 'attachment',
      });
      const answer = await fetch(fixture.url + url, { headers: { cookie } });
      const bytes = await bytesOf(answer);
      t.match(Object.fromEntries(answer.headers), {
        'content-type': type,
        'content-length': String(bytes.length),
        'content-disposition': new RegExp(
          `^attachment; filename="secure-call-[0-9-]+-[0-9a-f]{8}\\.${extension}"$`,
        ),
        'accept-ranges': 'bytes',
        'cache-control': 'private, no-store',
      });
      t.notOk(answer.headers.has('repr-digest'), `${format}: nobody has hashed it as a whole`);
      const packets = await packetsOf(bytes);
      t.ok(packets.length === kept.length && packets.every((packet, i) => kept[i]?.equals(packet)), format);

      const etag = String(answer.headers.get('etag'));
      t.notOk(tags.has(etag) || etag.startsWith('W/'), `${format}: a strong tag of its own`);
      tags.add(etag);
      const size = bytes.length;
      const rows: [Record<string, string>, number, number, number][] = [
        [{ range: 'bytes=0-0' }, 206, 0, 0],
        [{ range: `bytes=${size - 7}-` }, 206, size - 7, size - 1],
        [{ range: 'bytes=-100', 'if-range': etag }, 206, size - 100, size - 1],
        [{ range: 'bytes=5000-59999' }, 206, 5_000, 59_999],
        [{ range: 'bytes=0-0', 'if-range': `"${recording.sha256}"` }, 200, 0, size - 1],
      ];
      for (const [headers, status, first, last] of rows) {
        const part = await fetch(fixture.url + url, { headers: { ...headers, cookie } });
        t.equal(part.status, status, `${format} ${JSON.stringify(headers)}`);
        t.ok((await bytesOf(part)).equals(bytes.subarray(first, last + 1)), 'the bytes');
      }
      const past = await fetch(fixture.url + url, { headers: { cookie, range: `bytes=${size}-` } });
      t.equal(past.status, 416);
      t.equal(past.headers.get('content-range'), `bytes */${size}`);
      const head = await fetch(fixture.url + url, { method: 'HEAD', headers: { cookie } });
      t.equal(head.headers.get('content-length'), String(size));
    }
    await idle(fixture);
    t.equal(fixture.library.streams, 0, 'nothing stays open');
  },
);

t.test(
  'F21 a recording with a track for each side has no Ogg form, and says so before it is granted',
  async (t) => {
    const fixture = await httpFixture(t, db);
    const { app, recording } = await playbackScene(fixture, {
      bytes: muxedCall({ seconds: 10, apart: true }),
    });
    await t.rejects(grantOf(fixture, app, recording.id, 'alice', { format: 'ogg' }), {
      message: /^409 .*"format_unavailable"/,
    });
    await t.rejects(grantOf(fixture, app, recording.id, 'alice', { format: 'wav' }), {
      message: /^400 .*"bad_request"/,
    });
    const { url, cookie } = await grantOf(fixture, app, recording.id, 'alice', { format: 'mp4' });
    t.equal((await fetch(fixture.url + url, { headers: { cookie } })).status, 200);
  },
);

t.test('F41 a stream of another format breaks off when the recording goes', async (t) => {
  const fixture = await httpFixture(t, db);
  const { app, recording } = await playbackScene(fixture, { bytes: muxedCall({ seconds: 1_800 }) });
  const { url, cookie } = await grantOf(fixture, app, recording.id, 'alice', { format: 'mp4' });
  const answer = await fetch(fixture.url + url, { headers: { cookie } });
  const reader = answer.body?.getReader();
  await reader?.read();
  await db.sql`update recordings set state = 'removed' where id = ${recording.id}`;
  fixture.library.endRecording(recording.id);
  await t.rejects(
    (async () => {
      while (!(await reader?.read())?.done);
    })(),
    'the rest does not come',
  );
  t.equal((await fetch(fixture.url + url, { headers: { cookie } })).status, 403);
});
