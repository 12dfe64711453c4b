import type { CallView, EndReason, EvidenceState, LedgerProblem, VerbatimClientError } from '../sdk/index.ts';

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
    peer_unreachable:
      `No way to ${name} was found: there is no direct path and no relay. Try again from another network, ` +
      'or ask the operator for a relay.',
    recorder_unavailable: 'The call could not be recorded, so it did not start. Nothing was heard.',
    recording_lost:
      'The recording was lost and could not be secured again, so the call was ended. Nothing was heard unrecorded.',
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

/** Between the loss of a recorder and the next one. */
export const INTERRUPTED = 'Recording interrupted: neither side hears the other until it is secured again.';

/** `chain 3f9a…c2 · 14`: short enough to be read out to the other side, who sees the same. */
export function chainLine(head: string, seq: number): string {
  return `chain ${head.slice(0, 4)}…${head.slice(-2)} · ${seq}`;
}

/** What this browser can say of a finished recording, and what to do when it is bad. */
export function evidenceSentence(evidence: EvidenceState | undefined): string {
  const why = evidence?.problem === undefined ? '' : ` (${evidence.problem})`;
  switch (evidence?.verdict) {
    case 'confirmed':
      return 'Matches what this browser saw during the call';
    case 'mismatch':
      return (
        `MISMATCH: this is not what this browser saw during the call${why}. Do not rely on this recording. ` +
        `Keep this browser’s data and tell the operator; ${reportSentence(evidence.serverConfirms)}`
      );
    case 'failed':
      return 'The recording failed; this browser keeps the signed heads of what was captured';
    case 'unverified':
      return `Not checked${why}`;
    default:
      return evidence === undefined ? 'Not checked on this device' : 'Not checked yet';
  }
}

function reportSentence(serverConfirms: boolean | undefined): string {
  if (serverConfirms === undefined) return 'it is reported as soon as the server takes the report.';
  return serverConfirms
    ? 'it was reported, and the server finds the same.'
    : 'it was reported, and the server says that it finds no fault.';
}

/** A ledger that is not the one this browser knows. */
export function ledgerSentence({ kind, detail }: LedgerProblem): string {
  const what: Record<LedgerProblem['kind'], string> = {
    shrunk: 'The server’s ledger is shorter than it was.',
    forked: 'The server’s ledger does not continue the one that this browser knows.',
    key_changed: 'The server’s ledger is signed by another key than before.',
    bad_signature: 'The server sent something that its ledger did not sign.',
  };
  return `${what[kind]} Ask the operator before you rely on recordings. (${detail})`;
}
