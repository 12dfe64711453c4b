// The page of the journeys in real browsers: no messenger, only the SDK as the server serves it, and what it told.
import type { DemoToken, RecordingFormat } from '#protocol';
import type { Figures, Journey, Played, Seen } from '../../core/test/journey.ts';

type Sdk = typeof import('../sdk/index.ts');
type Untimed<T> = T extends unknown ? Omit<T, 'atMs'> : never;

declare global {
  interface Window {
    journey?: Journey;
    /** Resolves the page's `ready`. */
    isReady?: () => void;
    /** For a test that asks the SDK itself. */
    verbatim?: import('../sdk/index.ts').VerbatimClient;
  }
}

const POLL_MS = 50;

// Loaded at run time, as a messenger's page does: the server's one file.
const file = '/sdk/verbatim.js';
const { VerbatimClient, consentTo }: Sdk = await import(file);
const who = new URLSearchParams(location.search).get('as') ?? '';
const { chatId } = await tokenOf();
const client = new VerbatimClient({
  url: location.origin,
  getToken: async () => (await tokenOf()).token,
});

const seen: Seen[] = [];
const waiting: (() => void)[] = [];
const note = (what: Untimed<Seen>): void => {
  // Spreading a union gives no union; `what` is one of it without its time.
  seen.push({ atMs: performance.timeOrigin + performance.now(), ...what } as Seen);
  for (const wake of waiting.splice(0)) wake();
};
client.on('connection', ({ state, error }) =>
  note({ type: 'connection', state, ...(error ? { error: error.code } : {}) }),
);
client.on('call', (call) => note({ type: 'call', ...(call ? { call } : {}) }));
client.on('incoming', (call) => note({ type: 'incoming', call }));
client.on('ended', ({ call, error }) =>
  note({
    type: 'ended',
    call,
    ...(call.endReason ? { reason: call.endReason } : {}),
    ...(error ? { error: error.code } : {}),
  }),
);
client.on('recording', ({ recordingId, state }) => note({ type: 'recording', recordingId, state }));
client.on('trouble', ({ code }) => note({ type: 'trouble', error: code }));
client.on('timer', ({ seconds }) => note({ type: 'timer', seconds }));
client.on('quality', ({ level, lossPercent, jitterMs, rttMs }) =>
  note({
    type: 'quality',
    level,
    ...(lossPercent === undefined ? {} : { lossPercent }),
    ...(jitterMs === undefined ? {} : { jitterMs }),
    ...(rttMs === undefined ? {} : { rttMs }),
  }),
);
client.on('devices', ({ microphoneId }) =>
  note({ type: 'devices', ...(microphoneId === undefined ? {} : { microphoneId }) }),
);

window.verbatim = client;
window.journey = {
  seen,
  moreThan: (count, ms) =>
    new Promise((resolve) => {
      if (seen.length > count) resolve();
      else {
        waiting.push(resolve);
        setTimeout(resolve, ms);
      }
    }),
  call: (mode) =>
    told('call', async () => {
      const consent = mode === 'secure' ? consentTo(await client.disclosure('en')) : undefined;
      await client.startCall({ chatId, mode, ...(consent ? { consent } : {}) });
    }),
  accept: () =>
    told('accept', async () => {
      const secure = client.incoming?.mode === 'secure';
      await client.accept(secure ? consentTo(await client.disclosure('en')) : undefined);
    }),
  decline: () => told('decline', () => client.decline()),
  hangup: () => told('hangup', () => client.hangup()),
  mute: (muted) => told('mute', async () => client.setMuted(muted)),
  figures: () => client.stats(),
  hear: async (packets, ms) => {
    const deadline = performance.now() + ms;
    for (;;) {
      const now: Figures = await client.stats();
      if (now.inbound.packets >= packets) return now;
      if (performance.now() > deadline) throw new Error(`heard ${JSON.stringify(now.inbound)}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  },
  firstSound: async (ms) => {
    const deadline = performance.now() + ms;
    for (;;) {
      const { inbound } = client.call ? await client.stats() : { inbound: undefined };
      const now = performance.now();
      if (inbound !== undefined && inbound.totalAudioEnergy > 0) return performance.timeOrigin + now;
      if (now > deadline) throw new Error('nothing was heard');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  },
  recordings: async () => (await client.listRecordings(chatId)).recordings,
  play,
  loudness: async (recordingId) => {
    const bytes = await bytesOf(recordingId);
    const decoded = await new OfflineAudioContext(2, 1, 48_000).decodeAudioData(bytes.buffer);
    return Array.from({ length: decoded.numberOfChannels }, (_, channel) => {
      const samples = decoded.getChannelData(channel);
      return Math.sqrt(samples.reduce((sum, each) => sum + each * each, 0) / samples.length);
    });
  },
  copy: async (recordingId) => {
    const bytes = await bytesOf(recordingId);
    let text = '';
    // In parts: a call takes only so many arguments.
    for (let at = 0; at < bytes.length; at += 8_192)
      text += String.fromCharCode(...bytes.subarray(at, at + 8_192));
    return btoa(text);
  },
  microphones: async () => (await client.devices()).microphones.map(({ id }) => id),
  useMicrophone: (id) => told('useMicrophone', () => client.setMicrophone(id)),
};
window.isReady?.();
await client.connect();

async function bytesOf(recordingId: string): Promise<Uint8Array<ArrayBuffer>> {
  const address = await client.playbackUrl(recordingId, 'attachment');
  const answer = await fetch(address, { credentials: 'include' });
  if (!answer.ok) throw new Error(`the copy answers ${answer.status}: ${await answer.text()}`);
  return new Uint8Array(await answer.arrayBuffer());
}

async function play(recordingId: string, to: number, format?: RecordingFormat): Promise<Played> {
  const audio = new Audio();
  audio.crossOrigin = 'use-credentials';
  // Firefox plays on a machine without any loudspeaker only when nobody is to hear it.
  audio.muted = navigator.userAgent.includes('Firefox');
  audio.src = await client.playbackUrl(recordingId, 'inline', format);
  const failed = new Promise<never>((_resolve, reject) => {
    audio.addEventListener('error', () => reject(new Error(audio.error?.message ?? 'audio error')), {
      once: true,
    });
  });
  const until = (fits: () => boolean) =>
    Promise.race([
      failed,
      new Promise<void>((resolve) => {
        const look = () => fits() && resolve();
        for (const event of ['timeupdate', 'playing', 'seeked']) audio.addEventListener(event, look);
      }),
    ]);
  const startedAt = performance.now();
  const sounds = until(() => audio.currentTime > 0);
  await audio.play();
  await sounds;
  const firstSoundMs = performance.now() - startedAt;
  const jumped = until(() => !audio.seeking && audio.currentTime > to);
  audio.currentTime = to;
  await jumped;
  const played = { firstSoundMs, seconds: audio.duration, to, at: audio.currentTime };
  audio.pause();
  return played;
}

/** Errors reach a test as their text alone, so the code has to be in it. */
async function told(what: string, act: () => Promise<void>): Promise<void> {
  note({ type: 'asked', what });
  try {
    await act();
  } catch (error) {
    const { code, message } = Object(error) as { code?: string; message?: string };
    throw new Error(`${code ?? 'no code'}: ${message ?? error}`, { cause: error });
  }
}

async function tokenOf(): Promise<DemoToken> {
  const response = await fetch('/demo/token', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ as: who }),
  });
  if (!response.ok) throw new Error(`no demo token: ${response.status}`);
  return (await response.json()) as DemoToken;
}
