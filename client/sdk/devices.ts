import type { ClientEvents, Devices, MediaDeviceChoice } from './contract.ts';
import type { Emitter } from './emitter.ts';
import type { ClientErrorCode } from './errors.ts';
import { VerbatimClientError } from './errors.ts';

export interface DeviceChoiceDeps {
  /** Plays the other side. */
  audio: HTMLAudioElement;
  events: Emitter<ClientEvents>;
  calls: {
    /** Of the microphone that the running call uses. */
    readonly microphoneId: string | undefined;
    /** Takes another microphone in the running call; does nothing without one. @throws VerbatimClientError */
    useMicrophone(id: string | undefined): Promise<void>;
    /** A running call whose microphone is gone looks for another one. */
    retryMicrophone(): void;
  };
}

/** What browsers call the reasons (Audio Output Devices API, setSinkId). */
const REASONS: Readonly<Record<string, ClientErrorCode>> = {
  NotFoundError: 'speaker_missing',
  NotAllowedError: 'speaker_denied',
};

/** The microphone and the loudspeaker that this page wishes. Remembering them is the page's matter. */
export class DeviceChoice {
  readonly #deps: DeviceChoiceDeps;
  #microphoneId: string | undefined;
  #speakerId: string | undefined;

  constructor(deps: DeviceChoiceDeps) {
    this.#deps = deps;
  }

  /** Wished, whether it is there or not. */
  get microphoneId(): string | undefined {
    return this.#microphoneId;
  }

  watch(): void {
    navigator.mediaDevices?.addEventListener('devicechange', this.#onChange);
  }

  unwatch(): void {
    navigator.mediaDevices?.removeEventListener('devicechange', this.#onChange);
  }

  async list(): Promise<Devices> {
    const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    const ofKind = (kind: MediaDeviceKind): MediaDeviceChoice[] =>
      // Until the person has allowed the microphone, browsers name neither device nor id.
      all
        .filter((device) => device.kind === kind && device.deviceId !== '')
        .map(({ deviceId, label }) => ({ id: deviceId, label }));
    const microphoneId = this.#deps.calls.microphoneId ?? this.#microphoneId;
    return {
      microphones: ofKind('audioinput'),
      speakers: ofKind('audiooutput'),
      ...(microphoneId === undefined ? {} : { microphoneId }),
      ...(this.#speakerId === undefined ? {} : { speakerId: this.#speakerId }),
      speakerSelectable: this.#speakerSelectable(),
    };
  }

  /** @throws VerbatimClientError with the call's microphone and the choice as they were */
  async setMicrophone(id: string | undefined): Promise<void> {
    await this.#deps.calls.useMicrophone(id);
    this.#microphoneId = id;
    await this.tell();
  }

  async setSpeaker(id: string | undefined): Promise<void> {
    if (!this.#speakerSelectable()) throw new VerbatimClientError('speaker_unsupported');
    await this.#useSpeaker(id);
    await this.tell();
  }

  /** Another device is in use, or there are others. */
  async tell(): Promise<void> {
    this.#deps.events.emit('devices', await this.list());
  }

  async #useSpeaker(id: string | undefined): Promise<void> {
    try {
      await this.#deps.audio.setSinkId(id ?? '');
    } catch (error) {
      const name = error instanceof DOMException ? error.name : '';
      throw new VerbatimClientError(REASONS[name] ?? 'speaker_missing', undefined, { cause: error });
    }
    this.#speakerId = id;
  }

  #onChange = (): void => void this.#changed();

  async #changed(): Promise<void> {
    const { speakers } = await this.list();
    const speakerId = this.#speakerId;
    if (speakerId !== undefined && !speakers.some(({ id }) => id === speakerId)) {
      this.#deps.events.emit('trouble', new VerbatimClientError('speaker_missing'));
      // The usual one is always there; a browser that refuses it plays there already.
      await this.#useSpeaker(undefined).catch(() => {});
    }
    this.#deps.calls.retryMicrophone();
    await this.tell();
  }

  #speakerSelectable(): boolean {
    return 'setSinkId' in this.#deps.audio;
  }
}
