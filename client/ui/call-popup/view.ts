import type { CallMode, CallView } from '../../sdk/index.ts';
import type { CallState, Notice, Peer } from '../state/call-state.ts';
import { fill } from '../texts/locale.ts';
import type { ErrorText, Texts } from '../texts/texts.ts';

/** What the popup shows: one thing at a time. */
export type View =
  | { kind: 'incoming'; call: CallView }
  | {
      kind: 'call';
      mode: CallMode;
      peer: Peer;
      phase: Phase;
      /** Undefined while the server does not know of it yet. */
      call: CallView | undefined;
    }
  | { kind: 'ended'; notice: Notice };
export type CallPhaseView = Extract<View, { kind: 'call' }>;

export type Phase =
  | 'microphone'
  | 'calling'
  | 'connecting'
  | 'inCall'
  | 'recording'
  | 'interrupted'
  | 'reconnecting';

export const SHORTCUT = 'Alt+Shift+C';

/** The running call comes first, then what rings, then what was. */
export function viewOf(state: CallState): View | undefined {
  const call = state.call.value;
  if (call) return { kind: 'call', mode: call.mode, peer: call.peer, phase: phaseOf(state, call), call };
  const starting = state.starting.value;
  if (starting) {
    const { mode, peer } = starting;
    return { kind: 'call', mode, peer, phase: 'microphone', call: undefined };
  }
  const incoming = state.incoming.value;
  if (incoming) return { kind: 'incoming', call: incoming };
  const notice = state.notice.value;
  return notice && { kind: 'ended', notice };
}

function phaseOf(state: CallState, call: CallView): Phase {
  if (call.state === 'ringing' && call.side === 'caller') return 'calling';
  if (call.state !== 'active') return 'connecting';
  // Without server and media path nobody knows what is recorded: then it is not said.
  if (state.media.gone.value) return 'reconnecting';
  if (call.mode === 'voice') return 'inCall';
  return call.recording && !state.interrupted.value ? 'recording' : 'interrupted';
}

export function nameOf(peer: Peer, texts: Texts): string {
  return peer.name || texts.popup.unknownPeer;
}

/** How the last call ended, as this side reads it. */
export function endingOf(notice: Notice, texts: Texts): ErrorText {
  const { error, call } = notice;
  if (error) return texts.errors[error.code] ?? texts.errors.internal;
  return texts.ended[call?.endReason ?? 'hangup'][call?.side ?? 'caller'];
}

/** What a screen reader says when the view changes. */
export function announcement(view: View, texts: Texts): string {
  const { popup } = texts;
  switch (view.kind) {
    case 'incoming': {
      const title = view.call.mode === 'secure' ? popup.incomingSecure : popup.incoming;
      return fill(popup.announceIncoming, { title, name: nameOf(view.call.peer, texts), shortcut: SHORTCUT });
    }
    case 'call':
      return `${nameOf(view.peer, texts)}: ${popup[view.phase]}`;
    case 'ended':
      // The card itself is an alert when it tells a failure.
      return view.notice.error
        ? ''
        : fill(endingOf(view.notice, texts).what, { name: nameOf(view.notice.peer, texts) });
  }
}
