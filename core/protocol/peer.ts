import { Type } from 'typebox';

/**
 * What two browsers say to each other through the server until they have a path of their own: in voice calls only.
 * The server passes it on between the two devices of one call and keeps none of it.
 */
const closed = { additionalProperties: false };

/** Each limit is of one call; the server enforces them, clients may rely on them. */
export const PEER_LIMITS = {
  /** One session description, in characters. With one audio section it has some 2,000. */
  maxSdpLength: 16_384,
  /** Rounds of offer and answer: the first, and one for each time that a path is mended. */
  maxRounds: 200,
  /** Candidates of one side in one round. */
  maxCandidates: 64,
  /** Candidates in one message. */
  maxCandidatesAtOnce: 16,
  /** How often one side may ask for ICE servers. */
  maxServerRequests: 250,
  /** How often one side may tell that its path stands or broke. */
  maxReports: 1_000,
} as const;

/** Counts the offers of a call, from 1: what belongs to an older offer is not passed on any more. */
export const PeerRound = Type.Integer({ minimum: 1, maximum: 1_000_000 });

/** A session description (RFC 8829), as the browser made it. The caller offers, the called side answers. */
export const PeerDescription = Type.Object(
  {
    kind: Type.Union([Type.Literal('offer'), Type.Literal('answer')]),
    round: PeerRound,
    sdp: Type.String({ minLength: 1, maxLength: PEER_LIMITS.maxSdpLength }),
  },
  closed,
);
export type PeerDescription = Type.Static<typeof PeerDescription>;

/** One ICE candidate (RTCIceCandidateInit of the W3C's WebRTC). */
export const PeerCandidate = Type.Object(
  {
    candidate: Type.String({ minLength: 1, maxLength: 512 }),
    sdpMid: Type.Union([Type.String({ maxLength: 16 }), Type.Null()]),
    sdpMLineIndex: Type.Union([Type.Integer({ minimum: 0, maximum: 8 }), Type.Null()]),
    usernameFragment: Type.Optional(Type.Union([Type.String({ maxLength: 256 }), Type.Null()])),
  },
  closed,
);
export type PeerCandidate = Type.Static<typeof PeerCandidate>;

/** Candidates of one side that belong to the offer, or to the answer to it, of this round. */
export const PeerCandidates = Type.Object(
  {
    round: PeerRound,
    candidates: Type.Array(PeerCandidate, { minItems: 1, maxItems: PEER_LIMITS.maxCandidatesAtOnce }),
  },
  closed,
);
export type PeerCandidates = Type.Static<typeof PeerCandidates>;

/** One STUN or TURN server, as `RTCPeerConnection` takes it. */
export const IceServer = Type.Object({
  urls: Type.Array(Type.String()),
  username: Type.Optional(Type.String()),
  credential: Type.Optional(Type.String()),
});
export type IceServer = Type.Static<typeof IceServer>;

/** What a browser builds its connection with. Credentials of relays are for this user, and run out. */
export const IceServers = Type.Object({
  iceServers: Type.Array(IceServer),
  /** `relay` where the operator wants no direct paths. */
  iceTransportPolicy: Type.Union([Type.Literal('all'), Type.Literal('relay')]),
});
export type IceServers = Type.Static<typeof IceServers>;
