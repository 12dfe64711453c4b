/**
 * Every error that leaves a process, in one table.
 * `status` is the HTTP status (RFC 9110), `rpc` the JSON-RPC 2.0 code, `fault` says who has to act.
 * The key is the stable word that programs test for; `title` is what a person may read.
 */
export const ERRORS = {
  // The request itself
  bad_request: { status: 400, rpc: -32602, fault: 'caller', title: 'The request is not valid' },
  parse_error: { status: 400, rpc: -32700, fault: 'caller', title: 'The message is not valid JSON' },
  invalid_message: {
    status: 400,
    rpc: -32600,
    fault: 'caller',
    title: 'The message is not a JSON-RPC 2.0 request',
  },
  unknown_method: { status: 404, rpc: -32601, fault: 'caller', title: 'There is no such method' },
  unauthorized: { status: 401, rpc: -32001, fault: 'caller', title: 'A valid token is needed' },
  token_expired: { status: 401, rpc: -32002, fault: 'caller', title: 'The token has expired' },
  forbidden: { status: 403, rpc: -32003, fault: 'caller', title: 'This is not allowed' },
  origin_refused: {
    status: 403,
    rpc: -32004,
    fault: 'operator',
    title: 'This origin is not on the list of allowed origins',
  },
  proof_required: {
    status: 403,
    rpc: -32013,
    fault: 'caller',
    title: 'A fresh proof with the second factor is needed',
  },
  not_found: {
    status: 404,
    rpc: -32005,
    fault: 'caller',
    title: 'There is no such thing, or it is not yours to see',
  },
  method_not_allowed: { status: 405, rpc: -32006, fault: 'caller', title: 'This method is not offered here' },
  conflict: { status: 409, rpc: -32007, fault: 'caller', title: 'The present state does not allow this' },
  too_large: { status: 413, rpc: -32008, fault: 'caller', title: 'The body is too large' },
  unsupported_media_type: {
    status: 415,
    rpc: -32009,
    fault: 'caller',
    title: 'The content type is not supported',
  },
  range_not_satisfiable: {
    status: 416,
    rpc: -32010,
    fault: 'caller',
    title: 'The range lies outside the file',
  },
  rate_limited: { status: 429, rpc: -32011, fault: 'caller', title: 'Too many requests' },
  precondition_failed: {
    status: 412,
    rpc: -32012,
    fault: 'caller',
    title: 'The file is not the one that the request names',
  },
  // Placing a call
  not_a_direct_chat: {
    status: 409,
    rpc: -32020,
    fault: 'caller',
    title: 'Calls exist only in direct chats of two',
  },
  consent_required: {
    status: 409,
    rpc: -32021,
    fault: 'caller',
    title: 'A secure call needs consent to the current disclosure text',
  },
  recording_disabled: {
    status: 409,
    rpc: -32022,
    fault: 'operator',
    title: 'Secure calls are turned off for this app',
  },
  role_not_allowed: {
    status: 403,
    rpc: -32028,
    fault: 'caller',
    title: 'The app does not allow this to users of your role',
  },
  user_offline: { status: 409, rpc: -32023, fault: 'remote', title: 'The other side is offline' },
  user_busy: { status: 409, rpc: -32024, fault: 'remote', title: 'The other side is in another call' },
  already_in_call: { status: 409, rpc: -32025, fault: 'caller', title: 'You are already in a call' },
  answered_elsewhere: {
    status: 409,
    rpc: -32026,
    fault: 'caller',
    title: 'The call was answered on another device',
  },
  busy_server: {
    status: 503,
    rpc: -32027,
    fault: 'operator',
    title: 'The server cannot take another call now',
  },
  // During a call
  media_failed: { status: 502, rpc: -32030, fault: 'us', title: 'The media path failed' },
  peer_unreachable: {
    status: 502,
    rpc: -32035,
    fault: 'operator',
    title: 'There is no direct path between the two sides, and no relay that both can reach',
  },
  wrong_media_path: {
    status: 409,
    rpc: -32036,
    fault: 'caller',
    title: 'A voice call goes from browser to browser, a secure call through the server',
  },
  recorder_unavailable: {
    status: 503,
    rpc: -32031,
    fault: 'operator',
    title: 'No recorder is ready, so the secure call cannot start',
  },
  recording_lost: { status: 503, rpc: -32032, fault: 'us', title: 'The recording was lost' },
  no_space: {
    status: 507,
    rpc: -32033,
    fault: 'operator',
    title: 'There is not enough disk space for a recording',
  },
  evidence_unavailable: {
    status: 503,
    rpc: -32034,
    fault: 'operator',
    title: 'The ledger takes no entries, so the secure call cannot start',
  },
  // Recordings
  recording_not_ready: {
    status: 409,
    rpc: -32040,
    fault: 'caller',
    title: 'The recording is not available yet',
  },
  recording_failed: { status: 410, rpc: -32041, fault: 'us', title: 'There is no recording of this call' },
  no_evidence: {
    status: 409,
    rpc: -32043,
    fault: 'caller',
    title: 'There is no evidence bundle of this recording',
  },
  format_unavailable: {
    status: 409,
    rpc: -32044,
    fault: 'caller',
    title: 'This recording cannot be had in this format',
  },
  held: {
    status: 409,
    rpc: -32045,
    fault: 'operator',
    title: 'A legal hold keeps this recording',
  },
  removal_disabled: {
    status: 403,
    rpc: -32046,
    fault: 'operator',
    title: 'Legal removal is turned off on this server',
  },
  grant_invalid: {
    status: 403,
    rpc: -32042,
    fault: 'caller',
    title: 'The address is not valid here: ask for a new one',
  },
  // Ours
  shutting_down: { status: 503, rpc: -32050, fault: 'operator', title: 'The server is shutting down' },
  unavailable: {
    status: 503,
    rpc: -32051,
    fault: 'operator',
    title: 'A part of the server is not available',
  },
  corrupt: { status: 500, rpc: -32052, fault: 'us', title: 'Stored data does not verify' },
  internal: { status: 500, rpc: -32603, fault: 'us', title: 'Something failed on the server' },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** An error with a code of the table. The message says what was expected and what came; `cause` is kept. */
export class VerbatimError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string = ERRORS[code].title, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'VerbatimError';
    this.code = code;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get rpc(): number {
    return ERRORS[this.code].rpc;
  }
}

/** RFC 9457 problem details, the body of every HTTP error. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  code: ErrorCode;
  detail: string;
}

export function problemOf(error: VerbatimError): Problem {
  const row = ERRORS[error.code];
  return {
    type: `urn:verbatim:error:${error.code}`,
    title: row.title,
    status: row.status,
    code: error.code,
    // What went wrong inside us is for the log, not for the caller.
    detail: row.fault === 'us' ? row.title : error.message,
  };
}
