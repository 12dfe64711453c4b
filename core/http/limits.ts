/** Named bounds of the HTTP server. */
export const HTTP_LIMITS = {
  bodyBytes: 64 * 1024,
  /** `PUT /v1/chats/:id`: ten thousand members of 128 characters fit. */
  chatBodyBytes: 1536 * 1024,
  headerBytes: 16 * 1024,
  /** A whole request must have arrived within this time (slow senders). */
  requestMs: 30_000,
  keepAliveMs: 72_000,
  /** When the server closes, what is being answered has this long; then every connection ends. */
  closeMs: 2_000,
  /** Longest path parameter: an id of 128 characters, percent-encoded. */
  paramLength: 400,
  windowMs: 60_000,
  /** An app's server speaks for all its users, so it may do this many times what one user may. */
  appFactor: 20,
  /** Failed sign-ins from one address in a window; further ones are told to wait. A good one is served all the same. */
  failedSignIns: 60,
  /** Reads of a recording's evidence by one user in a window: each opens files. */
  evidencePerWindow: 120,
  /** Reports of a head that does not fit, by one user in a window: each reads a whole journal. */
  mismatchesPerWindow: 10,
  /** Callers whose counts are kept; the one that was quiet longest is forgotten first. */
  trackedCallers: 10_000,
} as const;
