import type { ErrorCode } from '#protocol';

/** What the description of the interface says of one route, beside its schemas. */
export interface RouteText {
  description: string;
  /** What it answers beyond what every route of its kind may, see `commonErrors`. */
  errors: readonly ErrorCode[];
  /** A body that it takes. */
  body?: unknown;
  /** An answer of it. */
  answer?: unknown;
}

/** By method and pattern, as `GET /v1/users/:id`. */
export type RouteTexts = Readonly<Record<string, RouteText>>;

/** Ids of the examples: the same call in all of them. */
export const EXAMPLE = {
  callId: '0b9c9f0e-6f0a-4a58-9c53-3f8f2c9f7a11',
  recordingId: '6f1c2f6e-9c55-4a3e-8a52-0f5d0c4f1b11',
  grantId: 'a7d1f0f0-41c6-4f3a-9a0d-5a6f7f0d2c33',
  webhookId: '3d0e3e46-2c9a-4d0e-8b59-6f7f6c2c9e55',
  deliveryId: '5c1b2f9e-8f7e-4b8c-9d1a-7e4a2b3c4d66',
  eventId: '8e2f6d1a-0b3c-4c5d-8e9f-1a2b3c4d5e77',
  sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  startedAt: '2026-03-20T14:00:05.120Z',
  endedAt: '2026-03-20T14:12:41.870Z',
} as const;

/** Errors that come before the route itself, by what the route asks for. */
export function commonErrors({
  auth,
  hasBody,
  hasInput,
}: {
  auth: string;
  hasBody: boolean;
  hasInput: boolean;
}): ErrorCode[] {
  return [
    ...(hasInput ? (['bad_request'] as const) : []),
    ...(hasBody ? (['bad_request', 'parse_error', 'too_large', 'unsupported_media_type'] as const) : []),
    ...(['app', 'user', 'either'].includes(auth)
      ? (['unauthorized', 'token_expired', 'origin_refused'] as const)
      : []),
    'rate_limited',
    'internal',
    'shutting_down',
    'unavailable',
  ];
}
