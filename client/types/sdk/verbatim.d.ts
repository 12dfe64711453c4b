// The types of `verbatim.js`, the browser SDK.
// Generated from the sources by `npm run docs`.

type AccessAction = 'admin_view' | 'bundle' | 'download' | 'grant' | 'list' | 'play_end' | 'stream' | 'view';

/** How much of a recording went out under one grant. */
type Played = {
  what: 'bundle' | 'download' | 'stream';
  /** Requests that were answered with bytes. */
  ranges: number;
  /** Bytes that were handed to the connection, repeated ones counted again. */
  bytes: number;
  /** Of the file, each byte once. */
  coveredBytes: number;
  /** Of the whole file. */
  sizeBytes: number;
};

type AccessEvent = {
  at: string;
  action: AccessAction;
  actor: {
    kind: 'admin' | 'app' | 'user';
    /** Of a user. */
    userId?: string;
    name?: string;
  };
  /** Of a `play_end`. */
  played?: Played;
};

/** `GET /v1/recordings/:id/access`: who listed, played or downloaded it, newest first (F39). */
type AccessPage = {
  events: AccessEvent[];
  next?: string;
};

/** The mode of a call, chosen at its start and fixed for its whole life (F1). */
type CallMode = 'secure' | 'voice';

/** A person as the other side sees them. */
type Party = {
  userId: string;
  name: string;
  avatarUrl?: string;
};

/** The two sides of a call. The caller is always on the left channel of a recording. */
type Side = 'callee' | 'caller';

type CallState = 'active' | 'connecting' | 'ended' | 'ringing';

type EndReason = 'answered_elsewhere' | 'busy' | 'cancelled' | 'connection_lost' | 'declined' | 'hangup' | 'media_failed' | 'no_answer' | 'offline' | 'peer_unreachable' | 'recorder_unavailable' | 'recording_lost' | 'shutdown';

/** The calls of a chat for a messenger's history (F18): of both modes; only that they took place, never what was said. */
type CallHistoryItem = {
  callId: string;
  chatId: string;
  mode: CallMode;
  /** The caller and the callee, with the names that they have now. */
  caller: Party;
  callee: Party;
  /** On which side the asking user took part; absent for the app's server. */
  side?: Side;
  state: CallState;
  endReason?: EndReason;
  /** The callee never took part: cancelled, not answered, offline or busy. */
  missed: boolean;
  startedAt: string;
  activeAt?: string;
  endedAt?: string;
  /** From the first heard word to the end; absent for a call that never became active. */
  durationMs?: number;
  /** Of a secure call that was recorded. */
  recordingId?: string;
};

type CallHistoryPage = {
  calls: CallHistoryItem[];
  next?: string;
};

/** A call as one of its two participants sees it. Times are ISO 8601 in UTC. */
type CallView = {
  callId: string;
  chatId: string;
  mode: CallMode;
  side: Side;
  state: CallState;
  /**
   * True while both legs are durably recorded; always false in a voice call. An active secure call that is not recording
   * has lost its recorder: nobody hears anything until another one has taken over, within seconds, or the call ends.
   */
  recording: boolean;
  recordingId?: string;
  peer: Party;
  peerMuted: boolean;
  startedAt: string;
  activeAt?: string;
  endedAt?: string;
  endReason?: EndReason;
  /** The newest checkpoint of the ledger (C2SP signed note) when a secure call ended: to be kept and compared later. */
  checkpoint?: string;
};

/** What a side agreed to: the SHA-256 (hex) of the exact disclosure text that was shown, its version and locale. */
type Consent = {
  disclosureSha256: string;
  disclosureVersion: number;
  locale: string;
};

type Disclosure = {
  version: number;
  locale: string;
  text: string;
  sha256: string;
};

/** `bundle` is the evidence bundle (F38) in place of the audio file. */
type Disposition = 'attachment' | 'bundle' | 'inline';

type ErrorCode = 'already_in_call' | 'answered_elsewhere' | 'bad_request' | 'busy_server' | 'conflict' | 'consent_required' | 'corrupt' | 'evidence_unavailable' | 'forbidden' | 'format_unavailable' | 'grant_invalid' | 'held' | 'internal' | 'invalid_message' | 'media_failed' | 'method_not_allowed' | 'no_evidence' | 'no_space' | 'not_a_direct_chat' | 'not_found' | 'origin_refused' | 'parse_error' | 'peer_unreachable' | 'precondition_failed' | 'proof_required' | 'range_not_satisfiable' | 'rate_limited' | 'recorder_unavailable' | 'recording_disabled' | 'recording_failed' | 'recording_lost' | 'recording_not_ready' | 'removal_disabled' | 'role_not_allowed' | 'shutting_down' | 'token_expired' | 'too_large' | 'unauthorized' | 'unavailable' | 'unknown_method' | 'unsupported_media_type' | 'user_busy' | 'user_offline' | 'wrong_media_path';

type Grant = {
  grantId: string;
  /** Relative to the server's origin; works only with the session cookie that came with this answer. */
  url: string;
  firstUseBefore: string;
  endsAt: string;
};

type Permissions = {
  /** Place voice calls. Being called needs no permission. */
  voice: boolean;
  /** Place secure calls. */
  secure: boolean;
  /** List and play the recordings of one's own calls. */
  recordings: boolean;
};

type RecordingState = 'armed' | 'available' | 'capturing' | 'expired' | 'failed' | 'processing' | 'removed';

/** What was heard of one leg. Counts are RTP packets; `lost` is what the sequence numbers miss. */
type LegCoverage = {
  userId: string;
  packets: number;
  lost: number;
  duplicates: number;
};

type Recording = {
  id: string;
  callId: string;
  chatId: string;
  mode: CallMode;
  /** Who was recorded, by the names that they have now. */
  caller?: {
    userId: string;
    name: string;
  };
  callee?: {
    userId: string;
    name: string;
  };
  state: RecordingState;
  /** Why there is nothing to play, when the state is `failed`, `removed` or `expired`. */
  reason?: string;
  startedAt: string;
  endedAt?: string;
  /** When the state became `removed` or `expired`. */
  removedAt?: string;
  durationMs?: number;
  sizeBytes?: number;
  /** `audio/webm; codecs=opus` */
  format?: string;
  /** SHA-256 of the file as it is downloaded, hex. */
  sha256?: string;
  legs?: LegCoverage[];
};

/** `webm` is the recording as it is kept; the others have the same packets in another container. */
type RecordingFormat = 'mp4' | 'ogg' | 'webm';

type RecordingPage = {
  recordings: Recording[];
  next?: string;
};

/** One stretch of speech. Times are ms from the beginning of the recording; without them it is shown in a static list. */
type TranscriptSegment = {
  side: Side;
  startMs?: number;
  endMs?: number;
  text: string;
};

type TimelineMessage = {
  userId: string;
  name?: string;
  /** Which side of the call sent it. */
  side?: Side;
  /** From the beginning of the recording; may be negative or lie behind its end. */
  atMs?: number;
  text: string;
};

/** `GET /v1/recordings/:id/timeline`: what the app supplied, in the order of time (F27). */
type Timeline = {
  segments: TranscriptSegment[];
  messages: TimelineMessage[];
};

/**
 * A waveform in the JSON form of audiowaveform, version 2: for each pixel and channel a minimum and a maximum,
 * channels interleaved; the caller is channel 0. The levels are the browsers' own (RFC 6464), nothing is decoded.
 */
type Waveform = {
  version: 2;
  channels: 2;
  sample_rate: number;
  samples_per_pixel: number;
  bits: 16;
  /** Pixels. */
  length: number;
  data: number[];
};

/** What a person agrees to, once they were shown this text. */
declare function consentTo({ sha256, version, locale }: Disclosure): Consent;

type Listener<T> = (payload: T) => void;

/** Typed events: `Events` maps a name to its payload. A listener that throws never stops the others. */
declare class Emitter<Events extends object> {
    #private;
    /** Returns the function that takes the listener off again. */
    on<N extends keyof Events>(name: N, listener: Listener<Events[N]>): () => void;
    /** The payload of the next event of this name that `accept` takes. */
    once<N extends keyof Events>(name: N, accept?: (payload: Events[N]) => boolean): Promise<Events[N]>;
    emit<N extends keyof Events>(name: N, payload: Events[N]): void;
}

type ConnectionState = 'connecting' | 'online' | 'reconnecting' | 'closed';

/** What can go wrong on this side of the wire. Everything else is a code of the server's table. */
declare const CLIENT_ERRORS: {
    readonly microphone_denied: "The microphone is not allowed. Allow it in the address bar (the icon left of the address) and call again.";
    readonly microphone_missing: "No microphone was found. Connect one and call again.";
    readonly microphone_busy: "The microphone cannot be used: another program may have it. Close that program and call again.";
    readonly microphone_replaced: "The microphone is gone: another one is used now.";
    readonly speaker_missing: "The loudspeaker is gone: the usual one is used now.";
    readonly speaker_denied: "The browser does not allow this loudspeaker. Allow the microphone in the address bar and choose again.";
    readonly speaker_unsupported: "This browser does not let a page choose the loudspeaker: choose it in the system.";
    readonly playback_failed: "The recording cannot be played now. Try again in a while.";
    readonly playback_blocked: "The browser blocks sound until you click on the page.";
    readonly insecure_page: "Calls need a page served over HTTPS (or from localhost).";
    readonly webrtc_unsupported: "This browser has no WebRTC. Use a current Firefox, Chromium, Edge or Safari.";
    readonly connection_lost: "The connection to the server is lost.";
    readonly timeout: "The server did not answer in time.";
    readonly client_closed: "The client was closed.";
    readonly call_over: "The call is over.";
};

type ClientErrorCode = keyof typeof CLIENT_ERRORS;

/** Every error of this SDK. `code` is the stable word to test for, `message` may be shown to a person. */
declare class VerbatimClientError extends Error {
    readonly code: ErrorCode | ClientErrorCode;
    constructor(code: ErrorCode | ClientErrorCode, message?: string, options?: {
        cause?: unknown;
    });
}

type QualityLevel = 'good' | 'fair' | 'poor';

/** How the last two seconds of a call were. A figure is absent while it is not known. */
interface Quality {
    /** The worse of both directions. */
    level: QualityLevel;
    /** Of what this side receives, 0 to 100. */
    lossPercent?: number;
    jitterMs?: number;
    /** To the media server and back; in a peer-to-peer call, to the other side and back. */
    rttMs?: number;
    /** Of what this side sends, as the receiver reports it. */
    sent?: {
        lossPercent?: number;
        jitterMs?: number;
    };
}

interface MediaDeviceChoice {
    id: string;
    label: string;
}

/** What `devices()` tells. Labels are empty until the person has allowed the microphone once (a rule of browsers). */
interface Devices {
    microphones: MediaDeviceChoice[];
    speakers: MediaDeviceChoice[];
    /** Of the running call, or else the chosen one; absent while it is the browser's choice. */
    microphoneId?: string;
    /** Absent while it is the system's usual one. */
    speakerId?: string;
    /** False where the browser plays on the system's loudspeaker only: then offer no choice. */
    speakerSelectable: boolean;
}

type NotificationName = 'call.changed' | 'call.ended' | 'call.incoming' | 'media.consumer' | 'peer.broken' | 'peer.candidates' | 'peer.description' | 'recording.changed' | 'recording.receipt' | 'session.closing';

/** One ICE candidate (RTCIceCandidateInit of the W3C's WebRTC). */
type PeerCandidate = {
  candidate: string;
  sdpMid: null | string;
  sdpMLineIndex: null | number;
  usernameFragment?: string;
};

type ConsumerParams = {
  callId: string;
  id: string;
  producerId: string;
  kind: 'audio';
  rtpParameters: Record<string, unknown>;
};

/** A head of a running capture, signed: `note` is a C2SP signed note over recording, epoch, seq and head. */
type HeadReceipt = {
  recordingId: string;
  callId: string;
  epoch: number;
  seq: number;
  /** c[seq] of the journal, hex. */
  head: string;
  at: string;
  note: string;
};

type NotificationParams<Name extends NotificationName> = {
  'peer.description': {
    kind: 'answer' | 'offer';
    round: number;
    sdp: string;
    callId: string;
  };
  'peer.candidates': {
    round: number;
    candidates: PeerCandidate[];
    callId: string;
  };
  'peer.broken': {
    callId: string;
  };
  'call.incoming': {
    call: CallView;
  };
  'call.changed': {
    call: CallView;
  };
  'call.ended': {
    call: CallView;
  };
  'recording.changed': {
    recordingId: string;
    callId: string;
    chatId: string;
    state: string;
    reason?: string;
  };
  'session.closing': {
    code: string;
    message: string;
  };
  'media.consumer': ConsumerParams;
  'recording.receipt': HeadReceipt;
}[Name];

/** What a check of a finished recording against the kept heads came to. */
type EvidenceVerdict = 'confirmed' | 'mismatch' | 'unverified' | 'failed';

/** A signed head as this browser keeps it: the newest of its epoch. */
interface KeptReceipt extends HeadReceipt {
    /** Whose sign-in it came to: two people may share a browser. */
    userId: string;
    /** Whether the log's signature was checked: not every browser knows Ed25519. */
    verified: boolean;
    keptAtMs: number;
    /** Absent until the recording was looked at. */
    verdict?: EvidenceVerdict;
    problem?: string;
    /** The server's answer to the report of a mismatch: whether it finds the same. Absent until it answered. */
    serverConfirms?: boolean;
}

/** Something about the server's ledger that cannot be true of an honest one, or that this browser cannot explain. */
interface LedgerProblem {
    /**
     * `shrunk`: older than what was shown before; `forked`: does not continue it; `key_changed`: signed by another key than
     * the first time; `bad_signature`: not signed by the log.
     */
    kind: 'shrunk' | 'forked' | 'key_changed' | 'bad_signature';
    detail: string;
    /** The key that is offered now, of `key_changed`. */
    vkey?: string;
}

interface ClientEvents {
    /** The signaling connection; `error` says why it is closed for good. */
    connection: {
        state: ConnectionState;
        error?: VerbatimClientError;
    };
    /** The running call changed, began, or (undefined) is over. */
    call: CallView | undefined;
    /** Somebody calls. It stays until `accept`, `decline` or `ended`. */
    incoming: CallView;
    /** A call or a ringing is over, and why. `error` is there when this page's own side failed. */
    ended: {
        call: CallView;
        error?: VerbatimClientError;
    };
    /**
     * A secure call lost its recorder, and neither side hears the other (true) until it is secured again or over (false).
     */
    interrupted: boolean;
    /** This side's mute switch. */
    muted: boolean;
    /** Once a second while a call is active, whole seconds by the server's clock; the first one is 0. */
    timer: {
        seconds: number;
    };
    /** Every two seconds while a call is active. */
    quality: Quality;
    /** A device came or went, or another one is used. */
    devices: Devices;
    /** A recording of one of this user's chats changed its state. */
    recording: NotificationParams<'recording.changed'>;
    /** A signed head of the running capture, kept by this browser. */
    receipt: KeptReceipt;
    /** A finished recording was held against the heads that this browser kept of it. */
    evidence: {
        recordingId: string;
        verdict: EvidenceVerdict;
        problem?: string;
        /** Of a mismatch, once the server was told: whether it finds the same. */
        serverConfirms?: boolean;
    };
    /** The server's ledger is not the one that this browser knows; undefined when its new key was accepted. */
    ledger: LedgerProblem | undefined;
    /** Something that does not end the call, such as sound that the browser blocks. */
    trouble: VerbatimClientError;
}

type Notification = {
    [N in NotificationName]: {
        method: N;
        params: NotificationParams<N>;
    };
}[NotificationName];

interface SocketEvents {
    onNotification(notification: Notification): void;
    /** Once, whoever closed. `reason` is the server's word for it, or empty. */
    onClose(reason: string): void;
}

type Method = 'call.accept' | 'call.cancel' | 'call.decline' | 'call.hangup' | 'call.mute' | 'call.start' | 'disclosure.get' | 'media.connect' | 'media.open' | 'media.produce' | 'media.restartIce' | 'peer.broken' | 'peer.candidates' | 'peer.connected' | 'peer.description' | 'peer.failed' | 'peer.servers' | 'presence.get' | 'session.end' | 'session.ping' | 'session.start';

type Params<Name extends Method> = {
  'session.start': {
    token: string;
    /** Chosen by the client, stable for the life of a page or app instance. */
    device: string;
  };
  'session.end': object;
  'session.ping': object;
  'presence.get': {
    userIds: string[];
  };
  'disclosure.get': {
    locale: string;
  };
  'call.start': {
    chatId: string;
    mode: CallMode;
    consent?: Consent;
  };
  'call.accept': {
    callId: string;
    consent?: Consent;
  };
  'call.decline': {
    callId: string;
  };
  'call.cancel': {
    callId: string;
  };
  'call.hangup': {
    callId: string;
  };
  'call.mute': {
    callId: string;
    muted: boolean;
  };
  'media.open': {
    callId: string;
    rtpCapabilities: Record<string, unknown>;
  };
  'media.connect': {
    callId: string;
    direction: 'recv' | 'send';
    dtlsParameters: Record<string, unknown>;
  };
  'media.produce': {
    callId: string;
    rtpParameters: Record<string, unknown>;
  };
  'media.restartIce': {
    callId: string;
    direction: 'recv' | 'send';
  };
  'peer.servers': {
    callId: string;
  };
  'peer.description': {
    kind: 'answer' | 'offer';
    round: number;
    sdp: string;
    callId: string;
  };
  'peer.candidates': {
    round: number;
    candidates: PeerCandidate[];
    callId: string;
  };
  'peer.connected': {
    callId: string;
  };
  'peer.broken': {
    callId: string;
  };
  'peer.failed': {
    callId: string;
  };
}[Name];

/** The ledger that this server writes: what a client keeps of it is what makes a later change visible. */
type LedgerInfo = {
  /** The log's verifier key, C2SP signed-note form: `<origin>+<hash>+<base64>`. */
  vkey: string;
  /** The newest checkpoint (C2SP tlog-checkpoint, a signed note). */
  checkpoint: string;
};

/** Everything a browser needs to build one WebRTC transport (mediasoup's own shapes). */
type TransportParams = {
  id: string;
  iceParameters: Record<string, unknown>;
  iceCandidates: Record<string, unknown>[];
  dtlsParameters: Record<string, unknown>;
};

/** One STUN or TURN server, as `RTCPeerConnection` takes it. */
type IceServer = {
  urls: string[];
  username?: string;
  credential?: string;
};

/** What a browser builds its connection with. Credentials of relays are for this user, and run out. */
type IceServers = {
  iceServers: IceServer[];
  /** `relay` where the operator wants no direct paths. */
  iceTransportPolicy: 'all' | 'relay';
};

type Result<Name extends Method> = {
  'session.start': {
    appId: string;
    userId: string;
    serverTime: string;
    tokenExpiresAt: string;
    graceMs: number;
    routerRtpCapabilities: Record<string, unknown>;
    /** What this user may do now: their role's permissions, and whether the app records at all (F12, F28). */
    may: Permissions;
    /** The call that this device is in, if it came back within the grace period. */
    call?: CallView;
    /** A call that rings this user at the moment. */
    incoming?: CallView;
    /** Absent while the ledger has no checkpoint yet. */
    ledger?: LedgerInfo;
  };
  'session.end': object;
  'session.ping': object;
  'presence.get': {
    online: string[];
  };
  'disclosure.get': Disclosure;
  'call.start': CallView;
  'call.accept': CallView;
  'call.decline': object;
  'call.cancel': object;
  'call.hangup': object;
  'call.mute': object;
  'media.open': {
    send: TransportParams;
    recv: TransportParams;
  };
  'media.connect': object;
  'media.produce': {
    producerId: string;
  };
  'media.restartIce': {
    iceParameters: Record<string, unknown>;
  };
  'peer.servers': IceServers;
  'peer.description': object;
  'peer.candidates': {
    relayed: boolean;
  };
  'peer.connected': object;
  'peer.broken': object;
  'peer.failed': object;
}[Name];

/** A connection that lives once: after `onClose` every request fails with `connection_lost`. */
interface SignalingSocket {
    /** When the last message came, by the monotonic clock. */
    readonly lastHeardAtMs: number;
    request<M extends Method>(method: M, params: Params<M>, timeoutMs?: number): Promise<Result<M>>;
    close(reason?: string): void;
}

/** Which microphone, and how: both are wishes of the page. */
interface MicrophoneWish {
    constraints: MediaTrackConstraints | undefined;
    /** Absent: the browser's choice. */
    id: string | undefined;
}

/**
 * Opens the microphone. When `signal` aborts while the browser still asks the person, the track that comes
 * afterwards is stopped at once: no microphone stays on for a call that is over.
 * @throws VerbatimClientError `microphone_denied`, `microphone_missing` (also when the wished one is not there),
 *   `microphone_busy` or `call_over`
 */
declare function openMicrophone(wish: MicrophoneWish, signal: AbortSignal): Promise<MediaStreamTrack>;

/** True when the person has allowed the microphone before, so that opening it asks nothing and is quick. */
declare function microphoneIsGranted(): Promise<boolean>;

interface MediaPathDeps {
    callId: string;
    side: Side;
    request<M extends Method>(method: M, params: Params<M>): Promise<Result<M>>;
    /** The same for what the server answers only once: a connection that is lost meanwhile is waited for. */
    ask<M extends Method>(method: M, params: Params<M>): Promise<Result<M>>;
    onRemoteTrack(track: MediaStreamTrack): void;
    /** The path cannot be built; not called for one that breaks later, which is mended or ended by the server. */
    onFailed(error: VerbatimClientError): void;
}

/** What the server passes on from the other browser. */
type PeerNotification = Extract<Notification, {
    method: `peer.${string}`;
}>;

/** What was sent and heard in a call, for a quality display and for tests. */
interface CallStats {
    inbound: {
        packets: number;
        bytes: number;
        lost: number;
        /** Seconds. */
        jitter: number;
        /** Of the other side's audio now, 0 to 1. */
        audioLevel: number;
        /** Grows by level² × seconds of everything that was played: 0 means that nothing was ever heard. */
        totalAudioEnergy: number;
    };
    outbound: {
        packets: number;
        bytes: number;
        audioLevel: number;
        /** What the receiver says of it (RTCP); absent until it has said anything. Jitter in seconds. */
        reported?: {
            lost: number;
            jitter: number;
        };
    };
    /** Milliseconds to the media server (peer to peer: to the other side) and back; undefined until it is measured. */
    rttMs: number | undefined;
    send: string;
    recv: string;
}

/** The audio of one call, both ways, from the first request until `close()`. */
interface MediaPath {
    /** Asks the server at once, and sends as soon as there is a microphone. `microphone` is asked when it is needed. */
    start(microphone: () => Promise<MediaStreamTrack>): Promise<void>;
    /** The other side's audio can be received through the server: in secure calls. */
    offer?(params: ConsumerParams): void;
    /** What the other browser says: in voice calls, which go from browser to browser. */
    peer?(notification: PeerNotification): void;
    /** The called side has accepted. */
    accepted?(): void;
    /** Another microphone in the place of the present one, without a gap in what is sent. */
    replaceTrack(track: MediaStreamTrack): Promise<void>;
    /** After the signaling connection came back: whatever broke meanwhile is mended now. */
    mend(): void;
    stats(): Promise<CallStats>;
    close(): void;
}

/**
 * Everything through which this SDK meets the world: the real one is `BROWSER`, the one of `testing.ts` stays in
 * memory.
 */
interface Transport {
    /** Opens a signaling connection. @throws VerbatimClientError `connection_lost` or `timeout` */
    open(url: string, events: SocketEvents): Promise<SignalingSocket>;
    fetch(url: URL, init: RequestInit): Promise<Response>;
    openMicrophone: typeof openMicrophone;
    microphoneIsGranted: typeof microphoneIsGranted;
    /** @throws VerbatimClientError `insecure_page` or `webrtc_unsupported` */
    assertCanCall(): void;
    /** Carries the audio of calls in place of WebRTC. */
    media?(deps: MediaPathDeps): MediaPath;
}

interface ClientOptions {
    /** The server, `https://calls.example`. */
    url: string;
    /** A user token that the messenger's server signed, when the page lives no longer than the token. */
    token?: string;
    /** Fetches a user token from the messenger's server: at each sign-in and before the present one runs out. */
    getToken?: () => Promise<string>;
    /** 8-64 characters of A-Z a-z 0-9 _ -; without one this page is a device of its own. */
    device?: string;
    /** Wishes for the microphone, on top of one channel with echo cancellation. */
    microphone?: MediaTrackConstraints;
    /** Plays the other side; without one the SDK makes its own. */
    audio?: HTMLAudioElement;
    /** For tests: what `TestServer.options()` gives. */
    transport?: Transport;
}

/** Which page of a list: `cursor` is the `next` of the page before. */
interface PageQuery {
    limit?: number;
    cursor?: string;
}

/** A recording that plays in an `<audio>` element of the page; see `VerbatimClient.play`. */
interface Playback {
    readonly recordingId: string;
    /** Lets the element go. */
    close(): void;
}

/** What this browser knows of one recording. */
interface EvidenceState {
    recordingId: string;
    /** Absent while the recording was not checked yet. */
    verdict?: EvidenceVerdict;
    /** Why, in words, unless it is confirmed. */
    problem?: string;
    /** Of a mismatch: whether the server, asked, finds the same; absent until it answered. */
    serverConfirms?: boolean;
    /** The newest signed head of each epoch, oldest first. */
    receipts: readonly KeptReceipt[];
}

/**
 * One signed-in user on one page, with at most one call.
 * `connect()` first; then `startCall`, or `accept` after an `incoming` event; `hangup()`; `close()` at the end.
 */
declare class VerbatimClient extends Emitter<ClientEvents> {
    #private;
    readonly device: string;
    constructor(options: ClientOptions);
    get state(): ConnectionState;
    get userId(): string | undefined;
    /** The running call of this page. */
    get call(): CallView | undefined;
    /** The call that rings this user. */
    get incoming(): CallView | undefined;
    /** The running secure call lost its recorder: neither side hears the other until it is secured again. */
    get interrupted(): boolean;
    get muted(): boolean;
    /** What this user may start and see by their role; everything before the first sign-in. */
    get may(): Permissions;
    /** The newest figures of the running call, or the last ones of the call before. */
    get quality(): Quality | undefined;
    /** How long the call has been active, by the server's clock; 0 before. For an mm:ss timer. */
    get durationMs(): number;
    /** Resolves when signed in; keeps trying through network trouble. @throws VerbatimClientError when refused for good */
    connect(): Promise<void>;
    /** Signs off: a running call ends for both. Safe to call again. */
    close(): Promise<void>;
    /** Which of these users are online. */
    presence(userIds: string[]): Promise<Set<string>>;
    /**
     * The text that a person has to agree to before a secure call; show exactly this text.
     * @throws VerbatimClientError `corrupt` when the text is not the one that the consent would name
     */
    disclosure(locale?: string): Promise<Disclosure>;
    /**
     * Calls the other member of a direct chat. The microphone is opened first, so that nobody is rung by a caller
     * who cannot speak. A secure call needs `consentTo(disclosure)` of the text that was shown.
     * @throws VerbatimClientError `user_offline`, `user_busy`, `consent_required`, `microphone_denied`, …
     */
    startCall(params: {
        chatId: string;
        mode: CallMode;
        consent?: Consent;
    }): Promise<CallView>;
    /**
     * Accepts the ringing call. Accepting a secure call is the callee's consent.
     * @throws VerbatimClientError `answered_elsewhere`, `consent_required`, `microphone_denied`, …
     */
    accept(consent?: Consent): Promise<CallView>;
    decline(): Promise<void>;
    /** Takes back a call that still rings, or ends a running one: whatever fits. The microphone is off at once. */
    hangup(): Promise<void>;
    /** The same as `hangup()`, for a call that still rings. */
    cancel(): Promise<void>;
    mute(): void;
    unmute(): void;
    /** Mutes this side only: the other is heard on. It works at once, also without a connection. */
    setMuted(muted: boolean): void;
    /** Tries again to play the other side, after `trouble` with `playback_blocked`; call it in a click. */
    resumeAudio(): Promise<void>;
    /** Figures of the running call, or the last ones of the call before. */
    stats(): Promise<CallStats>;
    /** The microphones and loudspeakers of this machine, and which are used. The event `devices` tells of changes. */
    devices(): Promise<Devices>;
    /**
     * Uses this microphone, in the running call at once and without a gap, and in those to come; without an id, the
     * browser's choice. Should it be gone when a call begins, another one takes its place.
     * @throws VerbatimClientError `microphone_missing`, `microphone_busy`, …: the call goes on with the one it has
     */
    setMicrophone(id?: string): Promise<void>;
    /**
     * Plays the other side here; without an id, on the system's usual loudspeaker.
     * @throws VerbatimClientError `speaker_unsupported`, `speaker_missing`, `speaker_denied`
     */
    setSpeaker(id?: string): Promise<void>;
    /** The calls of a chat that this user took part in, of both modes, newest first (F18). */
    listCalls(chatId: string, page?: PageQuery): Promise<CallHistoryPage>;
    /** The secure calls of a chat, newest first. */
    listRecordings(chatId: string, page?: PageQuery): Promise<RecordingPage>;
    getRecording(recordingId: string): Promise<Recording>;
    /**
     * An address for `<audio crossorigin="use-credentials">`, or with `attachment` for a link that saves the file. To be
     * played it comes in a format that this browser plays; to be saved, as the recording is kept, unless you name one.
     */
    playbackUrl(recordingId: string, disposition?: Disposition, format?: RecordingFormat): Promise<string>;
    /** The waveform, in audiowaveform's JSON form (version 2); the caller is channel 0. */
    peaks(recordingId: string): Promise<Waveform>;
    /** Transcript and chat messages, as far as the app supplied them, in the order of time (F27). */
    timeline(recordingId: string): Promise<Timeline>;
    /** Who listed, played or downloaded it, newest first (F39). */
    accessLog(recordingId: string, page?: PageQuery): Promise<AccessPage>;
    /**
     * Loads a recording into an audio element, and goes on where it stood when its address runs out. The page plays,
     * pauses and seeks the element itself. `onError` hears what ends it later on.
     * @throws VerbatimClientError `recording_not_ready`, `recording_failed`, …
     */
    loadRecording(audio: HTMLAudioElement, recordingId: string, onError?: (error: VerbatimClientError) => void): Promise<Playback>;
    /**
     * Saves the audio file, in WebM as it is kept unless you name another format: the packets are the same in each.
     * @throws VerbatimClientError `recording_not_ready`, `format_unavailable`, …
     */
    download(recordingId: string, format?: RecordingFormat): Promise<void>;
    /** The newest signed head of a capture that came to this page. */
    get receipt(): KeptReceipt | undefined;
    /** What does not fit about the server's ledger; undefined when all that was seen fits. */
    get ledgerProblem(): LedgerProblem | undefined;
    /** Whether what is kept outlives this page; false in private windows and where storage is refused. */
    evidencePersists(): Promise<boolean>;
    /** What this browser keeps of a recording and what it came to; undefined when it keeps nothing. */
    evidence(recordingId: string): Promise<EvidenceState | undefined>;
    /** Holds the recording against the kept heads once more; what is found comes as `evidence`, too. */
    checkEvidence(recordingId: string): Promise<EvidenceState | undefined>;
    /** After a `ledger` event of `key_changed`: the new key is the server's own, as its operator confirms. */
    acceptLedgerKey(vkey: string): Promise<void>;
    /**
     * Saves the evidence bundle of a recording: the audio with all that proves it, for checking without this server.
     * @throws VerbatimClientError `recording_not_ready`, `no_evidence`, …
     */
    downloadBundle(recordingId: string): Promise<void>;
}

export { AccessEvent, AccessPage, CallHistoryItem, CallHistoryPage, CallMode, CallStats, CallView, ClientErrorCode, ClientEvents, ClientOptions, ConnectionState, Consent, Devices, Disclosure, Disposition, EndReason, ErrorCode, EvidenceState, EvidenceVerdict, Grant, KeptReceipt, LedgerProblem, MediaDeviceChoice, MediaPath, PageQuery, Permissions, Playback, Quality, QualityLevel, Recording, RecordingFormat, RecordingPage, RecordingState, SignalingSocket, Timeline, TimelineMessage, TranscriptSegment, Transport, VerbatimClient, VerbatimClientError, Waveform, consentTo };
