import type { RouteTexts } from './route-text.ts';
import { EXAMPLE } from './route-text.ts';

const { callId, recordingId, grantId, startedAt, endedAt, sha256 } = EXAMPLE;
const reading = ['role_not_allowed', 'not_found'] as const;
const recording = {
  id: recordingId,
  callId,
  chatId: 'ann-and-ben',
  mode: 'secure',
  caller: { userId: 'ann', name: 'Ann Example' },
  callee: { userId: 'ben', name: 'Ben Example' },
  state: 'available',
  startedAt,
  endedAt,
  durationMs: 756_750,
  sizeBytes: 4_540_112,
  format: 'audio/webm; codecs=opus',
  sha256,
  legs: [
    { userId: 'ann', packets: 37_830, lost: 2, duplicates: 0 },
    { userId: 'ben', packets: 37_828, lost: 0, duplicates: 0 },
  ],
};
const vkey = 'calls.example/ledger+1a2b3c4d+AVN0Yb7mB4y4nQ5bXg0s3k1r8dQ2c9fK6h5j7l9z1x3v';
const note = 'calls.example/ledger\n128\nqJ0r…=\n\n— calls.example/ledger Gis8TQ…=\n';

/** Recordings, who may have them, and what proves them. */
export const RECORDING_TEXTS: RouteTexts = {
  'GET /v1/chats/:id/recordings': {
    description:
      'Secure calls only. A user sees those that they are a party of, also after leaving the chat; the app’s server sees all of its chats’. Each list is entered in the access log. `next` is the `cursor` of the page that follows.',
    errors: [...reading],
    answer: { recordings: [recording], next: recordingId },
  },
  'GET /v1/recordings/:id': {
    description:
      'What there is to know of one recording. `reason` says why there is nothing to play when it failed, was removed or expired.',
    errors: [...reading],
    answer: recording,
  },
  'GET /v1/recordings/:id/peaks': {
    description:
      'Minimum and maximum of each channel for each pixel, channels interleaved. The levels are those that the browsers sent with their packets: nothing is decoded for it.',
    errors: [...reading, 'recording_not_ready', 'recording_failed'],
    answer: {
      version: 2,
      channels: 2,
      sample_rate: 48_000,
      samples_per_pixel: 4_800,
      bits: 16,
      length: 1,
      data: [-8_192, 8_192, -16_384, 16_384],
    },
  },
  'GET /v1/recordings/:id/access': {
    description:
      'Both parties and the app’s server read the same. `play_end` follows a stream or a download and says how much of it went out. Reading this is not entered.',
    errors: [...reading],
    answer: {
      events: [
        {
          at: '2026-03-20T15:31:00.000Z',
          action: 'play_end',
          actor: { kind: 'user', userId: 'ben', name: 'Ben Example' },
          played: {
            what: 'stream',
            ranges: 3,
            bytes: 4_600_000,
            coveredBytes: 4_540_112,
            sizeBytes: 4_540_112,
          },
        },
        {
          at: '2026-03-20T15:18:12.000Z',
          action: 'stream',
          actor: { kind: 'user', userId: 'ben', name: 'Ben Example' },
        },
      ],
    },
  },
  'POST /v1/recordings/:id/grants': {
    description:
      'The address works in the browser that gets the session cookie of this answer, and nowhere else: first within two minutes, then until `endsAt`, sign-out or removal. `bundle` is the evidence bundle in place of the audio.',
    errors: [
      ...reading,
      'recording_not_ready',
      'recording_failed',
      'no_evidence',
      'format_unavailable',
      'corrupt',
    ],
    body: { disposition: 'inline', format: 'mp4' },
    answer: {
      grantId,
      url: `/media/${grantId}?e=1774022591&k=1&s=Zm9yIGV4YW1wbGU`,
      firstUseBefore: '2026-03-20T15:20:12.000Z',
      endsAt: '2026-03-20T16:03:11.000Z',
    },
  },
  'GET /v1/recordings/:id/timeline': {
    description:
      'The newest transcript and the messages of the call. Times are from the beginning of the recording; what has none comes last. Empty for a recording that was removed or expired.',
    errors: [...reading],
    answer: {
      segments: [{ side: 'caller', startMs: 1_200, endMs: 2_900, text: 'Good afternoon.' }],
      messages: [
        { userId: 'ben', name: 'Ben Example', side: 'callee', atMs: 61_000, text: 'Here is the link.' },
      ],
    },
  },
  'DELETE /v1/session': {
    description: 'Every playback address of this user in this browser ends, streams in progress included.',
    errors: [],
  },
  'GET /media/:grantId': {
    description:
      'One range at a time (RFC 9110 section 14); several ranges in one request are answered with the whole file. `ETag` is strong, `Repr-Digest` is the hash of the whole file where it is known. All reasons for which an address does not work are told in the same words.',
    errors: [
      'grant_invalid',
      'precondition_failed',
      'range_not_satisfiable',
      'no_evidence',
      'format_unavailable',
      'corrupt',
    ],
  },
  'HEAD /media/:grantId': {
    description: 'As `GET`, without the bytes.',
    errors: ['grant_invalid', 'precondition_failed', 'no_evidence', 'format_unavailable', 'corrupt'],
  },
  'GET /v1/recordings/:id/evidence': {
    description:
      'For the two parties. Each entry comes as its exact bytes, with a proof that it is in the log whose head is in the proof.',
    errors: [...reading, 'evidence_unavailable', 'corrupt'],
    answer: {
      recordingId,
      vkey,
      entries: [{ index: 41, entry: 'eyJ2IjoxLCJ0IjoicmVjLmZpbmFsIn0=', proof: 'c2sp.org/tlog-proof@v1\n…' }],
      receipts: [{ epoch: 1, seq: 758, head: sha256, note }],
    },
  },
  'GET /v1/recordings/:id/chain/:epoch': {
    description:
      'For the two parties: with it a client shows that a head it was given during the call is in the finished journal.',
    errors: [...reading, 'no_evidence', 'conflict', 'corrupt'],
    answer: { epoch: 1, after: 756, blocks: 'U0NCMQEAAAAAAAL1' },
  },
  'POST /v1/recordings/:id/mismatch': {
    description:
      'A party’s client found that a signed head is not in the journal. The server looks for itself; `confirmed` says that it finds the same, and an alarm is raised.',
    errors: [...reading, 'conflict', 'corrupt', 'no_evidence'],
    body: { note },
    answer: { confirmed: false },
  },
  'GET /v1/ledger/checkpoint': {
    description: 'Keep it: together with a later one it shows whether the log was changed in between.',
    errors: ['not_found'],
  },
  'GET /v1/ledger/vkeys': { description: 'For checking signatures of checkpoints and receipts.', errors: [] },
  'GET /v1/ledger/consistency': {
    description: 'Both sizes must not be greater than that of the newest checkpoint.',
    errors: ['not_found', 'corrupt'],
    answer: { from: 64, to: 128, proof: ['qJ0rZmFrZWZha2VmYWtlZmFrZWZha2VmYWtlZmFrZWY='] },
  },
  'GET /v1/ledger/tile/*': {
    description: 'With these anybody computes the root of the log and checks inclusion and consistency.',
    errors: ['not_found', 'corrupt'],
  },
  'GET /v1/health': {
    description:
      'Each part with what is wrong with it. `degraded` still takes calls of some kind; `failing` (503) does not.',
    errors: [],
    answer: {
      status: 'ok',
      version: '1.0.0',
      checks: { database: { ok: true }, disk: { ok: true, detail: '80000 MiB free' } },
    },
  },
  'GET /v1/health/live': {
    description: 'For who restarts processes that hang.',
    errors: [],
    answer: { status: 'ok' },
  },
  'GET /v1/health/ready': {
    description: 'For who spreads traffic: 503 while calls cannot be placed.',
    errors: [],
    answer: { status: 'ok' },
  },
  'GET /metrics': {
    description: 'For a monitor of the operator’s. What is in it: docs/monitoring.md.',
    errors: ['unauthorized', 'not_found'],
  },
};
