import type { Page } from 'playwright-core';
import t from 'tap';
import { microphones } from '../test/browser.ts';
import { CALL_ID, callView, signedIn } from '../test/scripted-server.ts';
import type { SdkWindow } from '../test/sdk-page.ts';
import { event, openSdkStage } from '../test/sdk-page.ts';

/** Voice calls of one page: the other browser's end is a plain RTCPeerConnection in the same page, which the test drives. */

interface PeerSdkWindow extends SdkWindow {
  other: RTCPeerConnection;
  otherFound: RTCIceCandidateInit[];
}
declare const window: PeerSdkWindow;

const { openConnected, script } = await openSdkStage(t);
const callId = CALL_ID;

/** An end of the other side's, as another browser would have it. */
async function openOther(page: Page): Promise<void> {
  await page.evaluate(() => {
    window.other?.close();
    const other = new RTCPeerConnection();
    window.other = other;
    window.otherFound = [];
    other.addEventListener('icecandidate', ({ candidate }) => {
      if (candidate?.candidate) window.otherFound.push(candidate.toJSON());
    });
  });
}

/** The other end takes the page's offer, and answers with all its candidates in the description. */
function answerOf(page: Page, sdp: unknown): Promise<string> {
  return page.evaluate(async (offer) => {
    const { other } = window;
    await other.setRemoteDescription({ type: 'offer', sdp: offer });
    const [transceiver] = other.getTransceivers();
    if (transceiver) transceiver.direction = 'sendrecv';
    await other.setLocalDescription();
    await new Promise<void>((resolve) => {
      const check = (): void => {
        if (other.iceGatheringState === 'complete') resolve();
      };
      other.addEventListener('icegatheringstatechange', check);
      check();
    });
    return other.localDescription?.sdp ?? '';
  }, String(sdp));
}

/** A voice call that the page has started and the other side has accepted. */
async function accepted(page: Page): Promise<Record<string, unknown>> {
  script.on('call.start', () => callView({ mode: 'voice' }));
  await page.evaluate(() => window.client.startCall({ chatId: 'chat-1', mode: 'voice' }));
  script.notify('call.changed', { call: callView({ mode: 'voice', state: 'connecting' }) });
  return await script.next('peer.description');
}

t.test(
  'F14 the caller offers once the call is accepted, tells that the path stands, and mends it',
  async (t) => {
    const page = await openConnected(t);
    await openOther(page);
    script.on('call.start', () => callView({ mode: 'voice' }));
    await page.evaluate(() => window.client.startCall({ chatId: 'chat-1', mode: 'voice' }));
    t.match(await script.next('peer.servers'), { callId });
    t.notOk(
      script.requests.some(({ method }) => method.startsWith('media.')),
      'nothing of the server’s own media is asked for',
    );
    t.notOk(
      script.requests.some(({ method }) => method === 'peer.description'),
      'and nothing is offered while it rings',
    );
    script.notify('call.changed', { call: callView({ mode: 'voice', state: 'connecting' }) });
    const offer = await script.next('peer.description');
    t.match(offer, { callId, kind: 'offer', round: 1 });
    t.match(offer.sdp, /^a=rtpmap:\d+ opus\/48000\/2\r$/m);
    t.equal(String(offer.sdp).match(/^a=rtpmap:/gm)?.length, 1, 'Opus only');
    t.match(offer.sdp, /usedtx=1/);
    script.notify('peer.description', {
      callId,
      kind: 'answer',
      round: 1,
      sdp: await answerOf(page, offer.sdp),
    });
    t.match(await script.next('peer.connected'), { callId });
    const stats = await page.evaluate(() => window.client.stats());
    t.equal(stats.send, 'connected');

    // What comes for an older round changes nothing; a word of the other side that it broke begins a new one.
    script.notify('peer.description', { callId, kind: 'answer', round: 1, sdp: String(offer.sdp) });
    // Within three seconds of an offer it is taken for the news that the offer answers already.
    const offeredBefore = await page.evaluate(() => performance.now());
    await page.waitForFunction((then) => performance.now() - then > 3_000, offeredBefore);
    script.notify('peer.broken', { callId });
    const again = await script.next('peer.description');
    t.match(again, { kind: 'offer', round: 2 });
    const ufrag = (sdp: unknown): string | undefined => /^a=ice-ufrag:(.*)$/m.exec(String(sdp))?.[1];
    t.not(ufrag(again.sdp), ufrag(offer.sdp), 'with new ICE credentials');
    script.notify('peer.description', {
      callId,
      kind: 'answer',
      round: 2,
      sdp: await answerOf(page, again.sdp),
    });

    await page.evaluate(() => window.client.hangup());
    t.strictSame(await microphones(page), ['ended']);
  },
);

t.test(
  'F14 F16 a path that breaks is told and offered anew, also after the signaling was away',
  async (t) => {
    const page = await openConnected(t);
    await openOther(page);
    const offer = await accepted(page);
    script.notify('peer.description', {
      callId,
      kind: 'answer',
      round: 1,
      sdp: await answerOf(page, offer.sdp),
    });
    await script.next('peer.connected');
    script.on('session.start', () => signedIn({ call: callView({ mode: 'voice', state: 'active' }) }));
    script.drop();
    t.match(await script.next('peer.connected'), { callId }, 'a word that may be lost is said again');
    await page.evaluate(() => window.other.close());
    t.match(await script.next('peer.broken'), { callId });
    t.match(await script.next('peer.description'), { kind: 'offer', round: 2 });
    await page.evaluate(() => window.client.hangup());
  },
);

t.test('F16 a connection that is lost while a call begins to ring does not end it', async (t) => {
  const page = await openConnected(t);
  const view = callView({ mode: 'voice' });
  script.on('call.start', () => view);
  script.on('peer.servers', () => undefined);
  await page.evaluate(() => window.client.startCall({ chatId: 'chat-1', mode: 'voice' }));
  await script.next('peer.servers');
  script.on('session.start', () => signedIn({ call: view }));
  script.on('peer.servers', () => ({ iceServers: [], iceTransportPolicy: 'all' }));
  script.drop();
  t.match(await script.next('peer.servers'), { callId }, 'they are asked for again');
  script.notify('call.changed', { call: { ...view, state: 'connecting' } });
  t.match(await script.next('peer.description'), { kind: 'offer', round: 1 });
  t.notOk(await page.evaluate(() => window.log.some(([name]) => name === 'ended')));
  await page.evaluate(() => window.client.hangup());
});

t.test(
  'F14 the called side answers, trickles its candidates, and takes those of the other side',
  async (t) => {
    const page = await openConnected(t);
    await openOther(page);
    script.on('call.accept', () => callView({ mode: 'voice', side: 'callee', state: 'connecting' }));
    script.notify('call.incoming', { call: callView({ mode: 'voice', side: 'callee' }) });
    await event(page, 'incoming');
    // The offer may be here before this side knows its servers: the caller has rung long enough to be ready.
    let answerServers = (): void => {};
    script.on('peer.servers', async () => {
      await new Promise<void>((resolve) => {
        answerServers = resolve;
      });
      return { iceServers: [], iceTransportPolicy: 'all' };
    });
    await page.evaluate(() => window.client.accept());
    await script.next('peer.servers');
    const sdp = await page.evaluate(async () => {
      const opus = RTCRtpReceiver.getCapabilities('audio')?.codecs.filter(({ mimeType }) =>
        /opus/i.test(mimeType),
      );
      window.other.addTransceiver('audio').setCodecPreferences(opus ?? []);
      await window.other.setLocalDescription();
      return window.other.localDescription?.sdp ?? '';
    });
    script.on('peer.candidates', () => ({ relayed: true }));
    script.notify('peer.description', { callId, kind: 'offer', round: 1, sdp });
    // Its answer comes behind the offer on the same connection.
    await page.evaluate(() => window.client.presence(['bob']));
    answerServers();
    const answer = await script.next('peer.description');
    t.match(answer, { callId, kind: 'answer', round: 1 });
    script.on('peer.servers', () => ({ iceServers: [], iceTransportPolicy: 'all' }));
    await page.evaluate(
      (text) => window.other.setRemoteDescription({ type: 'answer', sdp: text }),
      String(answer.sdp),
    );
    const { candidates, round } = await script.next('peer.candidates');
    t.equal(round, 1);
    t.ok(Array.isArray(candidates) && candidates.length > 0);
    await page.evaluate(async (list) => {
      for (const candidate of list as RTCIceCandidateInit[]) await window.other.addIceCandidate(candidate);
    }, candidates);
    const found = await page.evaluate(() => window.otherFound);
    script.notify('peer.candidates', {
      callId,
      round: 1,
      candidates: found.map(({ candidate = '', sdpMid = null, sdpMLineIndex = null }) => ({
        candidate,
        sdpMid,
        sdpMLineIndex,
      })),
    });
    t.match(await script.next('peer.connected'), { callId });
    script.notify('call.ended', {
      call: callView({ mode: 'voice', side: 'callee', state: 'ended', endReason: 'hangup' }),
    });
    await event(page, 'ended');
    t.strictSame(await microphones(page), ['ended']);
  },
);

t.test(
  'F13 F14 a description that is not one audio stream of Opus ends the call, and the microphone is off',
  async (t) => {
    const page = await openConnected(t);
    await openOther(page);
    const offer = await accepted(page);
    const sdp = await answerOf(page, offer.sdp);
    const rows: [string, string][] = [
      ['a second section', `${sdp}m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n`],
      ['another codec', sdp.replace(/^a=rtpmap:(\d+) .*$/m, 'a=rtpmap:$1 PCMU/8000')],
      ['nothing', 'v=0\r\n'],
    ];
    for (const [index, [title, text]] of rows.entries()) {
      if (index > 0) await accepted(page);
      script.notify('peer.description', { callId, kind: 'answer', round: 1, sdp: text });
      await page.waitForFunction(
        (count) => window.log.filter(([name]) => name === 'ended').length > count,
        index,
      );
      t.match(await event(page, 'ended'), { call: { endReason: 'media_failed' } }, title);
    }
    t.strictSame(await microphones(page), ['ended', 'ended', 'ended']);
  },
);

t.test(
  'F14 a call that dies before the server has answered leaves no microphone on and no connection',
  async (t) => {
    const page = await openConnected(t);
    await page.evaluate(() => {
      const Real = RTCPeerConnection;
      const made: RTCPeerConnection[] = [];
      Object.assign(window, {
        made,
        RTCPeerConnection: class extends Real {
          constructor(configuration?: RTCConfiguration) {
            super(configuration);
            made.push(this);
          }
        },
      });
    });
    const states = (): Promise<string[]> =>
      page.evaluate(() =>
        (window as unknown as { made: RTCPeerConnection[] }).made.map(({ signalingState }) => signalingState),
      );
    script.on('call.start', () => callView({ mode: 'voice' }));
    let answer: (() => void) | undefined;
    script.on('peer.servers', async () => {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return { iceServers: [], iceTransportPolicy: 'all' };
    });
    await page.evaluate(() => window.client.startCall({ chatId: 'chat-1', mode: 'voice' }));
    await script.next('peer.servers');
    await page.evaluate(() => window.client.hangup());
    answer?.();
    await page.evaluate(() => window.client.presence(['bob']));
    t.strictSame(await states(), [], 'no connection was built for it');

    // In the middle of building one.
    script.on('peer.servers', () => ({ iceServers: [], iceTransportPolicy: 'all' }));
    await accepted(page);
    await page.evaluate(() => window.client.hangup());
    await page.waitForFunction(() =>
      (window as unknown as { made: RTCPeerConnection[] }).made.every(
        ({ signalingState }) => signalingState === 'closed',
      ),
    );
    t.strictSame(await states(), ['closed']);
    t.strictSame(await microphones(page), ['ended', 'ended']);
  },
);
