import type { ConsumerParams, Method, Params, Result, Side } from '#protocol';
import type { VerbatimClientError } from './errors.ts';
import { assertCanCall, microphoneIsGranted, openMicrophone } from './microphone.ts';
import type { Notification, SocketEvents } from './rpc-socket.ts';
import { RpcSocket } from './rpc-socket.ts';
import type { CallStats } from './stats.ts';

/**
 * Everything through which this SDK meets the world: the real one is `BROWSER`, the one of `testing.ts` stays in
 * memory.
 */
export interface Transport {
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

/** A connection that lives once: after `onClose` every request fails with `connection_lost`. */
export interface SignalingSocket {
  /** When the last message came, by the monotonic clock. */
  readonly lastHeardAtMs: number;
  request<M extends Method>(method: M, params: Params<M>, timeoutMs?: number): Promise<Result<M>>;
  close(reason?: string): void;
}

/** What the server passes on from the other browser. */
export type PeerNotification = Extract<Notification, { method: `peer.${string}` }>;

export interface MediaPathDeps {
  callId: string;
  side: Side;
  request<M extends Method>(method: M, params: Params<M>): Promise<Result<M>>;
  /** The same for what the server answers only once: a connection that is lost meanwhile is waited for. */
  ask<M extends Method>(method: M, params: Params<M>): Promise<Result<M>>;
  onRemoteTrack(track: MediaStreamTrack): void;
  /** The path cannot be built; not called for one that breaks later, which is mended or ended by the server. */
  onFailed(error: VerbatimClientError): void;
}

/** The audio of one call, both ways, from the first request until `close()`. */
export interface MediaPath {
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

export const BROWSER: Transport = {
  open: (url, events) => RpcSocket.open(url, events),
  fetch: (url, init) => fetch(url, init),
  openMicrophone,
  microphoneIsGranted,
  assertCanCall,
};
