import type { types } from 'mediasoup-client';
import { Device } from 'mediasoup-client';
import type {
  AccessPage,
  CallHistoryPage,
  CallMode,
  CallView,
  Consent,
  Disclosure,
  Disposition,
  Permissions,
  Recording,
  RecordingFormat,
  RecordingPage,
  Timeline,
  Waveform,
} from '#protocol';
import { CallTimer } from './call-timer.ts';
import { Calls } from './calls.ts';
import { ServerClock } from './clock.ts';
import type { ClientEvents, ClientOptions, Devices, PageQuery, Playback, Quality } from './contract.ts';
import { DeviceChoice } from './devices.ts';
import { Emitter } from './emitter.ts';
import { VerbatimClientError } from './errors.ts';
import type { EvidenceState } from './evidence.ts';
import { Evidence } from './evidence.ts';
import type { KeptReceipt } from './evidence-store.ts';
import type { LedgerProblem } from './ledger-watch.ts';
import { RecordingPlayback } from './playback.ts';
import { QualityWatch } from './quality.ts';
import { Rest } from './rest.ts';
import type { Notification } from './rpc-socket.ts';
import type { ConnectionState, SignedIn } from './session.ts';
import { Session } from './session.ts';
import type { CallStats } from './stats.ts';
import { BROWSER } from './transport.ts';

/**
 * One signed-in user on one page, with at most one call.
 * `connect()` first; then `startCall`, or `accept` after an `incoming` event; `hangup()`; `close()` at the end.
 */
export class VerbatimClient extends Emitter<ClientEvents> {
  readonly device: string;
  readonly #options: ClientOptions;
  readonly #session: Session;
  readonly #calls: Calls;
  readonly #rest: Rest;
  readonly #evidence: Evidence;
  readonly #audio: HTMLAudioElement;
  #interrupted = false;
  #token: string | undefined;
  #signedIn: SignedIn | undefined;
  readonly #clock = new ServerClock();
  readonly #timer: CallTimer;
  readonly #qualityWatch: QualityWatch;
  readonly #devices: DeviceChoice;
  #quality: Quality | undefined;
  #loaded: { key: string; device: Promise<Device> } | undefined;
  #connected: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ClientOptions) {
    super();
    this.#options = options;
    this.device = options.device ?? randomDevice();
    this.#audio = options.audio ?? new Audio();
    const { origin } = new URL(options.url);
    const transport = options.transport ?? BROWSER;
    this.#session = new Session({
      open: transport.open,
      url: `${origin.replace(/^http/, 'ws')}/v1/signaling`,
      device: this.device,
      getToken: () => this.#newToken(),
      renewable: options.getToken !== undefined,
      onState: (state, error) => this.#onState(state, error),
      onSignedIn: (answer) => this.#onSignedIn(answer),
      onNotification: (notification) => this.#onNotification(notification),
      urgent: () => this.#calls.running,
    });
    this.#calls = new Calls({
      transport,
      events: this,
      request: (method, params) => this.#session.request(method, params),
      device: () => this.#device(),
      wish: () => ({ constraints: options.microphone, id: this.#devices.microphoneId }),
      onMicrophone: () => void this.#devices.tell(),
      audio: this.#audio,
    });
    this.#rest = new Rest({
      origin,
      fetch: transport.fetch,
      token: async (fresh) => (fresh ? undefined : this.#token) ?? (await this.#newToken()),
    });
    this.#evidence = new Evidence({ origin, events: this, rest: this.#rest });
    this.#devices = new DeviceChoice({ audio: this.#audio, events: this, calls: this.#calls });
    this.#timer = new CallTimer(this.#clock, (seconds) => this.emit('timer', { seconds }));
    this.#qualityWatch = new QualityWatch(
      () => this.#calls.stats(),
      (quality) => {
        this.#quality = quality;
        this.emit('quality', quality);
      },
    );
    this.on('call', (call) => {
      this.#setInterrupted(call);
      this.#timer.update(call);
      this.#qualityWatch.update(call);
    });
  }

  // Who and what

  get state(): ConnectionState {
    return this.#session.state;
  }

  get userId(): string | undefined {
    return this.#signedIn?.userId;
  }

  /** The running call of this page. */
  get call(): CallView | undefined {
    return this.#calls.view;
  }

  /** The call that rings this user. */
  get incoming(): CallView | undefined {
    return this.#calls.incoming;
  }

  /** The running secure call lost its recorder: neither side hears the other until it is secured again. */
  get interrupted(): boolean {
    return this.#interrupted;
  }

  get muted(): boolean {
    return this.#calls.muted;
  }

  /** What this user may start and see by their role; everything before the first sign-in. */
  get may(): Permissions {
    const { voice = true, secure = true, recordings = true } = this.#signedIn?.may ?? {};
    return { voice, secure, recordings };
  }

  /** The newest figures of the running call, or the last ones of the call before. */
  get quality(): Quality | undefined {
    return this.#quality;
  }

  /** How long the call has been active, by the server's clock; 0 before. For an mm:ss timer. */
  get durationMs(): number {
    return this.#clock.sinceMs(this.call?.activeAt);
  }

  // Connection

  /** Resolves when signed in; keeps trying through network trouble. @throws VerbatimClientError when refused for good */
  connect(): Promise<void> {
    if (this.state === 'closed') return Promise.reject(new VerbatimClientError('client_closed'));
    this.#connected ??= new Promise((resolve, reject) => {
      const off = this.on('connection', ({ state, error }) => {
        if (state !== 'online' && state !== 'closed') return;
        off();
        if (state === 'online') resolve();
        else reject(error ?? new VerbatimClientError('client_closed'));
      });
      addEventListener('online', this.#wake);
      document.addEventListener('visibilitychange', this.#wake);
      addEventListener('pagehide', this.#leavePage);
      addEventListener('pageshow', this.#wake);
      this.#devices.watch();
      this.#session.wake();
    });
    return this.#connected;
  }

  /** Signs off: a running call ends for both. Safe to call again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    removeEventListener('online', this.#wake);
    document.removeEventListener('visibilitychange', this.#wake);
    removeEventListener('pagehide', this.#leavePage);
    removeEventListener('pageshow', this.#wake);
    this.#devices.unwatch();
    // Before the socket goes, so that the reason is the true one.
    this.#calls.end('hangup');
    await this.#session.close();
  }

  /** Which of these users are online. */
  async presence(userIds: string[]): Promise<Set<string>> {
    const { online } = await this.#session.request('presence.get', { userIds });
    return new Set(online);
  }

  // Calls

  /**
   * The text that a person has to agree to before a secure call; show exactly this text.
   * @throws VerbatimClientError `corrupt` when the text is not the one that the consent would name
   */
  async disclosure(locale: string = navigator.language): Promise<Disclosure> {
    const disclosure = await this.#session.request('disclosure.get', { locale });
    if ((await sha256(disclosure.text)) !== disclosure.sha256) {
      throw new VerbatimClientError('corrupt', 'the disclosure text does not match its hash');
    }
    return disclosure;
  }

  /**
   * Calls the other member of a direct chat. The microphone is opened first, so that nobody is rung by a caller
   * who cannot speak. A secure call needs `consentTo(disclosure)` of the text that was shown.
   * @throws VerbatimClientError `user_offline`, `user_busy`, `consent_required`, `microphone_denied`, …
   */
  startCall(params: { chatId: string; mode: CallMode; consent?: Consent }): Promise<CallView> {
    return this.#calls.start(params);
  }

  /**
   * Accepts the ringing call. Accepting a secure call is the callee's consent.
   * @throws VerbatimClientError `answered_elsewhere`, `consent_required`, `microphone_denied`, …
   */
  accept(consent?: Consent): Promise<CallView> {
    return this.#calls.accept(consent);
  }

  decline(): Promise<void> {
    return this.#calls.decline();
  }

  /** Takes back a call that still rings, or ends a running one: whatever fits. The microphone is off at once. */
  hangup(): Promise<void> {
    return this.#calls.hangup();
  }

  /** The same as `hangup()`, for a call that still rings. */
  cancel(): Promise<void> {
    return this.hangup();
  }

  mute(): void {
    this.setMuted(true);
  }

  unmute(): void {
    this.setMuted(false);
  }

  /** Mutes this side only: the other is heard on. It works at once, also without a connection. */
  setMuted(muted: boolean): void {
    this.#calls.setMuted(muted);
  }

  /** Tries again to play the other side, after `trouble` with `playback_blocked`; call it in a click. */
  async resumeAudio(): Promise<void> {
    await this.#audio.play();
  }

  /** Figures of the running call, or the last ones of the call before. */
  stats(): Promise<CallStats> {
    return this.#calls.stats();
  }

  // Devices

  /** The microphones and loudspeakers of this machine, and which are used. The event `devices` tells of changes. */
  devices(): Promise<Devices> {
    return this.#devices.list();
  }

  /**
   * Uses this microphone, in the running call at once and without a gap, and in those to come; without an id, the
   * browser's choice. Should it be gone when a call begins, another one takes its place.
   * @throws VerbatimClientError `microphone_missing`, `microphone_busy`, …: the call goes on with the one it has
   */
  setMicrophone(id?: string): Promise<void> {
    return this.#devices.setMicrophone(id);
  }

  /**
   * Plays the other side here; without an id, on the system's usual loudspeaker.
   * @throws VerbatimClientError `speaker_unsupported`, `speaker_missing`, `speaker_denied`
   */
  setSpeaker(id?: string): Promise<void> {
    return this.#devices.setSpeaker(id);
  }

  // Calls that were

  /** The calls of a chat that this user took part in, of both modes, newest first (F18). */
  listCalls(chatId: string, page?: PageQuery): Promise<CallHistoryPage> {
    return this.#rest.listCalls(chatId, page);
  }

  // Recordings

  /** The secure calls of a chat, newest first. */
  listRecordings(chatId: string, page?: PageQuery): Promise<RecordingPage> {
    return this.#rest.listRecordings(chatId, page);
  }

  getRecording(recordingId: string): Promise<Recording> {
    return this.#rest.getRecording(recordingId);
  }

  /**
   * An address for `<audio crossorigin="use-credentials">`, or with `attachment` for a link that saves the file. To be
   * played it comes in a format that this browser plays; to be saved, as the recording is kept, unless you name one.
   */
  playbackUrl(recordingId: string, disposition?: Disposition, format?: RecordingFormat): Promise<string> {
    return this.#rest.playbackUrl(recordingId, disposition, format ?? formatFor(disposition));
  }

  /** The waveform, in audiowaveform's JSON form (version 2); the caller is channel 0. */
  peaks(recordingId: string): Promise<Waveform> {
    return this.#rest.peaks(recordingId);
  }

  /** Transcript and chat messages, as far as the app supplied them, in the order of time (F27). */
  timeline(recordingId: string): Promise<Timeline> {
    return this.#rest.timeline(recordingId);
  }

  /** Who listed, played or downloaded it, newest first (F39). */
  accessLog(recordingId: string, page?: PageQuery): Promise<AccessPage> {
    return this.#rest.accessLog(recordingId, page);
  }

  /**
   * Loads a recording into an audio element, and goes on where it stood when its address runs out. The page plays,
   * pauses and seeks the element itself. `onError` hears what ends it later on.
   * @throws VerbatimClientError `recording_not_ready`, `recording_failed`, …
   */
  async loadRecording(
    audio: HTMLAudioElement,
    recordingId: string,
    onError?: (error: VerbatimClientError) => void,
  ): Promise<Playback> {
    const address = (): Promise<string> => this.playbackUrl(recordingId);
    const playback = new RecordingPlayback({ audio, recordingId, address, onError });
    await playback.open();
    return playback;
  }

  /**
   * Saves the audio file, in WebM as it is kept unless you name another format: the packets are the same in each.
   * @throws VerbatimClientError `recording_not_ready`, `format_unavailable`, …
   */
  async download(recordingId: string, format?: RecordingFormat): Promise<void> {
    saveFrom(await this.playbackUrl(recordingId, 'attachment', format));
  }

  // Evidence

  /** The newest signed head of a capture that came to this page. */
  get receipt(): KeptReceipt | undefined {
    return this.#evidence.latest;
  }

  /** What does not fit about the server's ledger; undefined when all that was seen fits. */
  get ledgerProblem(): LedgerProblem | undefined {
    return this.#evidence.problem;
  }

  /** Whether what is kept outlives this page; false in private windows and where storage is refused. */
  evidencePersists(): Promise<boolean> {
    return this.#evidence.persistent();
  }

  /** What this browser keeps of a recording and what it came to; undefined when it keeps nothing. */
  evidence(recordingId: string): Promise<EvidenceState | undefined> {
    return this.#evidence.of(recordingId);
  }

  /** Holds the recording against the kept heads once more; what is found comes as `evidence`, too. */
  checkEvidence(recordingId: string): Promise<EvidenceState | undefined> {
    return this.#evidence.check(recordingId);
  }

  /** After a `ledger` event of `key_changed`: the new key is the server's own, as its operator confirms. */
  acceptLedgerKey(vkey: string): Promise<void> {
    return this.#evidence.acceptLedgerKey(vkey);
  }

  /**
   * Saves the evidence bundle of a recording: the audio with all that proves it, for checking without this server.
   * @throws VerbatimClientError `recording_not_ready`, `no_evidence`, …
   */
  async downloadBundle(recordingId: string): Promise<void> {
    saveFrom(await this.#rest.playbackUrl(recordingId, 'bundle'));
  }

  // How

  #onNotification(notification: Notification): void {
    switch (notification.method) {
      case 'recording.changed':
        this.emit('recording', notification.params);
        this.#evidence.onRecording(notification.params);
        return;
      case 'recording.receipt':
        this.#evidence.onReceipt(notification.params);
        return;
      case 'call.ended':
        this.#calls.onNotification(notification);
        this.#evidence.onCallEnded(notification.params.call.checkpoint);
        return;
      default:
        this.#calls.onNotification(notification);
    }
  }

  #setInterrupted(call: CallView | undefined): void {
    const interrupted = call?.mode === 'secure' && call.state === 'active' && !call.recording;
    if (interrupted === this.#interrupted) return;
    this.#interrupted = interrupted;
    this.emit('interrupted', interrupted);
  }

  async #newToken(): Promise<string> {
    const { token, getToken } = this.#options;
    this.#token = getToken ? await getToken() : token;
    if (!this.#token) throw new VerbatimClientError('unauthorized', 'give `token` or `getToken`');
    return this.#token;
  }

  #onSignedIn(answer: SignedIn): void {
    this.#signedIn = answer;
    this.#clock.sync(answer.serverTime);
    // Before any call, because it takes tens of milliseconds; whoever needs it gets its error.
    this.#device().catch(() => {});
    this.#calls.onSignedIn(answer);
    this.#evidence.onSignedIn(answer);
  }

  #onState(state: ConnectionState, error?: VerbatimClientError): void {
    if (state === 'reconnecting') this.#calls.onOffline(this.#signedIn?.graceMs ?? 0);
    if (state === 'closed') this.#calls.end('connection_lost', error);
    this.emit('connection', { state, ...(error ? { error } : {}) });
  }

  /** What this browser and this server have in common; asked of the browser once per set of capabilities. */
  #device(): Promise<Device> {
    const capabilities = this.#signedIn?.routerRtpCapabilities;
    if (capabilities === undefined) return Promise.reject(new VerbatimClientError('connection_lost'));
    const key = JSON.stringify(capabilities);
    if (this.#loaded?.key !== key) this.#loaded = { key, device: loadDevice(capabilities) };
    return this.#loaded.device;
  }

  /** The network is back, or the page is looked at again after its timers were slowed down. */
  #wake = (): void => this.#session.wake();

  /** A page that goes says so, and the other side need not wait for the grace period. */
  #leavePage = ({ persisted }: PageTransitionEvent): void => {
    if (!persisted) {
      void this.close();
      return;
    }
    // It may be shown again, long after; `pageshow` then wakes it.
    this.#calls.end('hangup');
    this.#session.rest();
  };
}

/** What a person agrees to, once they were shown this text. */
export function consentTo({ sha256, version, locale }: Disclosure): Consent {
  return { disclosureSha256: sha256, disclosureVersion: version, locale };
}

/** What is kept is saved; what is played must be playable: Safari has no Opus in WebM on some of its systems. */
function formatFor(disposition: Disposition = 'inline'): RecordingFormat {
  if (disposition !== 'inline') return 'webm';
  const playsWebm = document.createElement('audio').canPlayType('audio/webm; codecs="opus"') !== '';
  return playsWebm ? 'webm' : 'mp4';
}

function saveFrom(url: string): void {
  const link = document.createElement('a');
  link.href = url;
  // The server names the file; on another origin it alone decides that it is saved.
  link.download = '';
  link.click();
}

/** Not randomUUID, which a page without HTTPS does not have: such a page still gets the error that says so. */
function randomDevice(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function sha256(text: string): Promise<string> {
  if (!globalThis.isSecureContext) throw new VerbatimClientError('insecure_page');
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function loadDevice(capabilities: Record<string, unknown>): Promise<Device> {
  let device: Device;
  try {
    device = new Device();
  } catch (cause) {
    throw new VerbatimClientError('webrtc_unsupported', undefined, { cause });
  }
  // The server's own RtpCapabilities, passed through.
  await device.load({ routerRtpCapabilities: capabilities as unknown as types.RtpCapabilities });
  return device;
}
