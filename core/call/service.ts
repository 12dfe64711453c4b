import { randomUUID } from 'node:crypto';
import type { CallMode, CallView, Consent, Params, Party, Result, Side } from '#protocol';
import { VerbatimError } from '#protocol';
import type { CallContext, ConsentRecord, NewCall } from '../db/calls.ts';
import * as calls from '../db/calls.ts';
import { setConsentEntry } from '../db/consents.ts';
import type { Database } from '../db/index.ts';
import { rolePermissions } from '../db/index.ts';
import type { CallEvidence } from '../evidence/index.ts';
import type { CallMedia, MediaServer } from '../media/index.ts';
import type { Recordings } from './acts.ts';
import { callActs, factsOf } from './acts.ts';
import { Call } from './call.ts';
import type { IceSettings } from './ice-servers.ts';
import { iceServersFor } from './ice-servers.ts';
import type { CallWatcher, Clock, Devices, Participant } from './ports.ts';
import { systemClock } from './ports.ts';

export interface CallLimits {
  /** A side whose socket or media path broke may come back within this time (F16). */
  graceMs: number;
  /** From accept until audio flows; past it the call ends with a reason (F13). */
  connectTimeoutMs: number;
  /** Calls at once on this daemon; the next one is refused with `busy_server`. */
  maxCalls: number;
  /** Takes the place of every app's own ring time, when it is given. */
  ringTimeoutMs?: number;
}

export interface CallServiceDeps {
  db: Database;
  media: MediaServer;
  recording: Recordings;
  evidence: CallEvidence;
  devices: Devices;
  limits: CallLimits;
  ice: IceSettings;
  /** An app's own servers, in place of those. */
  iceOfApp?: (appId: string) => Promise<IceSettings | undefined>;
  log: { warn(o: object, message: string): void; info(o: object, message: string): void };
  watcher?: CallWatcher;
  clock?: Clock;
}

/** All calls of this daemon: admits, finds and ends them. Each user takes part in one call at a time. */
export class CallService {
  #deps: CallServiceDeps;
  #clock: Clock;
  #calls = new Map<string, Call>();
  /** appId + NUL + userId -> the one call of this user; set before the first await, so that no two start. */
  #byUser = new Map<string, string>();
  /** Ended calls whose journals and rows are still being closed. */
  #finishing = new Set<Call>();
  #closing = false;

  constructor(deps: CallServiceDeps) {
    this.#deps = deps;
    this.#clock = deps.clock ?? systemClock;
  }

  get count(): number {
    return this.#calls.size;
  }

  /** Every call that runs, for metrics. */
  get running(): { mode: CallMode; phase: string }[] {
    return [...this.#calls.values()].map(({ mode, status }) => ({ mode, phase: status.phase }));
  }

  routerRtpCapabilities(): Record<string, unknown> {
    return this.#deps.media.routerRtpCapabilities();
  }

  /** Calls that a daemon which is gone left open end with a reason; their recordings are recovered elsewhere. */
  async recover(): Promise<number> {
    const ids = await calls.endOpenCalls(this.#deps.db, 'shutdown', this.#clock.now());
    return ids.length;
  }

  async start(who: Participant, p: Params<'call.start'>): Promise<CallView> {
    try {
      const view = await this.#start(who, p);
      this.#deps.watcher?.started(p.mode);
      return view;
    } catch (error) {
      this.#deps.watcher?.refused(p.mode, error instanceof VerbatimError ? error.code : 'internal');
      throw error;
    }
  }

  async #start(who: Participant, p: Params<'call.start'>): Promise<CallView> {
    if (this.#closing) throw new VerbatimError('shutting_down');
    const { context, peer } = await this.#admit(who, p.chatId);
    await this.#assertMay(who, p.mode);
    if (p.mode === 'secure') {
      if (!context.recordingEnabled) throw new VerbatimError('recording_disabled');
      await this.#assertConsent(who.appId, p.consent);
    }
    const own = context.members.find((member) => member.userId === who.userId);
    const row: NewCall = {
      id: randomUUID(),
      appId: who.appId,
      chatId: p.chatId,
      mode: p.mode,
      callerId: who.userId,
      calleeId: peer.userId,
      startedAt: this.#clock.now(),
      recordingId: p.mode === 'secure' ? randomUUID() : null,
    };
    if (this.#taken(who.appId, who.userId)) throw new VerbatimError('already_in_call');
    if (!this.#deps.devices.online(who.appId, peer.userId)) return this.#refuse(row, 'offline');
    if (this.#taken(who.appId, peer.userId)) return this.#refuse(row, 'busy');
    // Counted by people, so that calls that are still being built count too.
    if (this.#byUser.size >= 2 * this.#deps.limits.maxCalls) throw new VerbatimError('busy_server');
    // Before anything is taken or written; voice calls need no ledger.
    if (p.mode === 'secure') this.#deps.evidence.assertWritable();

    // From here both are taken; whatever fails gives them back.
    this.#claim(row);
    let media: CallMedia | undefined;
    try {
      const consent = p.mode === 'secure' && p.consent ? this.#consentRecord(who, p.consent) : null;
      // A voice call goes from browser to browser, and needs no media worker.
      if (p.mode === 'secure') media = await this.#deps.media.openCall(row.id);
      const ice = p.mode === 'voice' ? await this.#deps.iceOfApp?.(row.appId) : undefined;
      await calls.insertCall(this.#deps.db, row, consent);
      // Nothing rings before the caller's consent is durable in the ledger (F35). A crash before it leaves a row that
      // the next start ends; a crash after it leaves a consent, whose call is ended and entered as ended then.
      if (consent !== null) await this.#enterCallerConsent(row, consent);
      const call = new Call(
        {
          id: row.id,
          recordingId: row.recordingId,
          mode: p.mode,
          appId: who.appId,
          chatId: p.chatId,
          ice: ice ?? this.#deps.ice,
          people: { caller: own ? party(own) : { userId: who.userId, name: who.name }, callee: party(peer) },
        },
        media ?? null,
        who.device,
        consent !== null,
        callActs({
          ...this.#deps,
          clock: this.#clock,
          ringTimeoutMs: this.#deps.limits.ringTimeoutMs ?? context.ringTimeoutMs,
          forget: (ended) => this.#forget(ended),
        }),
      );
      this.#calls.set(call.id, call);
      if (this.#closing) void call.dispatch({ type: 'shutdown' });
      // Both may have gone while the call was being built, when nobody could be told of it.
      if (media?.closed) void call.dispatch({ type: 'mediaFailed' });
      this.#noticeAbsence(call, 'caller', who);
      return call.view('caller');
    } catch (error) {
      media?.close();
      this.#release(row.appId, row.callerId, row.calleeId, row.id);
      throw error;
    }
  }

  async accept(who: Participant, p: Params<'call.accept'>): Promise<CallView> {
    const call = this.#partyCall(who, p.callId);
    if (call.people.callee.userId !== who.userId)
      throw new VerbatimError('forbidden', 'only the called side accepts');
    if (call.mode === 'secure') await this.#assertConsent(who.appId, p.consent);
    if (call.sideOf(who) === 'callee' && !call.ended) return call.view('callee');
    if (call.status.phase !== 'ringing') {
      throw new VerbatimError(call.status.device.callee && !call.ended ? 'answered_elsewhere' : 'conflict');
    }
    const accepted = call.accept(who.device, call.mode === 'secure' ? (p.consent ?? null) : null);
    if (call.sideOf(who) === 'callee') this.#noticeAbsence(call, 'callee', who);
    await accepted;
    if (call.status.device.callee !== who.device) throw new VerbatimError('answered_elsewhere');
    return call.view('callee');
  }

  async decline(who: Participant, p: Params<'call.decline'>): Promise<void> {
    const call = this.#partyCall(who, p.callId);
    if (call.people.callee.userId !== who.userId)
      throw new VerbatimError('forbidden', 'only the called side declines');
    if (call.status.phase !== 'ringing')
      throw new VerbatimError('conflict', 'the call does not ring any more');
    await call.dispatch({ type: 'declined' });
  }

  async cancel(who: Participant, p: Params<'call.cancel'>): Promise<void> {
    const call = this.#ownCall(who, p.callId).call;
    if (call.status.phase !== 'ringing')
      throw new VerbatimError('conflict', 'the call does not ring any more');
    await call.dispatch({ type: 'cancelled' });
  }

  /** Both are told and the recording's end is worked on behind it (F23). */
  async hangup(who: Participant, p: Params<'call.hangup'>): Promise<void> {
    void this.#ownCall(who, p.callId).call.dispatch({ type: 'hungUp' });
  }

  async mute(who: Participant, p: Params<'call.mute'>): Promise<void> {
    const { call, side } = this.#ownCall(who, p.callId);
    await call.dispatch({ type: 'muted', side, muted: p.muted });
  }

  async openMedia(who: Participant, p: Params<'media.open'>): Promise<Result<'media.open'>> {
    const { call, side } = this.#ownCall(who, p.callId);
    return call.serverMedia.open(side, p);
  }

  async connectMedia(who: Participant, p: Params<'media.connect'>): Promise<void> {
    const { call, side } = this.#ownCall(who, p.callId);
    return call.serverMedia.connect(side, p);
  }

  async produce(who: Participant, p: Params<'media.produce'>): Promise<Result<'media.produce'>> {
    const { call, side } = this.#ownCall(who, p.callId);
    return call.serverMedia.produce(side, p);
  }

  async restartIce(who: Participant, p: Params<'media.restartIce'>): Promise<Result<'media.restartIce'>> {
    const { call, side } = this.#ownCall(who, p.callId);
    return call.serverMedia.restartIce(side, p);
  }

  peerServers(who: Participant, p: Params<'peer.servers'>): Result<'peer.servers'> {
    const { call, side } = this.#ownCall(who, p.callId);
    call.countIceServers(side);
    return iceServersFor(call.ice, who, this.#clock.now());
  }

  describePeer(who: Participant, p: Params<'peer.description'>): void {
    const { call, side } = this.#ownCall(who, p.callId);
    call.describe(side, p);
  }

  passCandidates(who: Participant, p: Params<'peer.candidates'>): Result<'peer.candidates'> {
    const { call, side } = this.#ownCall(who, p.callId);
    return call.passCandidates(side, p);
  }

  async reportPath(
    who: Participant,
    p: Params<'peer.connected'>,
    what: 'connected' | 'broken' | 'failed',
  ): Promise<void> {
    const { call, side } = this.#ownCall(who, p.callId);
    await call.report(side, what);
  }

  /** A device signed in (again): what it takes part in, and what rings it. */
  signedIn(who: Participant): { call?: CallView; incoming?: CallView } {
    const call = this.#callOf(who.appId, who.userId);
    if (!call) return {};
    const side = call.sideOf(who);
    if (side) return { call: call.welcomeBack(side) };
    const rings = call.status.phase === 'ringing' && call.people.callee.userId === who.userId;
    return rings ? { incoming: call.view('callee') } : {};
  }

  /** `lost` starts the grace period; `goodbye` ends this side at once. */
  deviceLeft(who: Participant, how: 'goodbye' | 'lost'): void {
    const call = this.#callOf(who.appId, who.userId);
    const side = call?.sideOf(who);
    if (!call || !side) return;
    if (how === 'goodbye') void call.dispatch({ type: 'sideLeft', side });
    else void call.dispatch({ type: 'sideLost', side, path: 'signaling' });
  }

  /** Takes no new calls, ends the running ones with `shutdown` and waits until their journals are closed. */
  async close(): Promise<void> {
    this.#closing = true;
    const open = [...this.#calls.values(), ...this.#finishing];
    for (const call of open) void call.dispatch({ type: 'shutdown' });
    await Promise.all(open.map((call) => call.finished));
  }

  /** A device that left before its part in the call began has had no grace period yet: it begins now. */
  #noticeAbsence(call: Call, side: Side, who: Participant): void {
    if (this.#deps.devices.devicesOf(who.appId, who.userId).includes(who.device)) return;
    void call.dispatch({ type: 'sideLost', side, path: 'signaling' });
  }

  async #admit(
    who: Participant,
    chatId: string,
  ): Promise<{ context: CallContext; peer: CallContext['members'][number] }> {
    const context = await calls.callContext(this.#deps.db, who.appId, chatId, who.userId);
    const isMember = context?.members.some((member) => member.userId === who.userId);
    if (context && context.kind !== 'direct' && isMember) throw new VerbatimError('not_a_direct_chat');
    if (!context || !isMember) throw new VerbatimError('not_found', 'there is no such chat for this user');
    const peer = context.members.find((member) => member.userId !== who.userId);
    if (!peer || context.members.length !== 2) throw new VerbatimError('not_a_direct_chat');
    return { context, peer };
  }

  /** F12. Whether the app records at all is told apart from what the role may do. */
  async #assertMay(who: Participant, mode: CallMode): Promise<void> {
    const may = await rolePermissions(this.#deps.db, who);
    if (!may[mode]) throw new VerbatimError('role_not_allowed');
  }

  async #assertConsent(appId: string, consent: Consent | undefined): Promise<void> {
    if (!consent) throw new VerbatimError('consent_required');
    const inForce = await calls.currentDisclosure(this.#deps.db, appId, consent.locale);
    if (
      !inForce ||
      inForce.sha256 !== consent.disclosureSha256 ||
      inForce.version !== consent.disclosureVersion ||
      inForce.locale !== consent.locale
    ) {
      throw new VerbatimError(
        'consent_required',
        'consent to the disclosure text in force is needed: ask for it again',
      );
    }
  }

  async #enterCallerConsent(row: NewCall, { consent, device, at }: ConsentRecord): Promise<void> {
    const { db, evidence, log } = this.#deps;
    try {
      const index = await evidence.consent(factsOf(row), { side: 'caller', device, consent, at });
      await setConsentEntry(db, row.id, 'caller', index);
    } catch (error) {
      // It never rang. The entry may still have been on its way, so the end is entered like any other.
      await calls
        .endCall(db, row.id, 'recorder_unavailable', this.#clock.now())
        .then(() => void evidence.callEnded(row.id))
        .catch((again: unknown) =>
          log.warn({ callId: row.id, err: again }, 'a refused call stays open until the next start'),
        );
      throw error;
    }
  }

  async #refuse(row: NewCall, reason: 'offline' | 'busy'): Promise<never> {
    await calls.insertEndedCall(this.#deps.db, row, reason);
    throw new VerbatimError(reason === 'offline' ? 'user_offline' : 'user_busy');
  }

  #consentRecord(who: Participant, consent: Consent): ConsentRecord {
    return { consent, userId: who.userId, device: who.device, at: this.#clock.now() };
  }

  #forget(call: Call): void {
    this.#calls.delete(call.id);
    this.#finishing.add(call);
    void call.finished.then(() => this.#finishing.delete(call));
    this.#release(call.appId, call.people.caller.userId, call.people.callee.userId, call.id);
    const { endReason } = call.status;
    const { mode, startedAt, acceptedAt, activeAt, endedAt } = call;
    if (endReason !== null && endedAt !== null)
      this.#deps.watcher?.ended({ mode, reason: endReason, startedAt, acceptedAt, activeAt, endedAt });
    this.#deps.log.info({ callId: call.id, mode: call.mode, endReason }, 'call ended');
  }

  #claim(row: NewCall): void {
    this.#byUser.set(userKey(row.appId, row.callerId), row.id);
    this.#byUser.set(userKey(row.appId, row.calleeId), row.id);
  }

  #release(appId: string, callerId: string, calleeId: string, callId: string): void {
    for (const userId of [callerId, calleeId]) {
      const key = userKey(appId, userId);
      if (this.#byUser.get(key) === callId) this.#byUser.delete(key);
    }
  }

  /** True from the first moment of a call, also while it is still being built. */
  #taken(appId: string, userId: string): boolean {
    return this.#byUser.has(userKey(appId, userId));
  }

  #callOf(appId: string, userId: string): Call | undefined {
    const id = this.#byUser.get(userKey(appId, userId));
    return id === undefined ? undefined : this.#calls.get(id);
  }

  #partyCall(who: Participant, callId: string): Call {
    const call = this.#calls.get(callId);
    // A call of others and a call that does not exist look the same.
    if (!call?.hasParty(who.appId, who.userId)) throw new VerbatimError('not_found', 'there is no such call');
    return call;
  }

  #ownCall(who: Participant, callId: string): { call: Call; side: Side } {
    const call = this.#partyCall(who, callId);
    const side = call.sideOf(who);
    if (!side) throw new VerbatimError('forbidden', 'this device has no part in the call');
    return { call, side };
  }
}

const userKey = (appId: string, userId: string): string => `${appId}\0${userId}`;

function party(member: CallContext['members'][number]): Party {
  const { userId, name, avatarUrl } = member;
  return avatarUrl === null ? { userId, name } : { userId, name, avatarUrl };
}
