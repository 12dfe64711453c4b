import type { PeerCandidate, PeerDescription, Result } from '#protocol';
import { asClientError, VerbatimClientError } from './errors.ts';
import { opusOnly, refusalOf, withDtx } from './peer-sdp.ts';
import type { CallStats } from './stats.ts';
import { emptyStats, readStats } from './stats.ts';
import type { MediaPath, MediaPathDeps, PeerNotification } from './transport.ts';

/** A path that breaks often mends itself within this time; then the two look for another one. */
const ICE_PATIENCE_MS = 1_000;
/** A new round takes a moment: candidates are gathered, relays asked, pairs tried. */
const FIRST_RETRY_MS = 3_000;
const MAX_RETRY_MS = 10_000;
/** Limits of the server (PEER_LIMITS): what is past them is not sent. */
const MAX_CANDIDATES = 64;
const MAX_CANDIDATES_AT_ONCE = 16;
const FIXED: RTCConfiguration = { bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require' };

/**
 * The audio of a voice call, from this browser to the other one. The caller offers and the called side answers, always:
 * so two offers never meet. The caller makes its first offer while it still rings and sends it when the call is accepted;
 * every later offer is a new round, with new ICE credentials, because the path broke.
 */
export class PeerMedia implements MediaPath {
  readonly #deps: MediaPathDeps;
  #connection: RTCPeerConnection | undefined;
  #sender: RTCRtpSender | undefined;
  #track: MediaStreamTrack | undefined;
  #onBuilt: () => void = () => {};
  /**
   * What is done with the connection, one after the other, beginning when it is built: the other side's offer may be
   * here before the answer about the servers. Never rejects.
   */
  #line = new Promise<void>((resolve) => {
    this.#onBuilt = resolve;
  });
  #accepted = false;
  /** The newest round that this side has a description of, and the newest whose description the server has. */
  #round = 0;
  #saidRound = 0;
  /** The caller's offer, while it still rings. */
  #unsaid: PeerDescription | undefined;
  /** Candidates of this round that are not sent yet, and how many there have been. */
  #outbox: PeerCandidate[] = [];
  #candidates = 0;
  #sending = false;
  /** The path stood once: from then on it is mended, not given up. */
  #stood = false;
  /** The last word about the path that the server has from this side. */
  #reported: 'connected' | 'broken' | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #retryMs = FIRST_RETRY_MS;
  #offeredAtMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(deps: MediaPathDeps) {
    this.#deps = deps;
  }

  async start(microphone: () => Promise<MediaStreamTrack>): Promise<void> {
    const servers = await this.#deps.ask('peer.servers', { callId: this.#deps.callId });
    if (this.#closed) return;
    this.#build(servers);
    this.#onBuilt();
    if (this.#deps.side === 'caller') this.#inLine(() => this.#offer());
    const track = await microphone();
    if (!this.#closed) await this.replaceTrack(track);
  }

  /** The call was accepted: the caller's offer goes out. */
  accepted(): void {
    if (this.#accepted) return;
    this.#accepted = true;
    const offer = this.#unsaid;
    this.#unsaid = undefined;
    if (offer !== undefined) this.#inLine(() => this.#say(offer));
  }

  /** What the other browser says. */
  peer(notification: PeerNotification): void {
    if (notification.method === 'peer.broken') {
      // The other side may have noticed what this one mends already, and a round that has just begun needs its time.
      const recently = performance.now() - this.#offeredAtMs < FIRST_RETRY_MS;
      if (this.#deps.side === 'caller' && this.#accepted && !recently) this.#inLine(() => this.#offer());
      return;
    }
    this.#inLine(() =>
      notification.method === 'peer.description'
        ? this.#hear(notification.params)
        : this.#take(notification.params.round, notification.params.candidates),
    );
  }

  /** Another microphone in the place of the present one; the first one, too. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    this.#track = track;
    await this.#sender?.replaceTrack(track);
    this.#report();
  }

  /** The signaling connection came back: what was said meanwhile is lost, so it is said again. */
  mend(): void {
    // Nothing is there yet that could be mended.
    if (this.#connection === undefined) return;
    this.#reported = undefined;
    if (this.#isConnected) this.#report();
    else if (this.#accepted || this.#deps.side === 'callee') this.#mendAfter(0);
  }

  async stats(): Promise<CallStats> {
    const connection = this.#connection;
    if (connection === undefined) return emptyStats();
    const both = { state: connection.connectionState, report: await connection.getStats() };
    return readStats(both, both);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#outbox = [];
    this.#connection?.close();
  }

  get #isConnected(): boolean {
    return this.#connection?.connectionState === 'connected';
  }

  #build(servers: Result<'peer.servers'>): void {
    const connection = new RTCPeerConnection({ ...FIXED, ...servers });
    this.#connection = connection;
    connection.addEventListener('icecandidate', ({ candidate }) => this.#found(candidate));
    connection.addEventListener('track', ({ track }) => this.#deps.onRemoteTrack(track));
    connection.addEventListener('connectionstatechange', () => this.#onState(connection.connectionState));
    if (this.#deps.side === 'caller')
      this.#use(connection.addTransceiver('audio', { direction: 'sendrecv' }));
  }

  #use(transceiver: RTCRtpTransceiver): void {
    opusOnly(transceiver);
    transceiver.direction = 'sendrecv';
    this.#sender = transceiver.sender;
  }

  // Descriptions

  async #offer(): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#offeredAtMs = performance.now();
    if (this.#round > 0) await this.#renewServers(connection);
    const offer = await connection.createOffer({ iceRestart: this.#round > 0 });
    this.#begin(this.#round + 1);
    await connection.setLocalDescription(offer);
    await this.#sayLocal('offer', connection);
  }

  async #hear({ kind, round, sdp }: PeerDescription): Promise<void> {
    const connection = this.#connection;
    const refusal = refusalOf(sdp);
    if (refusal !== undefined) throw new VerbatimClientError('media_failed', `the other browser: ${refusal}`);
    if (connection === undefined) return;
    if (kind === 'offer' && this.#deps.side === 'callee') await this.#answer(connection, round, sdp);
    else if (kind === 'answer' && round === this.#round && connection.signalingState === 'have-local-offer')
      await connection.setRemoteDescription({ type: 'answer', sdp });
  }

  async #answer(connection: RTCPeerConnection, round: number, sdp: string): Promise<void> {
    if (round <= this.#round) return;
    if (this.#round > 0) await this.#renewServers(connection);
    await connection.setRemoteDescription({ type: 'offer', sdp });
    const [transceiver] = connection.getTransceivers();
    if (transceiver === undefined) throw new VerbatimClientError('media_failed');
    this.#use(transceiver);
    // It may be on its way still: then it comes onto the path that stands by then.
    if (this.#track !== undefined) await this.replaceTrack(this.#track);
    const answer = await connection.createAnswer();
    this.#begin(round);
    await connection.setLocalDescription(answer);
    await this.#sayLocal('answer', connection);
  }

  #begin(round: number): void {
    this.#round = round;
    this.#outbox = [];
    this.#candidates = 0;
  }

  async #sayLocal(kind: PeerDescription['kind'], connection: RTCPeerConnection): Promise<void> {
    const description = { kind, round: this.#round, sdp: withDtx(connection.localDescription?.sdp ?? '') };
    if (kind === 'answer' || this.#accepted) await this.#say(description);
    else this.#unsaid = description;
  }

  async #say(description: PeerDescription): Promise<void> {
    if (this.#closed || description.round !== this.#round) return;
    await this.#deps.request('peer.description', { callId: this.#deps.callId, ...description });
    this.#saidRound = description.round;
    void this.#sendCandidates();
  }

  /** Credentials of relays run out, and a path is mended with fresh ones. Without them the old ones may still do. */
  async #renewServers(connection: RTCPeerConnection): Promise<void> {
    try {
      const servers = await this.#deps.request('peer.servers', { callId: this.#deps.callId });
      if (!this.#closed) connection.setConfiguration({ ...FIXED, ...servers });
    } catch (error) {
      if (asClientError(error, 'media_failed').code === 'connection_lost') throw error;
    }
  }

  // Candidates

  #found(candidate: RTCIceCandidate | null): void {
    if (candidate === null || candidate.candidate === '' || this.#candidates >= MAX_CANDIDATES) return;
    this.#candidates += 1;
    const { sdpMid, sdpMLineIndex, usernameFragment } = candidate;
    this.#outbox.push({ candidate: candidate.candidate, sdpMid, sdpMLineIndex, usernameFragment });
    void this.#sendCandidates();
  }

  /** One message at a time: what is found meanwhile goes with the next one. */
  async #sendCandidates(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    try {
      while (!this.#closed && this.#outbox.length > 0 && this.#saidRound === this.#round) {
        const candidates = this.#outbox.splice(0, MAX_CANDIDATES_AT_ONCE);
        const { callId } = this.#deps;
        await this.#deps.request('peer.candidates', { callId, round: this.#round, candidates });
      }
    } catch {
      // With the signaling connection gone the next round, after it is back, brings all of them anew.
    } finally {
      this.#sending = false;
    }
  }

  async #take(round: number, candidates: readonly PeerCandidate[]): Promise<void> {
    if (round !== this.#round) return;
    for (const candidate of candidates) {
      // One that this browser cannot use, such as of another address family, leaves the others.
      await this.#connection?.addIceCandidate(candidate).catch(() => {});
    }
  }

  // The path

  #onState(state: RTCPeerConnectionState): void {
    if (this.#closed) return;
    if (state === 'connected') {
      clearTimeout(this.#timer);
      this.#retryMs = FIRST_RETRY_MS;
      this.#stood = true;
      this.#report();
    } else if (state === 'disconnected') this.#mendAfter(ICE_PATIENCE_MS);
    else if (state === 'failed') {
      if (this.#stood) this.#mendAfter(0);
      else void this.#giveUp();
    }
  }

  /** The call begins when both sides say so; without its microphone on the path this side does not. */
  #report(): void {
    if (this.#closed || !this.#isConnected || this.#track === undefined || this.#reported === 'connected')
      return;
    this.#reported = 'connected';
    this.#tell('peer.connected');
  }

  #mendAfter(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#mendPath(), ms);
  }

  /** Tries again until the path stands: the server ends the call when its grace period is over. */
  #mendPath(): void {
    if (this.#closed || this.#isConnected) return;
    this.#mendAfter(this.#retryMs);
    this.#retryMs = Math.min(MAX_RETRY_MS, this.#retryMs * 1.5);
    this.#reported = 'broken';
    // The called side asks the caller for a new round by it.
    this.#tell('peer.broken');
    if (this.#deps.side === 'caller') this.#inLine(() => this.#offer());
  }

  /** Both are told by the server. */
  async #giveUp(): Promise<void> {
    try {
      await this.#deps.request('peer.failed', { callId: this.#deps.callId });
    } catch (error) {
      if (!this.#closed)
        this.#deps.onFailed(new VerbatimClientError('peer_unreachable', undefined, { cause: error }));
    }
  }

  #tell(method: 'peer.connected' | 'peer.broken'): void {
    this.#deps.request(method, { callId: this.#deps.callId }).catch(() => {
      // The signaling connection is gone, and `mend` says it again; or the call is over.
    });
  }

  #inLine(work: () => Promise<void>): void {
    this.#line = this.#line
      .then(() => (this.#closed ? undefined : work()))
      .catch((error: unknown) => this.#trouble(asClientError(error, 'media_failed')));
  }

  /** What only lacked a connection, or its turn, is tried again; anything else ends a call that never stood. */
  #trouble(error: VerbatimClientError): void {
    if (this.#closed) return;
    const passing = ['connection_lost', 'timeout', 'rate_limited', 'conflict'].includes(error.code);
    if (passing || this.#stood) this.#mendAfter(this.#retryMs);
    else this.#deps.onFailed(error);
  }
}
