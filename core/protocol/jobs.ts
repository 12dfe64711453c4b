import { Type } from 'typebox';
import { Side, Uuid } from './ids.ts';

/**
 * What the daemon and the recorders say to each other, all of it over the queue, on either backend:
 * - queue `capture`: the daemon adds one long job per recording and epoch, any recorder takes it;
 * - queue `recorder-<recorderId>`: commands from the daemon to the recorder that took a job;
 * - queue `recorder-events`: what recorders and finalisers report, worked off by the daemon in order;
 * - queue `finalise`: one job per recording, taken by a finaliser process.
 * Delivery is at least once: every message names recording and epoch, and a repeated one does nothing twice.
 * No secret and no audio ever travels here.
 *
 * A message passes in 2-4 ms (median, PostgreSQL) because workers wait on LISTEN/NOTIFY or a blocking pop and never
 * poll, so that no second channel is needed for the steps between accepting a call and its recording.
 */
/** What keeps our queues apart from other users of the same server: a PostgreSQL schema, or a prefix of Redis keys. */
export const QUEUE_NAMESPACE = 'verbatim_queue';

export const QUEUES = {
  capture: 'capture',
  finalise: 'finalise',
  events: 'recorder-events',
  commands: (recorderId: string) => `recorder-${recorderId}`,
} as const;

export const CaptureJob = Type.Object({
  recordingId: Uuid,
  callId: Uuid,
  epoch: Type.Integer({ minimum: 1 }),
  /** The last known head (hex) of the epoch before, when this one continues a recording whose recorder was lost. */
  prev: Type.Optional(Type.String()),
  /** After this time nobody waits for the answer any more: the recorder must not start (Unix ms). */
  expiresAtMs: Type.Integer(),
});
export type CaptureJob = Type.Static<typeof CaptureJob>;

/** Bounds that the daemon and the recorders share. */
export const RECORDER_TIMES = {
  heartbeatMs: 500,
  /** A recorder that was not heard of for this long is lost, and with it its captures. */
  lostAfterMs: 2_000,
  /** How long the daemon waits for a recorder to take a job and listen. */
  openMs: 3_000,
  /** How long a call whose recorder was lost waits, silent, until another one has audio of both legs. */
  reattachMs: 3_000,
  /** How often the head of a running capture is told. */
  headEveryMs: 10_000,
} as const;

/** One leg as the recorder will see it on its UDP socket. The SSRC is chosen by the media worker. */
export const CaptureLeg = Type.Object({
  side: Side,
  ssrc: Type.Integer(),
  payloadType: Type.Integer(),
  clockRate: Type.Integer(),
  /** RFC 8285 id of urn:ietf:params:rtp-hdrext:ssrc-audio-level, when it was negotiated. */
  audioLevelExtId: Type.Optional(Type.Integer()),
});
export type CaptureLeg = Type.Static<typeof CaptureLeg>;

export const FinaliseJob = Type.Object({
  recordingId: Uuid,
  callId: Uuid,
  /** The journals to read, oldest epoch first. */
  epochs: Type.Array(Type.Integer({ minimum: 1 })),
  /** The last head of each epoch that left the server: a journal that does not hold it was rolled back or replaced. */
  acknowledged: Type.Optional(
    Type.Array(
      Type.Object({ epoch: Type.Integer({ minimum: 1 }), seq: Type.Integer(), head: Type.String() }),
    ),
  ),
});
export type FinaliseJob = Type.Static<typeof FinaliseJob>;

/** A stretch of a recording: offset from its start, and length. */
export const Span = Type.Object({ atMs: Type.Integer(), lengthMs: Type.Integer() });
export type Span = Type.Static<typeof Span>;

/** Coverage of one leg of a finished recording (F37). */
export const LegReport = Type.Object({
  side: Side,
  packets: Type.Integer(),
  lost: Type.Integer(),
  duplicates: Type.Integer(),
  /** Packets that are in the journal but not in the file, because they hold no Opus audio. */
  unusable: Type.Optional(Type.Integer()),
  /** Spans without audio longer than a second: offset from the start and length. */
  gaps: Type.Array(Span),
  /** While this side had muted its own microphone, by its own word. */
  mutes: Type.Optional(Type.Array(Span)),
  /** How often this side's media path broke and came back. */
  reconnects: Type.Optional(Type.Integer()),
});
export type LegReport = Type.Static<typeof LegReport>;

/**
 * What was found in one journal: how far it verifies (`seq` and `head` of its last good block), and how many bytes lie
 * behind that. `complete` has its END; `torn` was cut at `goodBytes`, the tail is still in the file; `corrupt` contradicts
 * itself. These are the facts that `rec.recovered` and `rec.failed` enter about journals.
 */
export const JournalState = Type.Object({
  epoch: Type.Integer({ minimum: 1 }),
  seq: Type.Integer(),
  head: Type.String(),
  status: Type.Union([
    Type.Literal('complete'),
    Type.Literal('torn'),
    Type.Literal('corrupt'),
    Type.Literal('rollback'),
  ]),
  goodBytes: Type.Integer(),
  tailBytes: Type.Integer(),
});
export type JournalState = Type.Static<typeof JournalState>;

export const FinaliseResult = Type.Union([
  Type.Object({
    ok: Type.Literal(true),
    durationMs: Type.Integer(),
    /** The file as downloaded. */
    sizeBytes: Type.Integer(),
    sha256: Type.String(),
    format: Type.String(),
    /** The sealed payload on disk. */
    paySizeBytes: Type.Integer(),
    paySha256: Type.String(),
    legs: Type.Array(LegReport),
    journals: Type.Array(Type.Object({ epoch: Type.Integer(), seq: Type.Integer(), head: Type.String() })),
    /** Loudest level of each interval, 0 (silence) to 127 (loudest), caller and callee interleaved. */
    peaks: Type.Object({ intervalMs: Type.Integer(), levels: Type.Array(Type.Integer()) }),
    /** False when the legs' frames could not be combined into one file without touching them. */
    combined: Type.Boolean(),
    /** The audio ends before the call did: the journal had a torn tail or no END. */
    truncated: Type.Boolean(),
    // What the evidence needs besides. Absent in reports of earlier versions.
    /** Of the file as downloaded, hex. */
    sha512: Type.Optional(Type.String()),
    /** Of the file as downloaded (zip's CRC-32), unsigned. */
    crc32: Type.Optional(Type.Integer()),
    /** The age header on disk: size and SHA-256 (hex). */
    hdr: Type.Optional(Type.Object({ sizeBytes: Type.Integer(), sha256: Type.String() })),
    /** Between two epochs: nothing was recorded of either leg, because a recorder was lost. */
    holes: Type.Optional(Type.Array(Span)),
    /** The reason in the last journal's END; null when it has none. */
    endReason: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    /** The journals without END, which were brought to their end from the files: for `rec.recovered`. Absent when none. */
    recovered: Type.Optional(Type.Array(JournalState)),
  }),
  Type.Object({
    ok: Type.Literal(false),
    reason: Type.String(),
    detail: Type.String(),
    /** The journals that were read, up to the one that failed: for `rec.failed`. */
    journals: Type.Optional(Type.Array(JournalState)),
  }),
]);
export type FinaliseResult = Type.Static<typeof FinaliseResult>;

const ref = { recordingId: Uuid, epoch: Type.Integer({ minimum: 1 }) };

export const RecorderCommand = Type.Union([
  /** The two legs and where they come from; the recorder answers `ready` and only then audio is let through. */
  Type.Object({
    type: Type.Literal('legs'),
    ...ref,
    source: Type.Object({ ip: Type.String(), port: Type.Integer() }),
    legs: Type.Array(CaptureLeg),
  }),
  Type.Object({
    type: Type.Literal('mark'),
    ...ref,
    mark: Type.Union([
      Type.Literal('mute'),
      Type.Literal('unmute'),
      Type.Literal('gap'),
      Type.Literal('reattach'),
    ]),
    side: Type.Optional(Side),
    atMs: Type.Integer(),
  }),
  Type.Object({ type: Type.Literal('stop'), ...ref, reason: Type.String() }),
]);
export type RecorderCommand = Type.Static<typeof RecorderCommand>;

/** Counters of one leg in one capture. */
export const LegCount = Type.Object({ side: Side, packets: Type.Integer(), bytes: Type.Integer() });
export type LegCount = Type.Static<typeof LegCount>;

/** This capture cannot go on: said at once, before the recorder tries to end the journal. */
export const CaptureFailed = Type.Object({
  type: Type.Literal('failed'),
  ...ref,
  recorderId: Type.String(),
  reason: Type.String(),
});

export const RecorderEvent = Type.Union([
  Type.Object({
    type: Type.Literal('heartbeat'),
    recorderId: Type.String(),
    atMs: Type.Integer(),
    captures: Type.Integer(),
    /** Median time from a block being cut to being durable, over the last second. */
    commitMs: Type.Number(),
    // Totals since the recorder started.
    /** Flushes of the commit log. */
    commits: Type.Integer(),
    /** Packets for which the socket's buffer had no room. */
    kernelDrops: Type.Integer(),
    /** Packets recorded. */
    packets: Type.Integer(),
    /** Packets that were malformed or belonged to no leg. */
    refused: Type.Integer(),
    cpuUs: Type.Integer(),
    rssBytes: Type.Integer(),
  }),
  Type.Object({ type: Type.Literal('leaving'), recorderId: Type.String(), atMs: Type.Integer() }),
  /** The journal exists and is durable; the recorder listens at this address. */
  Type.Object({
    type: Type.Literal('listening'),
    ...ref,
    recorderId: Type.String(),
    ip: Type.String(),
    port: Type.Integer(),
  }),
  /** The legs are known to the socket. */
  Type.Object({ type: Type.Literal('ready'), ...ref, recorderId: Type.String() }),
  /** Audio of both legs is durable (F34). `head` is the chain's head, hex. */
  Type.Object({
    type: Type.Literal('armed'),
    ...ref,
    recorderId: Type.String(),
    seq: Type.Integer(),
    head: Type.String(),
  }),
  /** Newest acknowledged heads of running captures, each told about every 10 s; only what is in the log and synced. */
  Type.Object({
    type: Type.Literal('heads'),
    recorderId: Type.String(),
    heads: Type.Array(Type.Object({ ...ref, seq: Type.Integer(), head: Type.String() }), { maxItems: 256 }),
  }),
  /** END is durable. */
  Type.Object({
    type: Type.Literal('ended'),
    ...ref,
    recorderId: Type.String(),
    seq: Type.Integer(),
    head: Type.String(),
    legs: Type.Array(LegCount),
  }),
  CaptureFailed,
  /**
   * Follows `failed`: the recorder has put all that was acknowledged into the journals and writes to them no more. Sent
   * again in answer to `stop`, also for a capture that the recorder does not know.
   */
  Type.Object({ type: Type.Literal('released'), ...ref, recorderId: Type.String() }),
  Type.Object({ type: Type.Literal('finalised'), recordingId: Uuid, result: FinaliseResult }),
]);
export type RecorderEvent = Type.Static<typeof RecorderEvent>;

/**
 * What a child process tells the daemon over its IPC channel, besides the queue: a stalled queue must not make a
 * healthy recorder look dead, the daemon must know whose death an exit is, and a failed capture must be known to the call
 * although the disk that failed it has taken the queue's database along.
 */
export const ChildMessage = Type.Union([
  Type.Object({ type: Type.Literal('started'), recorderId: Type.String() }),
  Type.Object({ type: Type.Literal('heartbeat'), recorderId: Type.String() }),
  CaptureFailed,
]);
export type ChildMessage = Type.Static<typeof ChildMessage>;

/** What the daemon tells a recorder that it keeps ready: the one before is gone, take captures from now on. */
export const TakeOver = Type.Object({ type: Type.Literal('take-over') });
export type TakeOver = Type.Static<typeof TakeOver>;
