import type { CaptureLeg, Side, TransportParams } from '#protocol';

/** JSON whose shape is mediasoup's; it passes through the other rooms untouched. */
export type Opaque = Record<string, unknown>;

export interface MediaOptions {
  /** How many media workers; one per core when it is not given. */
  readonly workers?: number;
  readonly listenIp: string;
  /** The address in ICE candidates, when browsers reach the server by another one than `listenIp`. */
  readonly announcedAddress?: string;
  /** Worker i listens on `basePort + i`, UDP and TCP; 0 takes any free port. */
  readonly basePort: number;
  /** A call is refused when the least loaded worker uses more than this share of a core. */
  readonly maxCpu: number;
  /** The worker's executable; otherwise the one that MEDIASOUP_WORKER_BIN names. */
  readonly workerBin?: string;
  /** The source address towards recorders on other hosts; `listenIp` when it is not given. Loopback stays loopback. */
  readonly recorderLinkIp?: string;
  readonly log?: MediaLog;
}

/** The part of a pino logger that this room uses. */
export interface MediaLog {
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
  error(fields: Record<string, unknown>, message: string): void;
}

export interface MediaServer {
  /** What a browser's device is loaded with; the same for every call. */
  routerRtpCapabilities(): Opaque;
  /**
   * Gives a call its place on the least loaded worker.
   * @throws VerbatimError `busy_server` past the admission limit, `unavailable` while no worker runs,
   * `conflict` for a call id that is open already.
   */
  openCall(callId: string): Promise<CallMedia>;
  /** Closes the links to a recorder that is gone; its legs end with them. */
  forgetRecorder(recorderId: string): void;
  stats(): Promise<MediaWorkerStats[]>;
  /** A worker process died; these calls ended with it, and each was told before. */
  on(event: 'workerDied', listener: (callIds: string[]) => void): this;
  /** Ends every call and every worker; resolves when the processes are gone. Idempotent. */
  close(): Promise<void>;
}

export interface MediaWorkerStats {
  readonly pid: number;
  /** The port that browsers reach it by, UDP and TCP. */
  readonly port: number;
  /** Share of one core over the last interval of about two seconds. */
  readonly cpu: number;
  readonly calls: number;
  readonly recorderLinks: number;
  // Since the process began, of what browsers send; looked at every ten seconds while a call runs.
  readonly packets: number;
  /** Packets that never came, by their sequence numbers. */
  readonly lost: number;
  readonly bytes: number;
}

/**
 * A side's media path as a whole: `connected` when ICE and DTLS of a transport are up and none that was up is down.
 * A page that vanishes without a word is noticed after 15 s (ICE consent); its signaling connection tells sooner.
 */
export type IceState = 'connected' | 'disconnected' | 'failed';

/** Why a call's media closed without being asked to. */
export type CallMediaClosedReason = 'worker_died' | 'server_closed';

/**
 * The media of one call: for each side a transport in each direction, one producer, and one consumer of the other's.
 *
 * A method that finds the call closed, before or after it waited, throws `conflict`; wrong parameters of a browser
 * throw `bad_request`; whatever else fails in the worker throws `media_failed` with the cause.
 */
export interface CallMedia {
  readonly callId: string;
  readonly closed: boolean;
  routerRtpCapabilities(): Opaque;
  /** @throws VerbatimError `conflict` when the side has a transport in this direction. */
  createTransport(side: Side, direction: 'send' | 'recv'): Promise<TransportParams>;
  connectTransport(side: Side, transportId: string, dtlsParameters: Opaque): Promise<void>;
  /** Answers the new ICE parameters for the browser's `restartIce`. */
  restartIce(side: Side, transportId: string): Promise<Opaque>;
  /** Opus only, one for each side. */
  produce(side: Side, transportId: string, rtpParameters: Opaque): Promise<{ producerId: string }>;
  hasProducer(side: Side): boolean;
  /**
   * The other side's audio for this one, through the side's receiving transport. Silent (paused) while the call is:
   * before resumeConsumers(), and after pauseConsumers() until it is resumed again.
   */
  consume(side: Side, rtpCapabilities: Opaque): Promise<OfferedConsumer>;
  /** Lets both browsers hear each other, from now on. */
  resumeConsumers(): Promise<void>;
  /** Neither browser hears the other from now on, until resumeConsumers(). Both may be called as often as needed. */
  pauseConsumers(): Promise<void>;
  /**
   * Joins both producers to this recorder, still silent, and says by what the recorder tells the legs apart. A second
   * call replaces the legs of the first (another recorder took over). Both sides must be producing.
   */
  attachRecorder(recorder: RecorderEndpoint): Promise<RecorderLegs>;
  /** Starts the flow to the recorder; call it last, when the recorder knows its legs. */
  resumeRecorder(): Promise<void>;
  on(event: 'iceState', listener: (side: Side, state: IceState) => void): this;
  on(event: 'closed', listener: (reason: CallMediaClosedReason) => void): this;
  /** Idempotent; emits nothing. */
  close(): void;
}

export interface OfferedConsumer {
  readonly id: string;
  readonly producerId: string;
  readonly kind: 'audio';
  readonly rtpParameters: Opaque;
}

export interface SrtpKey {
  readonly cryptoSuite: 'AEAD_AES_256_GCM' | 'AEAD_AES_128_GCM' | 'AES_CM_128_HMAC_SHA1_80';
  /** Master key and salt, base64. */
  readonly keyBase64: string;
}

/** Where a recorder listens. */
export interface RecorderEndpoint {
  readonly recorderId: string;
  readonly ip: string;
  readonly port: number;
  /** The recorder's own sending key; with it the link is SRTP in both directions. For recorders on other hosts. */
  readonly srtp?: SrtpKey;
}

export interface RecorderLegs {
  /** The address from which the recorder will see the packets come, and the key they are protected with. */
  readonly source: { readonly ip: string; readonly port: number; readonly srtp?: SrtpKey };
  readonly legs: CaptureLeg[];
}
