import type { Page } from 'playwright-core';
import t from 'tap';
import { microphones } from '../test/browser.ts';
import { callView } from '../test/scripted-server.ts';
import type { SdkWindow } from '../test/sdk-page.ts';
import { attempt, event, openSdkStage } from '../test/sdk-page.ts';

/** Microphones and loudspeakers that are chosen, unplugged and plugged in. Chromium's own test devices. */

declare const window: SdkWindow & { replaced: { track: string; before: string }[] };

const { openConnected, script } = await openSdkStage(t);

/** In a call, with a note of what was sent in the place of what, and whether that was still on. */
async function inCall(page: Page): Promise<void> {
  await page.evaluate(() => {
    window.replaced = [];
    const real = RTCRtpSender.prototype.replaceTrack;
    RTCRtpSender.prototype.replaceTrack = async function (track) {
      window.replaced.push({ track: track?.id ?? '', before: this.track?.readyState ?? '' });
      await real.call(this, track);
    };
  });
  await attempt(page, 'startCall');
  await script.next('media.produce');
  script.notify('call.changed', { call: callView({ state: 'active', recording: true }) });
  await event(page, 'call', 'state', 'active');
}

const latest = (page: Page): Promise<{ id?: string; device?: string; state?: string; enabled?: boolean }> =>
  page.evaluate(() => {
    const track = window.micTracks.at(-1);
    const device = track?.getSettings().deviceId;
    return track === undefined
      ? {}
      : { id: track.id, state: track.readyState, enabled: track.enabled, ...(device && { device }) };
  });

const other = (page: Page): Promise<string> =>
  page.evaluate(async () => {
    const { microphones, microphoneId } = await window.client.devices();
    return microphones.find(({ id }) => id !== microphoneId && id !== 'default')?.id ?? '';
  });

const code = (page: Page, act: 'setMicrophone' | 'setSpeaker', id: string): Promise<string> =>
  page.evaluate(
    ([act, id]) =>
      window.client[act](id).then(
        () => 'ok',
        (error: { code: string }) => error.code,
      ),
    [act, id] as const,
  );

/** As when somebody pulls the plug: the browser ends the track and says so. */
const unplug = (page: Page): Promise<void> =>
  page.evaluate(() => {
    const track = window.micTracks.at(-1);
    track?.stop();
    track?.dispatchEvent(new Event('ended'));
  });

const microphonesAreThere = (page: Page, there: boolean): Promise<void> =>
  page.evaluate((there) => {
    const media = navigator.mediaDevices;
    if (there) Reflect.deleteProperty(media, 'getUserMedia');
    else media.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError'));
  }, there);

t.test('F8 the devices of this machine are listed by name, and which one the call uses', async (t) => {
  const page = await openConnected(t);
  await inCall(page);
  const devices = await page.evaluate(() => window.client.devices());
  t.ok(devices.microphones.length > 1, `${devices.microphones.length} microphones`);
  t.ok(devices.microphones.every(({ id, label }) => id !== '' && label !== ''));
  t.ok(devices.speakers.length > 0);
  t.equal(devices.speakerSelectable, true);
  t.equal(devices.microphoneId, (await latest(page)).device);
  t.notOk('speakerId' in devices);
});

t.test('F8 another microphone is taken in mid-call while the old one is still on', async (t) => {
  const page = await openConnected(t);
  await inCall(page);
  await page.evaluate(() => window.client.mute());
  const id = await other(page);
  t.equal(await code(page, 'setMicrophone', id), 'ok');
  const now = await latest(page);
  t.match(now, { device: id, state: 'live', enabled: false }, 'as silent as the one before');
  t.strictSame(await microphones(page), ['ended', 'live']);
  t.strictSame(
    await page.evaluate(() => window.replaced),
    [{ track: now.id, before: 'live' }],
    'there was no moment without a microphone',
  );
  t.match(await event(page, 'devices', 'microphoneId', id), { microphoneId: id });
  t.equal(await page.evaluate(() => window.client.call?.state), 'active');
  await page.evaluate(() => window.client.hangup());
  t.strictSame(await microphones(page), ['ended', 'ended']);

  await attempt(page, 'startCall');
  t.equal((await latest(page)).device, id, 'the next call uses it too');
});

t.test('F8 of two choices in a row the last one counts', async (t) => {
  const page = await openConnected(t);
  await inCall(page);
  const first = (await latest(page)).device ?? '';
  const second = await other(page);
  await page.evaluate(
    ([first, second]) =>
      Promise.all([window.client.setMicrophone(second), window.client.setMicrophone(first)]),
    [first, second] as const,
  );
  t.match(await latest(page), { device: first, state: 'live' });
  t.strictSame(await microphones(page), ['ended', 'ended', 'live']);
});

t.test('F8 a microphone that is not there is refused, and the call keeps the one it has', async (t) => {
  const page = await openConnected(t);
  await inCall(page);
  t.equal(await code(page, 'setMicrophone', 'no-such-device'), 'microphone_missing');
  t.strictSame(await microphones(page), ['live']);
  t.equal((await page.evaluate(() => window.client.devices())).microphoneId, (await latest(page)).device);
});

t.test('F13 a chosen microphone that is gone when a call begins is replaced by another', async (t) => {
  const page = await openConnected(t);
  t.equal(await code(page, 'setMicrophone', 'left-at-home'), 'ok', 'not in a call, it is a wish');
  t.equal(await attempt(page, 'startCall'), 'ok');
  t.strictSame(await microphones(page), ['live']);
});

t.test('F13 an unplugged microphone is replaced by another one, and the call goes on', async (t) => {
  const page = await openConnected(t);
  await inCall(page);
  await unplug(page);
  t.match(await event(page, 'trouble', 'code', 'microphone_replaced'), {});
  t.strictSame(await microphones(page), ['ended', 'live']);
  t.equal((await page.evaluate(() => window.replaced)).length, 1);
  t.equal(await page.evaluate(() => window.client.call?.state), 'active');
});

t.test('F13 without another microphone the call goes on, and takes the next one plugged in', async (t) => {
  const page = await openConnected(t);
  await inCall(page);
  await page.evaluate(() => window.client.mute());
  await microphonesAreThere(page, false);
  await unplug(page);
  await event(page, 'trouble', 'code', 'microphone_missing');
  t.equal(await page.evaluate(() => window.client.call?.state), 'active');
  t.notOk(script.requests.some(({ method }) => method === 'call.hangup'));

  await microphonesAreThere(page, true);
  await page.evaluate(() => navigator.mediaDevices.dispatchEvent(new Event('devicechange')));
  await event(page, 'trouble', 'code', 'microphone_replaced');
  await event(page, 'devices');
  const sent = await page.evaluate(() => window.replaced.length);
  t.equal(sent, 1);
  await page.evaluate(() => window.client.hangup());
});

t.test('F7 a loudspeaker is chosen, refused by name, or not offered at all', async (t) => {
  const page = await openConnected(t);
  await inCall(page);
  const id = await page.evaluate(async () => (await window.client.devices()).speakers.at(-1)?.id ?? '');
  t.equal(await code(page, 'setSpeaker', id), 'ok');
  t.match(await event(page, 'devices', 'speakerId', id), { speakerId: id });
  t.equal(await code(page, 'setSpeaker', 'no-such-device'), 'speaker_missing');
  t.equal((await page.evaluate(() => window.client.devices())).speakerId, id, 'as before');

  // It is unplugged: the list that the browser gives has it no more.
  await page.evaluate(() => {
    navigator.mediaDevices.enumerateDevices = () => Promise.resolve([]);
    navigator.mediaDevices.dispatchEvent(new Event('devicechange'));
  });
  await event(page, 'trouble', 'code', 'speaker_missing');
  await page.waitForFunction(async () => !('speakerId' in (await window.client.devices())));

  await page.evaluate(() => Reflect.deleteProperty(HTMLMediaElement.prototype, 'setSinkId'));
  t.equal((await page.evaluate(() => window.client.devices())).speakerSelectable, false);
  t.equal(await code(page, 'setSpeaker', id), 'speaker_unsupported');
});
