import type { NotificationName, NotificationParams } from '#protocol';

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
