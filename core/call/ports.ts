import type { CallMode, EndReason, NotificationName, NotificationParams } from '#protocol';

/** A signed-in device of a user: who acts. */
export interface Participant {
  readonly appId: string;
  readonly userId: string;
  readonly device: string;
  readonly name: string;
  readonly role?: string;
  readonly picture?: string;
}

/** The devices of users that are signed in now. Signaling provides it; a call only tells and asks. */
export interface Devices {
  /** True while at least one device of the user is signed in. */
  online(appId: string, userId: string): boolean;
  devicesOf(appId: string, userId: string): string[];
  /** To one device or to all of a user's; a device that is gone is skipped silently. */
  notify<N extends NotificationName>(
    appId: string,
    userId: string,
    device: string | 'all',
    name: N,
    params: NotificationParams<N>,
  ): void;
}

/** Timers as an argument, so that tests move the clock instead of waiting. */
export interface Clock {
  now(): Date;
  /** Calls `fire` once after `ms`; the returned function takes it back. */
  after(ms: number, fire: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => new Date(),
  after: (ms, fire) => {
    const timer = setTimeout(fire, ms);
    return () => clearTimeout(timer);
  },
};

/** Who counts what becomes of calls; nothing of a call depends on it. */
export interface CallWatcher {
  started(mode: CallMode): void;
  /** Asked for and not begun, by the code of the error. */
  refused(mode: CallMode, code: string): void;
  /** The first recorder of a secure call is armed, so long after the call was accepted. */
  armed(tookMs: number): void;
  ended(call: {
    mode: CallMode;
    reason: EndReason;
    startedAt: Date;
    acceptedAt: Date | null;
    activeAt: Date | null;
    endedAt: Date;
  }): void;
}
