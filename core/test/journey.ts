import type { CallMode, CallView, EndReason, Recording, RecordingFormat } from '#protocol';

// What client/test/journey-page.ts gives a test, written down without the types of the DOM.

/** One thing that the SDK told the page. `atMs` is Unix time with fractions. */
export type Seen = { atMs: number } & (
  | { type: 'connection'; state: string; error?: string }
  | { type: 'call'; call?: CallView }
  | { type: 'incoming'; call: CallView }
  | { type: 'ended'; call: CallView; reason?: EndReason; error?: string }
  | { type: 'recording'; recordingId: string; state: string }
  | { type: 'trouble'; error: string }
  /** The page asked the SDK for this: the moment of a click. */
  | { type: 'asked'; what: string }
  | { type: 'timer'; seconds: number }
  | { type: 'quality'; level: string; lossPercent?: number; jitterMs?: number; rttMs?: number }
  | { type: 'devices'; microphoneId?: string }
);

/** The SDK's figures of a call, as far as journeys look at them. */
export interface Figures {
  inbound: { packets: number; bytes: number; lost: number; totalAudioEnergy: number };
  outbound: { packets: number; bytes: number };
}

/** What an audio element did with a recording. */
export interface Played {
  /** From the call of `play()` to the first sound. */
  firstSoundMs: number;
  seconds: number;
  /** Where it was after it was sent to `to` and had played on for a while. */
  to: number;
  at: number;
}

/** `window.journey` of the page. Each answers when the SDK has; a refusal rejects with `code: sentence`. */
export interface Journey {
  seen: Seen[];
  /** Resolves as soon as more than `count` things were seen, and after `ms` in any case. */
  moreThan(count: number, ms: number): Promise<void>;
  call(mode: CallMode): Promise<void>;
  accept(): Promise<void>;
  decline(): Promise<void>;
  hangup(): Promise<void>;
  mute(muted: boolean): Promise<void>;
  figures(): Promise<Figures>;
  /** Resolves when this many packets were received in all; rejects after `ms`. */
  hear(packets: number, ms: number): Promise<Figures>;
  /** When the other side was first heard in the running call, in Unix time with fractions; rejects after `ms`. */
  firstSound(ms: number): Promise<number>;
  recordings(): Promise<Recording[]>;
  /** Plays a recording in an audio element, in this format or the browser's own, jumps to second `to` and plays on. */
  play(recordingId: string, to: number, format?: RecordingFormat): Promise<Played>;
  /** Root mean square of each channel as this browser decodes the whole file. */
  loudness(recordingId: string): Promise<number[]>;
  /** This person's copy of the file, in base64. */
  copy(recordingId: string): Promise<string>;
  /** The microphones by their ids. */
  microphones(): Promise<string[]>;
  useMicrophone(id?: string): Promise<void>;
}
