// The types of `testing.js`, a server in memory for the tests of messengers.
// Generated from the sources by `npm run docs`.
import type { ClientOptions, EndReason, Permissions, RecordingState, Timeline } from './verbatim.js';

interface TestUser {
    id: string;
    name: string;
    avatarUrl?: string;
    /** What this user may do; everything, when it is absent. */
    may?: Permissions;
}

interface TestChat {
    id: string;
    /** Two members make a direct chat, unless this says otherwise. */
    kind?: 'direct' | 'group';
    members: string[];
}

interface TestServerOptions {
    users: TestUser[];
    chats: TestChat[];
    /** Whether the app records; true, unless this says otherwise. */
    recordingEnabled?: boolean;
    disclosure?: string;
    /** 30 s, unless this says otherwise. */
    ringTimeoutMs?: number;
    /** 15 s, unless this says otherwise. */
    graceMs?: number;
    /** How long a token is good for; an hour, unless this says otherwise. */
    tokenLifetimeMs?: number;
}

type TestMicrophone = 'granted' | 'denied' | 'missing' | 'busy';

/**
 * A Verbatim server in the memory of one page, for a messenger's own tests: no network, no microphone, no sound,
 * the same rules. Every client of the page is given `options('its user')` of the same server.
 */
declare class TestServer {
    #private;
    /** What a page is told when it opens the microphone. */
    microphone: TestMicrophone;
    constructor(options: TestServerOptions);
    /** For `new VerbatimClient(…)` as this user; every client is a device of its own. */
    options(userId: string): ClientOptions;
    /** A token of this user, as the messenger's own server would sign it. */
    token(userId: string): string;
    /** Cuts the connections of this user, as a broken network does: they come back by themselves. */
    disconnect(userId: string): void;
    /** Ends the running call of this user for both, such as with `recording_lost`. */
    endCall(userId: string, reason: EndReason): void;
    /** Such as `removed` with its reason; the clients are told. @throws VerbatimClientError `not_found` */
    setRecording(recordingId: string, state: RecordingState, reason?: string): void;
    /** What `timeline(recordingId)` answers. @throws VerbatimClientError `not_found` */
    setTimeline(recordingId: string, timeline: Timeline): void;
    /** Ends every call and connection. */
    close(): void;
}

export { TestServer, TestServerOptions };
