import { EventEmitter } from 'node:events';
import type { Side, TransportParams } from '#protocol';
import { VerbatimError } from '#protocol';
import type {
  CallMedia,
  CallMediaClosedReason,
  IceState,
  MediaServer,
  MediaWorkerStats,
  OfferedConsumer,
  Opaque,
  RecorderEndpoint,
  RecorderLegs,
} from './contract.ts';

const capabilities = {
  codecs: [
    { kind: 'audio', mimeType: 'audio/opus', preferredPayloadType: 111, clockRate: 48_000, channels: 2 },
  ],
  headerExtensions: [],
};

/** A media server without processes or sockets: it keeps the order of what was asked, and fails where it is told to. */
export class FakeMediaServer extends EventEmitter<{ workerDied: [string[]] }> implements MediaServer {
  readonly calls = new Map<string, FakeCallMedia>();
  readonly forgotten: string[] = [];
  /** The admission limit. */
  maxCalls = Number.POSITIVE_INFINITY;
  closed = false;

  routerRtpCapabilities(): Opaque {
    return structuredClone(capabilities);
  }

  async openCall(callId: string): Promise<FakeCallMedia> {
    if (this.closed) throw new VerbatimError('shutting_down');
    if (this.calls.has(callId))
      throw new VerbatimError('conflict', `the media of call ${callId} is open already`);
    if (this.calls.size >= this.maxCalls) throw new VerbatimError('busy_server');
    const call = new FakeCallMedia(callId, () => this.calls.delete(callId));
    this.calls.set(callId, call);
    return call;
  }

  forgetRecorder(recorderId: string): void {
    this.forgotten.push(recorderId);
  }

  async stats(): Promise<MediaWorkerStats[]> {
    return [
      { pid: 0, port: 0, cpu: 0, calls: this.calls.size, recorderLinks: 0, packets: 0, lost: 0, bytes: 0 },
    ];
  }

  /** What happens when the one worker dies. */
  dieWorker(): void {
    this.emit('workerDied', this.#endCalls('worker_died'));
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.#endCalls('server_closed');
    this.removeAllListeners();
  }

  #endCalls(reason: CallMediaClosedReason): string[] {
    const calls = [...this.calls.values()];
    this.calls.clear();
    for (const call of calls) call.hostClosed(reason);
    return calls.map(({ callId }) => callId);
  }
}

type Method = Exclude<keyof CallMedia, 'callId' | 'closed' | 'on' | 'hasProducer' | 'routerRtpCapabilities'>;
type Direction = 'send' | 'recv';

export class FakeCallMedia
  extends EventEmitter<{ iceState: [Side, IceState]; closed: [CallMediaClosedReason] }>
  implements CallMedia
{
  readonly callId: string;
  closed = false;
  /** What was asked, in order, for example `produce caller`. */
  readonly acts: string[] = [];
  /** Whether the browsers hear each other, and whether the recorder hears them. */
  audible = false;
  recorded = false;
  recorder: RecorderEndpoint | undefined;
  readonly #transports = new Set<string>();
  readonly #producers = new Set<Side>();
  readonly #consumers = new Set<Side>();
  readonly #failures = new Map<Method, Error>();
  readonly #onClose: () => void;

  constructor(callId: string, onClose: () => void = () => {}) {
    super();
    this.callId = callId;
    this.#onClose = onClose;
  }

  /** The next call of this method rejects with the error. */
  failNext(method: Method, error: Error = new VerbatimError('media_failed')): void {
    this.#failures.set(method, error);
  }

  routerRtpCapabilities(): Opaque {
    return structuredClone(capabilities);
  }

  async createTransport(side: Side, direction: Direction): Promise<TransportParams> {
    const id = transportId(side, direction);
    this.#act('createTransport', side, direction);
    if (this.#transports.has(id)) throw new VerbatimError('conflict');
    this.#transports.add(id);
    return { id, iceParameters: {}, iceCandidates: [], dtlsParameters: {} };
  }

  async connectTransport(side: Side, id: string, _dtlsParameters: Opaque): Promise<void> {
    this.#act('connectTransport', side);
    this.#find(side, id);
  }

  async restartIce(side: Side, id: string): Promise<Opaque> {
    this.#act('restartIce', side);
    this.#find(side, id);
    return {};
  }

  async produce(side: Side, id: string, _rtpParameters: Opaque): Promise<{ producerId: string }> {
    this.#act('produce', side);
    if (id !== transportId(side, 'send')) throw new VerbatimError('not_found');
    this.#find(side, id);
    if (this.#producers.has(side)) throw new VerbatimError('conflict');
    this.#producers.add(side);
    return { producerId: `${side}-producer` };
  }

  hasProducer(side: Side): boolean {
    return this.#producers.has(side);
  }

  async consume(side: Side, _rtpCapabilities: Opaque): Promise<OfferedConsumer> {
    this.#act('consume', side);
    const other = side === 'caller' ? 'callee' : 'caller';
    const ready = this.#transports.has(transportId(side, 'recv')) && this.#producers.has(other);
    if (!ready || this.#consumers.has(side)) throw new VerbatimError('conflict');
    this.#consumers.add(side);
    return { id: `${side}-consumer`, producerId: `${other}-producer`, kind: 'audio', rtpParameters: {} };
  }

  async resumeConsumers(): Promise<void> {
    this.#act('resumeConsumers');
    this.audible = true;
  }

  async pauseConsumers(): Promise<void> {
    this.#act('pauseConsumers');
    this.audible = false;
  }

  async attachRecorder(recorder: RecorderEndpoint): Promise<RecorderLegs> {
    this.#act('attachRecorder', recorder.recorderId);
    if (this.#producers.size < 2) throw new VerbatimError('conflict');
    this.recorder = recorder;
    this.recorded = false;
    return {
      source: { ip: '127.0.0.1', port: 40_000 },
      legs: [
        { side: 'caller', ssrc: 1, payloadType: 111, clockRate: 48_000, audioLevelExtId: 10 },
        { side: 'callee', ssrc: 2, payloadType: 111, clockRate: 48_000, audioLevelExtId: 10 },
      ],
    };
  }

  async resumeRecorder(): Promise<void> {
    this.#act('resumeRecorder');
    if (!this.recorder) throw new VerbatimError('conflict');
    this.recorded = true;
  }

  close(): void {
    if (this.closed) return;
    this.#end();
    this.#onClose();
    this.removeAllListeners();
  }

  /** Told by the fake server, as the real one does. */
  hostClosed(reason: CallMediaClosedReason): void {
    if (this.closed) return;
    this.#end();
    this.emit('closed', reason);
    this.removeAllListeners();
  }

  #end(): void {
    this.closed = true;
    this.audible = false;
    this.recorded = false;
    this.acts.push('close');
  }

  #act(method: Method, ...words: string[]): void {
    this.acts.push([method, ...words].join(' '));
    const failure = this.#failures.get(method);
    this.#failures.delete(method);
    if (failure) throw failure;
    if (this.closed) throw new VerbatimError('conflict', 'the media of this call is closed');
  }

  #find(side: Side, id: string): void {
    if (!id.startsWith(`${side}-`) || !this.#transports.has(id)) throw new VerbatimError('not_found');
  }
}

function transportId(side: Side, direction: Direction): string {
  return `${side}-${direction}`;
}
