import type { CallView, NotificationParams } from '#protocol';
import type { VerbatimClientError } from './errors.ts';
import type { EvidenceVerdict, KeptReceipt } from './evidence-store.ts';
import type { LedgerProblem } from './ledger-watch.ts';
import type { ConnectionState } from './session.ts';
import type { Transport } from './transport.ts';

export interface ClientOptions {
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

/** What `devices()` tells. Labels are empty until the person has allowed the microphone once (a rule of browsers). */
export interface Devices {
  microphones: MediaDeviceChoice[];
  speakers: MediaDeviceChoice[];
  /** Of the running call, or else the chosen one; absent while it is the browser's choice. */
  microphoneId?: string;
  /** Absent while it is the system's usual one. */
  speakerId?: string;
  /** False where the browser plays on the system's loudspeaker only: then offer no choice. */
  speakerSelectable: boolean;
}

export interface MediaDeviceChoice {
  id: string;
  label: string;
}

/** How the last two seconds of a call were. A figure is absent while it is not known. */
export interface Quality {
  /** The worse of both directions. */
  level: QualityLevel;
  /** Of what this side receives, 0 to 100. */
  lossPercent?: number;
  jitterMs?: number;
  /** To the media server and back; in a peer-to-peer call, to the other side and back. */
  rttMs?: number;
  /** Of what this side sends, as the receiver reports it. */
  sent?: { lossPercent?: number; jitterMs?: number };
}

export type QualityLevel = 'good' | 'fair' | 'poor';

/** A recording that plays in an `<audio>` element of the page; see `VerbatimClient.play`. */
export interface Playback {
  readonly recordingId: string;
  /** Lets the element go. */
  close(): void;
}

/** Which page of a list: `cursor` is the `next` of the page before. */
export interface PageQuery {
  limit?: number;
  cursor?: string;
}

export interface ClientEvents {
  /** The signaling connection; `error` says why it is closed for good. */
  connection: { state: ConnectionState; error?: VerbatimClientError };
  /** The running call changed, began, or (undefined) is over. */
  call: CallView | undefined;
  /** Somebody calls. It stays until `accept`, `decline` or `ended`. */
  incoming: CallView;
  /** A call or a ringing is over, and why. `error` is there when this page's own side failed. */
  ended: { call: CallView; error?: VerbatimClientError };
  /**
   * A secure call lost its recorder, and neither side hears the other (true) until it is secured again or over (false).
   */
  interrupted: boolean;
  /** This side's mute switch. */
  muted: boolean;
  /** Once a second while a call is active, whole seconds by the server's clock; the first one is 0. */
  timer: { seconds: number };
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
