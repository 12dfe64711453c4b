// The types of `verbatim-ui.js`, the call elements.
// Generated from the sources by `npm run docs`.
import type { AccessEvent, CallMode, CallView, ClientOptions, EndReason, Recording, VerbatimClient, VerbatimClientError } from '../sdk/verbatim.js';

/**
 * Makes the page's client and connects it: all elements use it. Why it cannot connect is what the elements show, and
 * what the client's `connection` event tells; `connect()` of the client, asked again, rejects with it.
 */
declare function connectVerbatim(options: ClientOptions): VerbatimClient;

/** Lets all elements use a client that the page made and connects itself; undefined takes it away again. */
declare function useClient(client: VerbatimClient | undefined): void;

/** The language of all elements that have no `locale` of their own; undefined: the page's, then the browser's. */
declare function setLocale(locale: string | undefined): void;

/** What happened, and what to do about it where something can be done. */
interface ErrorText {
    what: string;
    todo?: string;
}

/** Why there is nothing to play. Reasons of the server that are not among them are read as a capture error. */
type AbsenceReason = 'recording_off' | 'too_short' | 'not_armed' | 'capture_error' | 'removed' | 'expired';

/** The words of the Calls tab. `{name}` is a person; the other words in braces are filled in, too. */
interface TabTexts {
    label: string;
    loading: string;
    empty: string;
    emptyHint: string;
    offline: string;
    retry: string;
    more: string;
    outgoing: string;
    incoming: string;
    /** For a page that looks at the call of two others, such as after a change of the chat's members. */
    between: string;
    status: Record<Recording['state'], string>;
    /** Told to screen readers when a row changes. */
    changed: string;
    play: string;
    pause: string;
    download: string;
    /** Ends the names of a row's buttons, which would be the same in every row otherwise. */
    ofCall: string;
    loadingRecording: string;
    noRecording: string;
    notYet: string;
    running: string;
    /** A recording that was removed, or ran out. */
    removedOn: string;
    removedBecause: string;
    absence: Record<AbsenceReason, string>;
    position: string;
    positionText: string;
    speed: string;
    voices: string;
    together: string;
    apart: string;
    noWaveform: string;
    you: string;
    caller: string;
    callee: string;
    timeline: string;
    timelineLoading: string;
    timelineFailed: string;
    timelineEmpty: string;
    playFrom: string;
    message: string;
    bundle: string;
    bundleHint: string;
    evidence: {
        checking: string;
        confirmed: string;
        mismatch: string;
        mismatchTodo: string;
        reportPending: string;
        reportConfirmed: string;
        reportDenied: string;
        unverified: string;
        failed: string;
        none: string;
        again: string;
    };
    listeners: {
        title: string;
        loading: string;
        empty: string;
        more: string;
        app: string;
        admin: string;
        someone: string;
        actions: Record<AccessEvent['action'], string>;
        times: string;
    };
}

type ErrorCode = VerbatimClientError['code'];

/** All words of the elements. `{name}` is the other person, `{seconds}`-like words in braces are filled in. */
interface Texts {
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
    ended: Record<EndReason, {
        caller: ErrorText;
        callee: ErrorText;
    }>;
    tab: TabTexts;
    errors: Record<ErrorCode, ErrorText>;
}

/** Some of the texts, in any depth. */
type PartialTexts<T = Texts> = {
    [K in keyof T]?: T[K] extends string | readonly string[] | undefined ? T[K] : PartialTexts<T[K]>;
};

/**
 * Replaces some or all texts of a language (`de`, or `de-CH` for that region only), or adds a language: what is not
 * given stays as it is, and is English in a language that was not there before.
 */
declare function setTexts(locale: string, texts: PartialTexts): void;

/** `<verbatim-call-button>` */
interface VerbatimCallButtonElement extends HTMLElement {
    /** The direct chat that is called. */
    chatId: string | undefined;
    /** Who is called, for the popup before the server answers. */
    peerName: string | undefined;
    peerAvatar: string | undefined;
    client: VerbatimClient | undefined;
    locale: string | undefined;
    theme: string | undefined;
}

/** `<verbatim-call-popup>` */
interface VerbatimCallPopupElement extends HTMLElement {
    client: VerbatimClient | undefined;
    locale: string | undefined;
    theme: string | undefined;
    /** The page rings by itself. */
    silent: boolean | undefined;
}

/** What a messenger's own `loadTimeline` gives; what the server gives has this shape, too. Times are ms from the beginning. */
interface SuppliedTimeline {
    segments: readonly {
        side: 'caller' | 'callee';
        startMs?: number;
        endMs?: number;
        text: string;
    }[];
    messages: readonly {
        atMs?: number;
        side?: 'caller' | 'callee';
        name?: string;
        text: string;
    }[];
}

type LoadTimeline = (recording: Recording) => Promise<SuppliedTimeline>;

/** `<verbatim-calls-tab>` */
interface VerbatimCallsTabElement extends HTMLElement {
    /** The direct chat whose secure calls are listed. */
    chatId: string | undefined;
    client: VerbatimClient | undefined;
    locale: string | undefined;
    theme: string | undefined;
    /** Transcript and messages of a recording, in place of those that the server has. */
    loadTimeline: LoadTimeline | undefined;
}

/** The DOM events of the elements, with their `detail`. They bubble and cross shadow trees. */
interface ElementEvents {
    'verbatim-call-started': {
        call: CallView;
    };
    'verbatim-call-failed': {
        chatId: string;
        mode: CallMode;
        error: VerbatimClientError;
    };
    'verbatim-incoming': {
        call: CallView;
    };
    'verbatim-call-ended': {
        call: CallView;
        error: VerbatimClientError | undefined;
    };
}

/** What the elements tell the page: `document.addEventListener(…)` hears it too. */
type VerbatimEventMap = {
    [N in keyof ElementEvents]: CustomEvent<ElementEvents[N]>;
};

declare global {
  interface HTMLElementTagNameMap {
    'verbatim-call-button': VerbatimCallButtonElement;
    'verbatim-call-popup': VerbatimCallPopupElement;
    'verbatim-calls-tab': VerbatimCallsTabElement;
  }
  interface GlobalEventHandlersEventMap extends VerbatimEventMap {}
}

export { ErrorText, Texts, VerbatimCallButtonElement, VerbatimCallPopupElement, VerbatimCallsTabElement, VerbatimEventMap, connectVerbatim, setLocale, setTexts, useClient };
