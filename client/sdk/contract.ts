import type { CallView, NotificationParams } from '#protocol';
import type { VerbatimClientError } from './errors.ts';
import type { EvidenceVerdict, KeptReceipt } from './evidence-store.ts';
import type { LedgerProblem } from './ledger-watch.ts';
import type { ConnectionState } from './session.ts';

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
