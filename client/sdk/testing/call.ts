import type { CallHistoryItem, CallMode, CallState, CallView, EndReason, Party, Side } from '#protocol';
import type { TestUser } from './directory.ts';

/** One call, as data: what each side sees of it, and what the history keeps. */
export class TestCall {
  readonly id = crypto.randomUUID();
  readonly chatId: string;
  readonly mode: CallMode;
  readonly people: Readonly<Record<Side, TestUser>>;
  /** The device of each side that takes part. */
  readonly devices: Partial<Record<Side, string>>;
  readonly muted: Record<Side, boolean> = { caller: false, callee: false };
  /** Devices whose audio stands. */
  readonly heard = new Set<string>();
  readonly recordingId: string | undefined;
  readonly startedAt = new Date().toISOString();
  state: CallState = 'ringing';
  activeAt: string | undefined;
  endedAt: string | undefined;
  endReason: EndReason | undefined;

  constructor(chatId: string, mode: CallMode, people: Record<Side, TestUser>, callerDevice: string) {
    this.chatId = chatId;
    this.mode = mode;
    this.people = people;
    this.devices = { caller: callerDevice };
    this.recordingId = mode === 'secure' ? crypto.randomUUID() : undefined;
  }

  /** On which side a user is. */
  sideOf(userId: string): Side | undefined {
    if (this.people.caller.id === userId) return 'caller';
    return this.people.callee.id === userId ? 'callee' : undefined;
  }

  get accepted(): boolean {
    return this.devices.callee !== undefined;
  }

  view(side: Side): CallView {
    const other = side === 'caller' ? 'callee' : 'caller';
    const active = this.state === 'active';
    return {
      callId: this.id,
      chatId: this.chatId,
      mode: this.mode,
      side,
      state: this.state,
      recording: active && this.mode === 'secure',
      ...(this.recordingId === undefined ? {} : { recordingId: this.recordingId }),
      peer: party(this.people[other]),
      peerMuted: this.muted[other],
      startedAt: this.startedAt,
      ...this.#times(),
    };
  }

  history(side: Side): CallHistoryItem {
    const { activeAt, endedAt, endReason } = this;
    return {
      callId: this.id,
      chatId: this.chatId,
      mode: this.mode,
      caller: party(this.people.caller),
      callee: party(this.people.callee),
      side,
      state: this.state,
      // Who declined was there.
      missed: this.state === 'ended' && !this.accepted && endReason !== 'declined',
      startedAt: this.startedAt,
      ...this.#times(),
      ...(activeAt !== undefined && endedAt !== undefined
        ? { durationMs: Date.parse(endedAt) - Date.parse(activeAt) }
        : {}),
      // There is a recording from the accept on, whatever becomes of it.
      ...(this.recordingId !== undefined && this.accepted ? { recordingId: this.recordingId } : {}),
    };
  }

  #times(): { activeAt?: string; endedAt?: string; endReason?: EndReason } {
    const { activeAt, endedAt, endReason } = this;
    return {
      ...(activeAt === undefined ? {} : { activeAt }),
      ...(endedAt === undefined ? {} : { endedAt }),
      ...(endReason === undefined ? {} : { endReason }),
    };
  }
}

/** A person as others see them. */
export function party({ id, name, avatarUrl }: TestUser): Party {
  return { userId: id, name, ...(avatarUrl === undefined ? {} : { avatarUrl }) };
}
