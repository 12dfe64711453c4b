import type { EndReason, VerbatimClientError } from '../../sdk/index.ts';
import type { TabTexts } from './tab-texts.ts';

/** What happened, and what to do about it where something can be done. */
export interface ErrorText {
  what: string;
  todo?: string;
}

export type ErrorCode = VerbatimClientError['code'];

/** All words of the elements. `{name}` is the other person, `{seconds}`-like words in braces are filled in. */
export interface Texts {
  button: {
    call: string;
    callNamed: string;
    voice: string;
    voiceHint: string;
    secure: string;
    secureHint: string;
    offline: string;
    inCall: string;
  };
  consent: {
    title: string;
    loading: string;
    bothAsked: string;
    confirm: string;
    cancel: string;
    retry: string;
    guidanceTitle: string;
    guidance: readonly string[];
  };
  popup: {
    label: string;
    unknownPeer: string;
    incoming: string;
    incomingSecure: string;
    /** For screen readers, while focus stays where the person is at work. */
    announceIncoming: string;
    accept: string;
    agreeAccept: string;
    decline: string;
    microphone: string;
    calling: string;
    connecting: string;
    inCall: string;
    recording: string;
    recordingBadge: string;
    interrupted: string;
    interruptedNote: string;
    reconnecting: string;
    peerMuted: string;
    mute: string;
    unmute: string;
    muted: string;
    hangup: string;
    cancel: string;
    close: string;
    minimise: string;
    expand: string;
    devices: string;
    microphoneDevice: string;
    speakerDevice: string;
    defaultDevice: string;
    enableSound: string;
    poorConnection: string;
    secureMode: string;
    voiceMode: string;
    duration: string;
    /** `{head}` is short enough to be read out to the other side; `{whole}` is all of it. */
    chain: string;
    chainHint: string;
    notifyTitle: string;
    notifyAllow: string;
  };
  /** How a call ended, as the one who called and the one who was called read it. */
  ended: Record<EndReason, { caller: ErrorText; callee: ErrorText }>;
  tab: TabTexts;
  errors: Record<ErrorCode, ErrorText>;
}

/** Some of the texts, in any depth. */
export type PartialTexts<T = Texts> = {
  [K in keyof T]?: T[K] extends string | readonly string[] | undefined ? T[K] : PartialTexts<T[K]>;
};
