import type { CallView, EndReason, VerbatimClientError } from '../sdk/index.ts';

/** The sentence for the end of a call, as the person of this side reads it (F10). */
export function endSentence({ side, endReason, peer }: CallView): string {
  const caller = side === 'caller';
  const name = peer.name;
  const sentences: Record<EndReason, string> = {
    hangup: 'Call ended.',
    declined: caller ? `${name} declined the call.` : 'You declined the call.',
    cancelled: caller ? 'You cancelled the call.' : `${name} cancelled the call.`,
    busy: `${name} is in another call.`,
    no_answer: caller ? `${name} did not answer.` : `Missed call from ${name}.`,
    offline: `${name} is offline.`,
    answered_elsewhere: 'The call was answered on another device.',
    media_failed: 'Microphone or connection unavailable: the call could not be set up.',
    recorder_unavailable: 'The call could not be recorded, so it did not start. Nothing was heard.',
    recording_lost: 'The recording was lost, so the call was ended.',
    connection_lost: 'The connection was lost.',
    shutdown: 'The server is restarting. Please call again in a moment.',
  };
  return endReason === undefined ? 'Call ended.' : sentences[endReason];
}

/** The sentence for a call that did not come about. */
export function errorSentence(error: VerbatimClientError, peerName: string): string {
  if (error.code === 'user_offline') return `${peerName} is offline.`;
  if (error.code === 'user_busy') return `${peerName} is in another call.`;
  return error.message;
}
