import type { Device } from 'mediasoup-client';
import type { CallMode, CallView, Consent, EndReason, Method, Params, Result } from '#protocol';
import type { ClientEvents } from './contract.ts';
import type { Emitter } from './emitter.ts';
import { asClientError, VerbatimClientError } from './errors.ts';
import { LocalCall } from './local-call.ts';
import type { MicrophoneWish } from './microphone.ts';
import type { Notification } from './rpc-socket.ts';
import type { SignedIn } from './session.ts';
import type { CallStats } from './stats.ts';
import { emptyStats } from './stats.ts';
import type { Transport } from './transport.ts';

export interface CallsDeps {
  transport: Transport;
  events: Emitter<ClientEvents>;
  request<M extends Method>(method: M, params: Params<M>): Promise<Result<M>>;
  device(): Promise<Device>;
  /** Which microphone the page wishes, now. */
  wish(): MicrophoneWish;
  /** Another microphone is used in the call than before. */
  onMicrophone(): void;
  audio: HTMLAudioElement;
}

/** How much longer than the server's grace period a page waits before it ends its side by itself. */
const GRACE_MARGIN_MS = 3_000;

/** The one call of this page and the one that rings it: what a person does, and what the server tells. */
export class Calls {
  readonly #deps: CallsDeps;
  #local: LocalCall | undefined;
  /** The call before, for its last figures. */
  #before: LocalCall | undefined;
  #incoming: CallView | undefined;
  #graceTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(deps: CallsDeps) {
    this.#deps = deps;
  }

  get running(): boolean {
    return this.#local !== undefined;
  }

  get view(): CallView | undefined {
    return this.#local?.view;
  }

  get incoming(): CallView | undefined {
    return this.#incoming;
  }

  get muted(): boolean {
    return this.#local?.muted ?? false;
  }

  async stats(): Promise<CallStats> {
    return (await (this.#local ?? this.#before)?.stats()) ?? emptyStats();
  }

  get microphoneId(): string | undefined {
    return this.#local?.microphone.deviceId;
  }

  /** Another microphone in the running call, if there is one. @throws VerbatimClientError */
  async useMicrophone(id: string | undefined): Promise<void> {
    const { constraints } = this.#deps.wish();
    await this.#local?.microphone.exchange({ constraints, id });
  }

  retryMicrophone(): void {
    this.#local?.microphone.retry();
  }

  // What a person does

  async start(params: { chatId: string; mode: CallMode; consent?: Consent }): Promise<CallView> {
    const local = this.#begin();
    try {
      // First, so that nobody is rung by a caller who cannot speak.
      await local.microphone.open();
      const view = await this.#deps.request('call.start', params);
      if (local.over) {
        await this.#leave(view);
        throw new VerbatimClientError('call_over');
      }
      this.#update(local, view);
      // While it rings: when the other side accepts, this side sends already.
      local.openMedia(view.callId);
      return view;
    } catch (error) {
      throw this.#failedBeforeItBegan(local, error);
    }
  }

  async accept(consent?: Consent): Promise<CallView> {
    const incoming = this.#incoming;
    if (incoming === undefined) throw new VerbatimClientError('conflict', 'no call rings');
    const { callId } = incoming;
    const local = this.#begin(incoming);
    try {
      // A question to the person can take long, and the caller must not wait in an accepted call meanwhile.
      if (!(await this.#deps.transport.microphoneIsGranted())) await local.microphone.open();
      if (local.over) throw new VerbatimClientError('call_over');
      const accepted = local.ask('call.accept', { callId, ...(consent ? { consent } : {}) });
      // Not waiting for the answer saves a round trip: the server works on these in order.
      local.openMedia(callId);
      const view = await accepted;
      if (this.#incoming?.callId === callId) this.#incoming = undefined;
      if (local.over) {
        await this.#leave(view);
        throw new VerbatimClientError('call_over');
      }
      this.#update(local, view);
      return view;
    } catch (error) {
      throw this.#failedBeforeItBegan(local, error);
    }
  }

  async decline(): Promise<void> {
    const incoming = this.#incoming;
    if (incoming !== undefined) await this.#deps.request('call.decline', { callId: incoming.callId });
  }

  async hangup(): Promise<void> {
    const local = this.#local;
    if (local === undefined) return;
    const view = local.view;
    this.#finish(local, view?.state === 'ringing' && view.side === 'caller' ? 'cancelled' : 'hangup');
    // Without a view `start` is still waiting for it, and takes the call back when it comes.
    if (view !== undefined) await this.#leave(view);
  }

  setMuted(muted: boolean): void {
    const local = this.#local;
    if (local === undefined || local.muted === muted) return;
    local.microphone.muted = muted;
    this.#deps.events.emit('muted', muted);
    this.#tellMuted(local);
  }

  // What the server tells

  onSignedIn({ call, incoming }: SignedIn): void {
    clearTimeout(this.#graceTimer);
    const local = this.#local;
    // An accept that did not arrive is on its way again: then it still rings.
    const mine = [call, incoming].find((view) => view !== undefined && view.callId === local?.view?.callId);
    if (local !== undefined && mine !== undefined) {
      // Accepted by the server, whose answer did not come.
      if (mine === call && this.#incoming?.callId === mine.callId) this.#incoming = undefined;
      this.#update(local, mine);
      local.mend();
      if (local.muted) this.#tellMuted(local);
    } else {
      if (local?.view !== undefined) this.#finish(local, 'connection_lost');
      // A call of this device that this page knows nothing of, as after a reload: it cannot be continued.
      if (call !== undefined) void this.#leave(call);
    }
    if (incoming !== undefined) this.#ring(incoming);
    else this.#stopRinging('connection_lost');
  }

  onNotification(notification: Notification): void {
    const local = this.#local;
    switch (notification.method) {
      case 'call.incoming':
        this.#ring(notification.params.call);
        return;
      case 'call.changed': {
        const { call } = notification.params;
        // The notification may overtake the answer to `call.start`.
        const mine = local?.view === undefined ? call.side === 'caller' : local.view.callId === call.callId;
        if (local !== undefined && mine) this.#update(local, call);
        return;
      }
      case 'call.ended': {
        const { call } = notification.params;
        const wasRinging = this.#incoming?.callId === call.callId;
        if (wasRinging) this.#incoming = undefined;
        if (local?.view?.callId === call.callId) this.#finish(local, call);
        else if (wasRinging) this.#deps.events.emit('ended', { call });
        return;
      }
      case 'media.consumer':
        if (local?.view?.callId === notification.params.callId) local.offer(notification.params);
        return;
      case 'peer.description':
      case 'peer.candidates':
      case 'peer.broken':
        if (local?.view?.callId === notification.params.callId) local.peer(notification);
        return;
    }
  }

  /** The signaling socket is gone: audio goes on, for as long as the server waits. */
  onOffline(graceMs: number): void {
    clearTimeout(this.#graceTimer);
    this.#graceTimer = setTimeout(() => this.end('connection_lost'), graceMs + GRACE_MARGIN_MS);
  }

  /** Ends this page's side without asking the server. */
  end(reason: EndReason, error?: VerbatimClientError): void {
    clearTimeout(this.#graceTimer);
    if (this.#local) this.#finish(this.#local, reason, error);
    this.#stopRinging(reason);
  }

  // How

  /** Takes the place of the one call at once, so that two clicks never make two calls. */
  #begin(view?: CallView): LocalCall {
    if (this.#local) throw new VerbatimClientError('already_in_call', 'this page is in a call already');
    this.#deps.transport.assertCanCall();
    const { transport, request, device, wish, onMicrophone, audio, events } = this.#deps;
    const local = new LocalCall(
      {
        request,
        device,
        wish,
        transport,
        onMicrophone,
        audio,
        onFailed: (failed, error) => this.#fail(failed, error),
        onTrouble: (error) => events.emit('trouble', error),
      },
      view,
    );
    this.#local = local;
    return local;
  }

  #update(local: LocalCall, view: CallView): void {
    const rang = local.view?.state === 'ringing';
    if (local.over || !local.update(view)) return;
    // The server does not pass on what was muted before there was anybody to show it to.
    if (rang && view.state !== 'ringing' && local.muted) this.#tellMuted(local);
    this.#deps.events.emit('call', local.view);
  }

  /** Media could not be built: nobody is left in a call without sound (F13). */
  #fail(local: LocalCall, error: VerbatimClientError): void {
    if (local.over) return;
    const view = local.view;
    this.#finish(local, 'media_failed', error);
    if (view !== undefined) void this.#leave(view);
  }

  /** A call that did not come about: the one who asked for it gets the error, so there is no `ended`. */
  #failedBeforeItBegan(local: LocalCall, error: unknown): VerbatimClientError {
    // What ended it was told by `ended`; the failures that follow from that are no news.
    if (local.over) return new VerbatimClientError('call_over');
    local.close();
    this.#local = undefined;
    this.#deps.events.emit('call', undefined);
    return asClientError(error, 'media_failed');
  }

  #finish(local: LocalCall, how: EndReason | CallView, error?: VerbatimClientError): void {
    if (local.over) return;
    const view = local.view;
    local.close();
    if (this.#local === local) this.#local = undefined;
    // It was being accepted.
    if (this.#incoming?.callId === view?.callId) this.#incoming = undefined;
    this.#before = local;
    this.#deps.events.emit('call', undefined);
    if (view === undefined) return;
    const call = typeof how === 'string' ? endedView(view, how) : how;
    this.#deps.events.emit('ended', { call, ...(error ? { error } : {}) });
  }

  #ring(call: CallView): void {
    if (this.#incoming?.callId === call.callId || this.#local?.view?.callId === call.callId) return;
    this.#incoming = call;
    this.#deps.events.emit('incoming', call);
  }

  #stopRinging(reason: EndReason): void {
    const incoming = this.#incoming;
    if (incoming === undefined) return;
    this.#incoming = undefined;
    this.#deps.events.emit('ended', { call: endedView(incoming, reason) });
  }

  /** Tells the server that this side goes. Lost on the way, the grace period or the next sign-in does it. */
  async #leave({ callId, state, side }: CallView): Promise<void> {
    try {
      if (state === 'ringing' && side === 'caller') {
        await this.#deps.request('call.cancel', { callId });
        return;
      }
    } catch (error) {
      // It was accepted in this very moment: then it is a hang-up.
      if (asClientError(error, 'internal').code !== 'conflict') return;
    }
    await this.#deps.request('call.hangup', { callId }).catch(() => {});
  }

  #tellMuted(local: LocalCall): void {
    const callId = local.view?.callId;
    if (callId === undefined) return;
    // Only what the other side is shown; after a loss it is told again.
    this.#deps.request('call.mute', { callId, muted: local.muted }).catch(() => {});
  }
}

function endedView(call: CallView, endReason: EndReason): CallView {
  return { ...call, state: 'ended', recording: false, endReason, endedAt: new Date().toISOString() };
}
