/** One thing that was looked at, in words for a person. */
export interface Check {
  /** Stable word for programs. */
  check: string;
  ok: boolean;
  /** What was found. */
  detail: string;
}

/** What is known about the call, once it is proven. Only of use when `ok`. */
export interface BundleFacts {
  recording: string;
  call: string;
  startedAt: string;
  endedAt: string;
  durationMs: number;
  caller: string;
  callee: string;
  /** Hex, of recording.webm. */
  sha256: string;
  origin: string;
  /** The newest key of the log: compare it with the one that the server publishes. */
  vkey: string;
  checkpointSize: number;
  lost: { caller: number; callee: number };
  holes: number;
}

export interface BundleReport {
  ok: boolean;
  checks: Check[];
  facts?: BundleFacts;
}
