import type { AccessEvent, Recording } from '../../sdk/index.ts';

/** Why there is nothing to play. Reasons of the server that are not among them are read as a capture error. */
export type AbsenceReason =
  | 'recording_off'
  | 'too_short'
  | 'not_armed'
  | 'capture_error'
  | 'removed'
  | 'expired';

/** The words of the Calls tab. `{name}` is a person; the other words in braces are filled in, too. */
export interface TabTexts {
  label: string;
  loading: string;
  empty: string;
  emptyHint: string;
  offline: string;
  retry: string;
  more: string;
  outgoing: string;
  incoming: string;
  /** For a page that looks at the call of two others, such as after a change of the chat's members. */
  between: string;
  status: Record<Recording['state'], string>;
  /** Told to screen readers when a row changes. */
  changed: string;
  play: string;
  pause: string;
  download: string;
  /** Ends the names of a row's buttons, which would be the same in every row otherwise. */
  ofCall: string;
  loadingRecording: string;
  noRecording: string;
  notYet: string;
  running: string;
  /** A recording that was removed, or ran out. */
  removedOn: string;
  removedBecause: string;
  absence: Record<AbsenceReason, string>;
  position: string;
  positionText: string;
  speed: string;
  voices: string;
  together: string;
  apart: string;
  noWaveform: string;
  you: string;
  caller: string;
  callee: string;
  timeline: string;
  timelineLoading: string;
  timelineFailed: string;
  timelineEmpty: string;
  playFrom: string;
  message: string;
  bundle: string;
  bundleHint: string;
  evidence: {
    checking: string;
    confirmed: string;
    mismatch: string;
    mismatchTodo: string;
    reportPending: string;
    reportConfirmed: string;
    reportDenied: string;
    unverified: string;
    failed: string;
    none: string;
    again: string;
  };
  listeners: {
    title: string;
    loading: string;
    empty: string;
    more: string;
    app: string;
    admin: string;
    someone: string;
    actions: Record<AccessEvent['action'], string>;
    times: string;
  };
}
