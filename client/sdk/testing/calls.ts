import type { CallHistoryItem, CallView, Consent, EndReason, Params, Side } from '#protocol';
import { VerbatimClientError } from '../index.ts';
import { TestCall } from './call.ts';
import type { TestDirectory } from './directory.ts';
import type { Link, Links } from './links.ts';

export interface TestCallsDeps {
  directory: TestDirectory;
  links: Links;
  ringTimeoutMs: number;
  graceMs: number;
  /** A call was accepted, became active, or is over: once each. */
  onChanged(call: TestCall): void;
}

const SIDES: readonly Side[] = ['caller', 'callee'];

/** The calls of a test server, by the rules of the real one: who may do what, when, and who is told. */
export class TestCalls {
  readonly #deps: TestCallsDeps;
  readonly #all: TestCall[] = [];
  readonly #ringing = new Map<TestCall, ReturnType<typeof setTimeout>>();
  readonly #lost = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(deps: TestCallsDeps) {
    this.#deps = deps;
  }

  async start(link: Link, { chatId, mode, consent }: Params<'call.start'>): Promise<CallView> {
    const { directory, links } = this.#deps;
    const peer = directory.peer(chatId, link.userId);
    if (!directory.granted(link.userId)[mode]) throw new VerbatimClientError('role_not_allowed');
    if (mode === 'secure') {
      if (!directory.recordingEnabled) throw new VerbatimClientError('recording_disabled');
      await this.#assertConsent(consent);
    }
    if (this.#running(link.userId)) throw new VerbatimClientError('already_in_call');
    const people = { caller: directory.user(link.userId), callee: peer };
    const call = new TestCall(chatId, mode, people, link.device);
    this.#all.unshift(call);
    if (links.of(peer.id).length === 0) this.#refuse(call, 'offline', 'user_offline');
    if (this.#running(peer.id, call)) this.#refuse(call, 'busy', 'user_busy');
    this.#ringing.set(
      call,
      setTimeout(() => this.end(call, 'no_answer'), this.#deps.ringTimeoutMs),
    );
    for (const each of links.of(peer.id)) each.notify('call.incoming', { call: call.view('callee') });
    return call.view('caller');
  }

  async accept(link: Link, { callId, consent }: Params<'call.accept'>): Promise<CallView> {
    const call = this.#call(callId, link.userId);
    if (call.sideOf(link.userId) !== 'callee') throw new VerbatimClientError('forbidden');
    if (call.mode === 'secure') await this.#assertConsent(consent);
    if (call.state === 'ended') throw new VerbatimClientError('conflict');
    if (call.devices.callee === link.device) return call.view('callee');
    if (call.state !== 'ringing') throw new VerbatimClientError('answered_elsewhere');
    call.devices.callee = link.device;
    call.state = 'connecting';
    this.#stopRinging(call);
    this.#deps.onChanged(call);
    for (const each of this.#deps.links.of(link.userId)) {
      const ended = { ...call.view('callee'), state: 'ended', endReason: 'answered_elsewhere' } as const;
      if (each.device !== link.device) each.notify('call.ended', { call: ended });
    }
    this.#tell(call, 'call.changed');
    const view = call.view('callee');
    this.#activate(call);
    return view;
  }

  decline(link: Link, callId: string): void {
    const call = this.#call(callId, link.userId);
    if (call.sideOf(link.userId) !== 'callee') throw new VerbatimClientError('forbidden');
    if (call.state !== 'ringing')
      throw new VerbatimClientError('conflict', 'the call does not ring any more');
    this.end(call, 'declined');
  }

  cancel(link: Link, callId: string): void {
    const call = this.#own(callId, link).call;
    if (call.state !== 'ringing')
      throw new VerbatimClientError('conflict', 'the call does not ring any more');
    this.end(call, 'cancelled');
  }

  hangup(link: Link, callId: string): void {
    const { call, side } = this.#own(callId, link);
    this.end(call, call.state === 'ringing' && side === 'caller' ? 'cancelled' : 'hangup');
  }

  mute(link: Link, { callId, muted }: Params<'call.mute'>): void {
    const { call, side } = this.#own(callId, link);
    // Whoever mutes while it rings is not in a call with the other yet.
    if (call.state === 'ringing' || call.muted[side] === muted) return;
    call.muted[side] = muted;
    this.#tell(call, 'call.changed');
  }

  /** This device's audio stands, maybe before its accept was answered; with both, the call is active. */
  mediaReady(link: Link, callId: string): void {
    const call = this.#all.find(({ id }) => id === callId);
    call?.heard.add(link.device);
    if (call !== undefined) this.#activate(call);
  }

  /** A device signed in (again): what it takes part in, and what rings it. */
  signedIn(link: Link): { call?: CallView; incoming?: CallView } {
    clearTimeout(this.#lost.get(link.device));
    const call = this.#running(link.userId);
    const side = call?.sideOf(link.userId);
    if (call === undefined || side === undefined) return {};
    if (call.devices[side] === link.device) return { call: call.view(side) };
    return call.state === 'ringing' && side === 'callee' ? { incoming: call.view('callee') } : {};
  }

  /** `lost` starts the grace period; `goodbye` ends this side at once. */
  left(link: Link, how: 'goodbye' | 'lost'): void {
    const call = this.#running(link.userId);
    const side = call?.sideOf(link.userId);
    if (call === undefined || side === undefined || call.devices[side] !== link.device) return;
    const leave = (reason: EndReason): void =>
      this.end(call, call.state === 'ringing' ? 'cancelled' : reason);
    if (how === 'goodbye') leave('hangup');
    else {
      this.#lost.set(
        link.device,
        setTimeout(() => leave('connection_lost'), this.#deps.graceMs),
      );
    }
  }

  /** The running call of a user. */
  running(userId: string): TestCall | undefined {
    return this.#running(userId);
  }

  end(call: TestCall, reason: EndReason): void {
    if (call.state === 'ended') return;
    this.#stopRinging(call);
    const rang = !call.accepted;
    call.state = 'ended';
    call.endReason = reason;
    call.endedAt = new Date().toISOString();
    this.#tell(call, 'call.ended', rang);
    this.#deps.onChanged(call);
  }

  history(userId: string, chatId: string): CallHistoryItem[] {
    this.#deps.directory.chat(chatId, userId);
    return this.#all.flatMap((call) => {
      const side = call.sideOf(userId);
      return call.chatId === chatId && side !== undefined ? [call.history(side)] : [];
    });
  }

  close(): void {
    for (const call of this.#all) this.end(call, 'shutdown');
    for (const timer of this.#lost.values()) clearTimeout(timer);
  }

  #activate(call: TestCall): void {
    const { caller, callee } = call.devices;
    if (caller === undefined || callee === undefined || call.state !== 'connecting') return;
    if (!call.heard.has(caller) || !call.heard.has(callee)) return;
    call.state = 'active';
    call.activeAt = new Date().toISOString();
    this.#deps.onChanged(call);
    this.#tell(call, 'call.changed');
  }

  #refuse(call: TestCall, reason: EndReason, code: 'user_offline' | 'user_busy'): never {
    call.state = 'ended';
    call.endReason = reason;
    call.endedAt = call.startedAt;
    throw new VerbatimClientError(code);
  }

  #tell(call: TestCall, name: 'call.changed' | 'call.ended', ringsEverywhere = false): void {
    for (const side of SIDES) {
      for (const link of this.#deps.links.of(call.people[side].id)) {
        const takesPart = call.devices[side] === link.device || (side === 'callee' && ringsEverywhere);
        if (takesPart) link.notify(name, { call: call.view(side) });
      }
    }
  }

  #stopRinging(call: TestCall): void {
    clearTimeout(this.#ringing.get(call));
    this.#ringing.delete(call);
  }

  #running(userId: string, except?: TestCall): TestCall | undefined {
    return this.#all.find(
      (call) => call !== except && call.state !== 'ended' && call.sideOf(userId) !== undefined,
    );
  }

  #call(callId: string, userId: string): TestCall {
    const call = this.#all.find(({ id }) => id === callId);
    if (call?.sideOf(userId) === undefined)
      throw new VerbatimClientError('not_found', 'there is no such call');
    return call;
  }

  #own(callId: string, link: Link): { call: TestCall; side: Side } {
    const call = this.#call(callId, link.userId);
    const side = call.sideOf(link.userId);
    if (side === undefined || call.devices[side] !== link.device) throw new VerbatimClientError('forbidden');
    return { call, side };
  }

  async #assertConsent(consent: Consent | undefined): Promise<void> {
    const { sha256, version, locale } = await this.#deps.directory.disclosure();
    const agreed =
      consent?.disclosureSha256 === sha256 &&
      consent.disclosureVersion === version &&
      consent.locale === locale;
    if (!agreed) throw new VerbatimClientError('consent_required');
  }
}
