import type { ErrorCode } from '#protocol';

/** What can go wrong on this side of the wire. Everything else is a code of the server's table. */
export const CLIENT_ERRORS = {
  microphone_denied:
    'The microphone is not allowed. Allow it in the address bar (the icon left of the address) and call again.',
  microphone_missing: 'No microphone was found. Connect one and call again.',
  microphone_busy:
    'The microphone cannot be used: another program may have it. Close that program and call again.',
  microphone_replaced: 'The microphone is gone: another one is used now.',
  speaker_missing: 'The loudspeaker is gone: the usual one is used now.',
  speaker_denied:
    'The browser does not allow this loudspeaker. Allow the microphone in the address bar and choose again.',
  speaker_unsupported: 'This browser does not let a page choose the loudspeaker: choose it in the system.',
  playback_failed: 'The recording cannot be played now. Try again in a while.',
  playback_blocked: 'The browser blocks sound until you click on the page.',
  insecure_page: 'Calls need a page served over HTTPS (or from localhost).',
  webrtc_unsupported: 'This browser has no WebRTC. Use a current Firefox, Chromium, Edge or Safari.',
  connection_lost: 'The connection to the server is lost.',
  timeout: 'The server did not answer in time.',
  client_closed: 'The client was closed.',
  call_over: 'The call is over.',
} as const;

export type ClientErrorCode = keyof typeof CLIENT_ERRORS;

/** Every error of this SDK. `code` is the stable word to test for, `message` may be shown to a person. */
export class VerbatimClientError extends Error {
  readonly code: ErrorCode | ClientErrorCode;

  constructor(code: ErrorCode | ClientErrorCode, message?: string, options?: { cause?: unknown }) {
    super(message ?? (isClientCode(code) ? CLIENT_ERRORS[code] : code), options);
    this.name = 'VerbatimClientError';
    this.code = code;
  }
}

/** Any thrown value as an error of this SDK. */
export function asClientError(error: unknown, otherwise: ErrorCode | ClientErrorCode): VerbatimClientError {
  if (error instanceof VerbatimClientError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new VerbatimClientError(otherwise, isClientCode(otherwise) ? undefined : message, { cause: error });
}

function isClientCode(code: string): code is ClientErrorCode {
  return Object.hasOwn(CLIENT_ERRORS, code);
}
