import type { CallMode, EndReason, Side } from '#protocol';

/**
 * The life of one call as a pure function: (state, event) -> (state, effects). No clock, no I/O.
 * Whoever runs it carries the effects out in the order given and feeds what comes of them back as events.
 *
 *   ringing --accepted--> connecting --both heard (and, if secure, armed)--> active --> ended
 *      \___________________________ any end event ___________________________________/
 *
 * A voice call goes from browser to browser: what the two say of their path stands in the place of what the media server
 * sees. It becomes active when both say that the path stands, which they do once their microphone is on it.
 *
 * A secure call whose recorder is lost while it is active stays active but falls silent: another recorder is asked
 * for, and when it has audio of both sides the call goes on (`recorder`: armed -> wanted -> listening -> attached ->
 * armed). Without one in time the call ends.
 *
 * The invariant that everything else rests on (F34): in a secure call audio passes only between a `letAudioThrough`
 * and the next `stopAudio` or end, `letAudioThrough` is given only after both consents and with an armed recorder, and
 * the loss of that recorder gives `stopAudio` before anything else.
 */
export interface CallStatus {
  readonly mode: CallMode;
  readonly phase: 'ringing' | 'connecting' | 'active' | 'ended';
  readonly consent: Readonly<Record<Side, boolean>>;
  /** The device that each side takes part with; the callee has none while it rings. */
  readonly device: { readonly caller: string; readonly callee: string | null };
  /** Whose microphone has arrived at the media server; in a voice call, who said that the path to the other stands. */
  readonly produced: Readonly<Record<Side, boolean>>;
  /** In a voice call: an offer was answered, so that both know where to look for each other. */
  readonly answered: boolean;
  readonly recorder: 'none' | 'wanted' | 'listening' | 'attached' | 'armed';
  /** How many recorders were asked for since the last one that was armed was lost. */
  readonly asked: number;
  /**
   * What of a side is gone at the moment, within the grace period. Kept apart: a page whose socket is back may still
   * have no way for its audio, and the other way round.
   */
  readonly lost: Readonly<Record<Side, Readonly<Record<Path, boolean>>>>;
  readonly muted: Readonly<Record<Side, boolean>>;
  readonly endReason: EndReason | null;
}

/** What joins a side to the server: its socket, and the way of its audio. */
export type Path = 'signaling' | 'media';

export type CallEvent =
  | { type: 'accepted'; device: string; consent: boolean }
  | { type: 'declined' }
  | { type: 'cancelled' }
  | { type: 'hungUp' }
  | { type: 'produced'; side: Side }
  /** An offer of the caller was answered. */
  | { type: 'answered' }
  /** This side hears the other directly, or again. */
  | { type: 'pathStands'; side: Side }
  /** The browsers found no way to each other. */
  | { type: 'noPath' }
  | { type: 'muted'; side: Side; muted: boolean }
  | { type: 'recorderListening' }
  | { type: 'recorderArmed' }
  | { type: 'recorderUnavailable' }
  | { type: 'recorderLost' }
  | { type: 'mediaFailed' }
  | { type: 'sideLost'; side: Side; path: Path }
  | { type: 'sideBack'; side: Side; path: Path }
  | { type: 'sideLeft'; side: Side }
  | { type: 'timer'; timer: TimerName }
  | { type: 'shutdown' };

export type TimerName = 'ring' | 'connect' | 'reattach' | 'grace-caller' | 'grace-callee';

export type CallEffect =
  | { type: 'ring' }
  | { type: 'storeAccept' }
  | { type: 'stopOtherDevices' }
  | { type: 'openRecording' }
  /** Another recorder goes on with the same recording. */
  | { type: 'reopenRecording' }
  | { type: 'attachRecorder' }
  | { type: 'letAudioThrough' }
  | { type: 'stopAudio' }
  | { type: 'markMute'; side: Side; muted: boolean }
  /** The way of this side's audio is back: the recording tells how often that happened. */
  | { type: 'markReconnect'; side: Side }
  | { type: 'startTimer'; timer: TimerName }
  | { type: 'stopTimer'; timer: TimerName }
  | { type: 'tell' }
  | { type: 'finish'; reason: EndReason };

export interface Step {
  readonly status: CallStatus;
  readonly effects: readonly CallEffect[];
}

/** Recorders that die one after the other before they are armed: then something is wrong that another will not mend. */
const MAX_ASKED = 4;

/** A call that has just been placed by `device`; the caller's consent is already stored. */
export function placeCall(mode: CallMode, device: string, consent: boolean): Step {
  const status: CallStatus = {
    mode,
    phase: 'ringing',
    consent: { caller: consent, callee: false },
    device: { caller: device, callee: null },
    produced: { caller: false, callee: false },
    answered: false,
    recorder: 'none',
    asked: 0,
    lost: { caller: { signaling: false, media: false }, callee: { signaling: false, media: false } },
    muted: { caller: false, callee: false },
    endReason: null,
  };
  if (mode === 'secure' && !consent) return end(status, 'cancelled');
  return { status, effects: [{ type: 'startTimer', timer: 'ring' }, { type: 'ring' }] };
}

/** One step. An event that the present state does not know changes nothing and has no effects. */
export function step(status: CallStatus, event: CallEvent): Step {
  if (status.phase === 'ended') return same(status);
  switch (event.type) {
    case 'accepted':
      return accepted(status, event.device, event.consent);
    case 'declined':
      return status.phase === 'ringing' ? end(status, 'declined') : same(status);
    case 'cancelled':
      return status.phase === 'ringing' ? end(status, 'cancelled') : same(status);
    case 'hungUp':
      return end(status, status.phase === 'ringing' ? 'cancelled' : 'hangup');
    case 'produced':
      return status.mode === 'secure' ? heard(status, event.side) : same(status);
    case 'answered':
      return isConnected(status) && !status.answered ? same({ ...status, answered: true }) : same(status);
    case 'pathStands':
      return pathStands(status, event.side);
    case 'noPath':
      return isConnected(status) && status.phase === 'connecting'
        ? end(status, 'peer_unreachable')
        : same(status);
    case 'muted':
      return muted(status, event.side, event.muted);
    case 'recorderListening':
      return status.recorder === 'wanted' ? goOn({ ...status, recorder: 'listening' }) : same(status);
    case 'recorderArmed':
      return status.recorder === 'attached' ? armed({ ...status, recorder: 'armed' }) : same(status);
    case 'recorderUnavailable':
      return status.recorder === 'none' ? same(status) : withoutRecorder(status);
    case 'recorderLost':
      return recorderLost(status);
    case 'mediaFailed':
      return end(status, 'media_failed');
    case 'sideLost':
      return sideLost(status, event.side, event.path);
    case 'sideBack':
      return sideBack(status, event.side, event.path);
    case 'sideLeft':
      return sideLeft(status, event.side);
    case 'timer':
      return timer(status, event.timer);
    case 'shutdown':
      return end(status, 'shutdown');
  }
}

function accepted(status: CallStatus, device: string, consent: boolean): Step {
  if (status.phase !== 'ringing') return same(status);
  if (status.mode === 'secure' && !consent) return same(status);
  const secure = status.mode === 'secure';
  const next: CallStatus = {
    ...status,
    phase: 'connecting',
    consent: { ...status.consent, callee: consent },
    device: { ...status.device, callee: device },
    recorder: secure ? 'wanted' : 'none',
  };
  return {
    status: next,
    effects: [
      { type: 'stopTimer', timer: 'ring' },
      { type: 'startTimer', timer: 'connect' },
      // The callee's consent is durable before anything that follows from it.
      { type: 'storeAccept' },
      { type: 'stopOtherDevices' },
      ...(secure ? [{ type: 'openRecording' } as const] : []),
      { type: 'tell' },
    ],
  };
}

/** The two of a voice call have accepted and look for, or have, their own path. */
function isConnected({ mode, phase }: CallStatus): boolean {
  return mode === 'voice' && phase !== 'ringing';
}

/** A path that nobody could know of is no path. What stood already and stands again was mended. */
function pathStands(status: CallStatus, side: Side): Step {
  if (!isConnected(status) || !status.answered) return same(status);
  const back = sideBack(status, side, 'media');
  const on = heard(back.status, side);
  return { status: on.status, effects: [...back.effects, ...on.effects] };
}

function heard(status: CallStatus, side: Side): Step {
  return goOn({ ...status, produced: { ...status.produced, [side]: true } });
}

/** Whatever has become possible by the newest fact: attach the recorder, or let audio through. */
function goOn(status: CallStatus): Step {
  if (status.phase === 'ringing' || !status.produced.caller || !status.produced.callee) return same(status);
  if (status.recorder === 'listening') {
    return { status: { ...status, recorder: 'attached' }, effects: [{ type: 'attachRecorder' }] };
  }
  if (status.phase !== 'connecting') return same(status);
  if (status.mode === 'voice') return activate(status);
  const agreed = status.consent.caller && status.consent.callee;
  return status.recorder === 'armed' && agreed ? activate(status) : same(status);
}

/** The recorder has audio of both sides: the call begins, or goes on after a loss. */
function armed(status: CallStatus): Step {
  if (status.phase !== 'active') return goOn(status);
  return {
    status: { ...status, asked: 0 },
    effects: [{ type: 'stopTimer', timer: 'reattach' }, { type: 'letAudioThrough' }, { type: 'tell' }],
  };
}

/** In mid-call the two fall silent and another recorder is asked for; the time for that runs from the first loss. */
function recorderLost(status: CallStatus): Step {
  if (status.recorder === 'none') return same(status);
  if (status.phase !== 'active') return withoutRecorder(status);
  // One is being asked for already: this is the loss that it replaces, told twice.
  if (status.recorder === 'wanted') return same(status);
  const next: CallStatus = { ...status, recorder: 'wanted', asked: status.asked + 1 };
  if (status.recorder === 'armed') {
    return {
      status: next,
      effects: [
        { type: 'stopAudio' },
        { type: 'startTimer', timer: 'reattach' },
        { type: 'reopenRecording' },
        { type: 'tell' },
      ],
    };
  }
  if (status.asked >= MAX_ASKED) return withoutRecorder(status);
  return { status: next, effects: [{ type: 'reopenRecording' }] };
}

/** Before anything was heard the call merely could not start; afterwards a recording broke off. */
function withoutRecorder(status: CallStatus): Step {
  return end(status, status.phase === 'active' ? 'recording_lost' : 'recorder_unavailable');
}

function activate(status: CallStatus): Step {
  return {
    status: { ...status, phase: 'active' },
    effects: [{ type: 'stopTimer', timer: 'connect' }, { type: 'letAudioThrough' }, { type: 'tell' }],
  };
}

function muted(status: CallStatus, side: Side, value: boolean): Step {
  if (status.phase === 'ringing' || status.muted[side] === value) return same(status);
  const effects: CallEffect[] = [{ type: 'tell' }];
  if (status.mode === 'secure') effects.unshift({ type: 'markMute', side, muted: value });
  return { status: { ...status, muted: { ...status.muted, [side]: value } }, effects };
}

function sideLost(status: CallStatus, side: Side, path: Path): Step {
  // In a voice call the time to connect bounds what never stood.
  if (path === 'media' && status.mode === 'voice' && !status.produced[side]) return same(status);
  if (status.lost[side][path] || (side === 'callee' && status.device.callee === null)) return same(status);
  // The time runs from the first loss: what is lost after it does not lengthen it.
  const running = isAway(status, side);
  return {
    status: withPath(status, side, path, true),
    effects: running ? [] : [{ type: 'startTimer', timer: graceTimer(side) }],
  };
}

function sideBack(status: CallStatus, side: Side, path: Path): Step {
  if (!status.lost[side][path]) return same(status);
  const next = withPath(status, side, path, false);
  // What is still lost gets its own grace period, counted anew: this side has just shown that it lives.
  const type = isAway(next, side) ? 'startTimer' : 'stopTimer';
  const effects: CallEffect[] = [{ type, timer: graceTimer(side) }];
  if (path === 'media' && status.mode === 'secure') effects.push({ type: 'markReconnect', side });
  return { status: next, effects };
}

function withPath(status: CallStatus, side: Side, path: Path, gone: boolean): CallStatus {
  return { ...status, lost: { ...status.lost, [side]: { ...status.lost[side], [path]: gone } } };
}

function isAway(status: CallStatus, side: Side): boolean {
  return status.lost[side].signaling || status.lost[side].media;
}

/** A page that says goodbye hangs up; while it rings, the caller's goodbye takes the call back. */
function sideLeft(status: CallStatus, side: Side): Step {
  if (status.phase !== 'ringing') return end(status, 'hangup');
  return side === 'caller' ? end(status, 'cancelled') : same(status);
}

function timer(status: CallStatus, name: TimerName): Step {
  switch (name) {
    case 'ring':
      return status.phase === 'ringing' ? end(status, 'no_answer') : same(status);
    case 'connect':
      return status.phase === 'connecting' ? end(status, whyNotConnected(status)) : same(status);
    case 'reattach':
      return status.phase === 'active' && status.recorder !== 'none' && status.recorder !== 'armed'
        ? withoutRecorder(status)
        : same(status);
    case 'grace-caller':
    case 'grace-callee': {
      const side = name === 'grace-caller' ? 'caller' : 'callee';
      if (!isAway(status, side)) return same(status);
      return end(status, status.phase === 'ringing' ? 'cancelled' : whyAway(status, side));
    }
  }
}

/** Where one side has heard the other the path is there, and a microphone is missing. */
function whyNotConnected({ mode, answered, produced }: CallStatus): EndReason {
  const none = !produced.caller && !produced.callee;
  return mode === 'voice' && answered && none ? 'peer_unreachable' : 'media_failed';
}

/** Both pages are there and only the path between them is gone: that is another thing than a page that is gone. */
function whyAway(status: CallStatus, side: Side): EndReason {
  const other = side === 'caller' ? 'callee' : 'caller';
  const present = !status.lost[side].signaling && !status.lost[other].signaling;
  return status.mode === 'voice' && present ? 'peer_unreachable' : 'connection_lost';
}

function end(status: CallStatus, reason: EndReason): Step {
  return { status: { ...status, phase: 'ended', endReason: reason }, effects: [{ type: 'finish', reason }] };
}

const graceTimer = (side: Side): TimerName => `grace-${side}`;

const same = (status: CallStatus): Step => ({ status, effects: [] });
