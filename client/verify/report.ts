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
  /**
   * Every key that signed something in the bundle, in the order of its list: each must be one that the server publishes.
   * A key that is listed and signed nothing is not among them, since it vouches for nothing.
   */
  vkeys: string[];
  checkpointSize: number;
  lost: { caller: number; callee: number };
  holes: number;
}

export interface BundleReport {
  ok: boolean;
  checks: Check[];
  facts?: BundleFacts;
}
