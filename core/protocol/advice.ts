import type { ErrorCode } from './errors.ts';
import type { EndReason } from './signaling.ts';

/** For the guide: how a call ended, what it means, and what to do. The elements say the same in a person's own language. */
export const END_REASON_ADVICE: { readonly [R in EndReason]: { means: string; todo: string } } = {
  hangup: { means: 'One of the two hung up, or closed the page.', todo: '-' },
  declined: { means: 'The called person declined, for all of their devices.', todo: '-' },
  cancelled: {
    means: 'The caller took it back while it rang, or was gone for longer than the grace period.',
    todo: 'The called person has missed a call: show it.',
  },
  busy: {
    means: 'The called person was in another call; nothing rang. In the history only.',
    todo: 'Call again later; the called person has missed a call.',
  },
  no_answer: {
    means: 'It rang for the whole ring time.',
    todo: 'Call again later, or leave a message; a missed call.',
  },
  offline: {
    means: 'The called person was signed in nowhere; nothing rang. In the history only.',
    todo: 'Leave a message; a missed call.',
  },
  answered_elsewhere: {
    means: 'Another device of the same person took it. Told to the other devices only.',
    todo: 'Stop ringing; the call itself goes on.',
  },
  media_failed: {
    means: 'The audio did not come up within the time to connect, or the media server failed.',
    todo: 'Check network and microphone, then call again.',
  },
  peer_unreachable: {
    means: 'A voice call found no way between the two browsers.',
    todo: 'Try another network; the operator can offer a relay (`ice.turnUrls`).',
  },
  recorder_unavailable: {
    means: 'Recording could not begin, so the secure call did not either: nothing was heard.',
    todo: 'Try again in a moment; the operator looks at the recorders.',
  },
  recording_lost: {
    means:
      'The recording broke off and no other recorder took over in time. What was recorded until then is kept.',
    todo: 'Call again; the operator looks at the recorders.',
  },
  connection_lost: {
    means: 'One side was away for longer than the grace period.',
    todo: 'Check the network, then call again.',
  },
  shutdown: { means: 'The server was stopped, or stopped by itself.', todo: 'Call again in a minute.' },
};

/** For the guide: what to do about each error. */
export const ERROR_ADVICE: { readonly [C in ErrorCode]: string } = {
  bad_request: 'Mend the request: the message names the field and what was expected.',
  parse_error: 'Send valid JSON.',
  invalid_message: 'Send a JSON-RPC 2.0 request with an id of its own.',
  unknown_method: 'Use a method of this version; see signaling.',
  unauthorized: 'Sign in with a token that your server signed with a key in force.',
  token_expired: 'Ask your server for a fresh token; with `getToken` the SDK does.',
  forbidden: 'Not for this device, user or key: ask as the one who may.',
  origin_refused: 'Add the page’s origin: `scripts/app origins`.',
  proof_required: 'For the console only: prove yourself with a passkey or a code, then ask again.',
  not_found: 'Check the id, and whether this user is a member or a party.',
  method_not_allowed: 'Use the HTTP method that the interface describes.',
  conflict: 'Look at the present state, such as a call that does not ring any more.',
  too_large: 'Send less.',
  unsupported_media_type: 'Send `application/json`.',
  range_not_satisfiable: 'Ask for a range within the file.',
  rate_limited: 'Wait as long as `retry-after` says, then ask again; the SDK does.',
  precondition_failed: 'Begin the download anew.',
  not_a_direct_chat: 'Offer calls in chats of two only: no `chat-id` on the button in a group.',
  consent_required: 'Show the text in force (`disclosure()`) and ask again.',
  recording_disabled: 'Make a voice call, or turn recording on: `scripts/app recording on`.',
  role_not_allowed: 'Do not offer it to this role (`client.may`), or change the role: `scripts/app role`.',
  user_offline: 'Leave a message; nothing rings there later.',
  user_busy: 'Call again later.',
  already_in_call: 'End the call that this person is in first, maybe on another device.',
  answered_elsewhere: 'Stop ringing: the call goes on there.',
  busy_server: 'Try again in a few minutes; the operator can allow more.',
  media_failed: 'Check network and microphone, then call again.',
  peer_unreachable: 'Try another network; the operator can offer a relay (`ice.turnUrls`).',
  wrong_media_path: 'A client’s mistake: `peer.…` in voice calls, `media.…` in secure ones.',
  recorder_unavailable: 'Try again in a moment; the operator looks at the recorders.',
  recording_lost: 'Call again; the operator looks at the recorders.',
  no_space: 'The operator makes room on the disk.',
  evidence_unavailable: 'The operator looks at the ledger; voice calls work.',
  recording_not_ready: 'Wait for the event `recording` with `available`.',
  recording_failed: 'There is nothing to play; `reason` of the recording says why.',
  no_evidence: 'Offer the audio only.',
  format_unavailable: 'Ask for another format; the file as it was recorded is always there.',
  held: 'The message names the hold; two admins can release it.',
  removal_disabled: 'The operator can turn it on: `removal.enabled`.',
  grant_invalid: 'Ask for a new address, in the same browser.',
  shutting_down: 'Try again in a minute; the SDK connects by itself.',
  unavailable: 'Try again in a moment; the operator looks at `/v1/health`.',
  corrupt: 'The operator looks into it at once: something was changed or is broken.',
  internal: 'Try again; the operator looks into the log.',
};
