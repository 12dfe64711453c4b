import type { Ref, ShallowRef } from 'vue';
import { ref, shallowRef } from 'vue';
import type {
  CallMode,
  CallView,
  Consent,
  Disclosure,
  Permissions,
  VerbatimClient,
  VerbatimClientError,
} from '../../sdk/index.ts';
import { consentTo } from '../../sdk/index.ts';
import { wholeSeconds } from './clock.ts';
import { MediaState } from './media-state.ts';

/** A call that was asked for, before the server knows of it: the browser may be asking for the microphone. */
export interface Starting {
  chatId: string;
  mode: CallMode;
  /** Who is called, as far as the page told the button. */
  peer: Peer;
}

export interface Peer {
  name?: string | undefined;
  avatarUrl?: string | undefined;
}

/** What the last call came to: it ended, or it did not come about. It stays until it is dismissed. */
export interface Notice {
  mode: CallMode;
  peer: Peer;
  /** The call that is over; undefined when it never began. */
  call?: CallView;
  error?: VerbatimClientError;
  /** Whole seconds that the call was active. */
  seconds: number;
}

const states = new WeakMap<VerbatimClient, CallState>();

/** One state for each client, whatever number of elements shows it. */
export function callStateOf(client: VerbatimClient): CallState {
  const known = states.get(client);
  if (known) return known;
  const made = new CallState(client);
  states.set(client, made);
  return made;
}

/** What the elements show of a client, and what a person does to it. It lives as long as its client. */
export class CallState {
  readonly client: VerbatimClient;
  readonly connection: Ref<VerbatimClient['state']>;
  readonly connectionError: ShallowRef<VerbatimClientError | undefined> = shallowRef();
  readonly starting: ShallowRef<Starting | undefined> = shallowRef();
  readonly call: ShallowRef<CallView | undefined>;
  readonly incoming: ShallowRef<CallView | undefined>;
  readonly interrupted: Ref<boolean>;
  readonly muted: Ref<boolean>;
  /** Whole seconds since the call became active. */
  readonly seconds: Ref<number>;
  /** Something that does not end the call, such as sound that the browser blocks. */
  readonly trouble: ShallowRef<VerbatimClientError | undefined> = shallowRef();
  readonly notice: ShallowRef<Notice | undefined> = shallowRef();
  /** The newest signed head of the running capture, kept by this browser. */
  readonly receipt: ShallowRef<VerbatimClient['receipt']>;
  /** What this user may do by their role. */
  readonly may: ShallowRef<Permissions>;
  readonly media: MediaState;

  constructor(client: VerbatimClient) {
    this.client = client;
    this.connection = ref(client.state);
    this.call = shallowRef(client.call);
    this.incoming = shallowRef(client.incoming);
    this.interrupted = ref(client.interrupted);
    this.muted = ref(client.muted);
    this.seconds = ref(wholeSeconds(client.durationMs));
    this.receipt = shallowRef(client.receipt);
    this.may = shallowRef(client.may);
    this.media = new MediaState(client);

    client.on('connection', ({ state, error }) => {
      this.connection.value = state;
      this.connectionError.value = error;
      this.may.value = client.may;
    });
    client.on('timer', ({ seconds }) => {
      this.seconds.value = seconds;
    });
    client.on('receipt', (receipt) => {
      this.receipt.value = receipt;
    });
    client.on('call', (call) => this.#onCall(call));
    client.on('incoming', (call) => {
      this.notice.value = undefined;
      this.trouble.value = undefined;
      this.incoming.value = call;
    });
    client.on('ended', ({ call, error }) => this.#onEnded(call, error));
    client.on('interrupted', (interrupted) => {
      this.interrupted.value = interrupted;
    });
    client.on('muted', (muted) => {
      this.muted.value = muted;
    });
    client.on('trouble', (error) => {
      this.trouble.value = error;
    });
  }

  /** Whether nothing is going on: then a call can be started. */
  get idle(): boolean {
    return !this.starting.value && !this.call.value && !this.incoming.value;
  }

  /** Starts a call; what goes wrong becomes the notice. Resolves with the call, or undefined when there is none. */
  async start(starting: Starting, disclosure?: Disclosure): Promise<CallView | undefined> {
    if (!this.idle) return undefined;
    const { chatId, mode, peer } = starting;
    this.notice.value = undefined;
    this.trouble.value = undefined;
    this.starting.value = starting;
    try {
      const consent: { consent?: Consent } = disclosure ? { consent: consentTo(disclosure) } : {};
      return await this.client.startCall({ chatId, mode, ...consent });
    } catch (error) {
      const failure = asFailure(error);
      // Hanging up while it was still being set up is no failure.
      if (failure.code !== 'call_over') this.notice.value = { mode, peer, error: failure, seconds: 0 };
      return undefined;
    } finally {
      if (this.starting.value === starting) this.starting.value = undefined;
    }
  }

  /** Accepts the call that rings; when that fails it may ring on, and `trouble` says why. */
  async accept(disclosure?: Disclosure): Promise<void> {
    this.trouble.value = undefined;
    try {
      await this.client.accept(disclosure && consentTo(disclosure));
    } catch (error) {
      const failure = asFailure(error);
      if (failure.code !== 'call_over' && this.client.incoming) this.trouble.value = failure;
    } finally {
      this.incoming.value = this.client.incoming;
    }
  }

  async decline(): Promise<void> {
    await this.attempt(() => this.client.decline());
  }

  /** Ends, takes back, or gives up whatever is going on. */
  async hangup(): Promise<void> {
    this.starting.value = undefined;
    await this.client.hangup();
  }

  /** Does what may fail without ending the call; how it failed is then the trouble. */
  async attempt(act: () => Promise<void>): Promise<void> {
    try {
      await act();
      this.trouble.value = undefined;
    } catch (error) {
      this.trouble.value = asFailure(error);
    }
  }

  dismiss(): void {
    this.notice.value = undefined;
    this.trouble.value = undefined;
  }

  #onCall(call: CallView | undefined): void {
    this.call.value = call;
    this.incoming.value = this.client.incoming;
    this.muted.value = this.client.muted;
    if (!call) {
      this.seconds.value = 0;
      return;
    }
    this.starting.value = undefined;
    this.notice.value = undefined;
  }

  #onEnded(call: CallView, error: VerbatimClientError | undefined): void {
    this.incoming.value = this.client.incoming;
    this.trouble.value = undefined;
    if (this.call.value) return;
    const { mode, peer, activeAt, endedAt } = call;
    const ms = activeAt && endedAt ? Date.parse(endedAt) - Date.parse(activeAt) : 0;
    const seconds = Math.max(0, Math.floor(ms / 1_000));
    this.notice.value = { mode, peer, call, seconds, ...(error ? { error } : {}) };
  }
}

/** The SDK rejects with nothing but its own errors; anything else is a mistake of ours and stays one. */
function asFailure(error: unknown): VerbatimClientError {
  if (error instanceof Error && 'code' in error) return error as VerbatimClientError;
  throw error;
}
