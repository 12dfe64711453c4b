import type { Ref, ShallowRef } from 'vue';
import { ref, shallowRef } from 'vue';
import type { CallView, Devices, VerbatimClient } from '../../sdk/index.ts';

/** How often the media path is looked at while the server cannot say how the call is. */
const LOOK_MS = 1_000;
/** One bad reading is a moment; two in a row, four seconds, are worth a word. */
const POOR_READINGS = 2;

/** What the running call's sound is like, and which devices carry it. */
export class MediaState {
  readonly devices: ShallowRef<Devices | undefined> = shallowRef();
  readonly poor: Ref<boolean> = ref(false);
  /** Neither the server nor the other side is reached: nobody knows whether the call still stands. */
  readonly gone: Ref<boolean> = ref(false);
  readonly #client: VerbatimClient;
  #poorReadings = 0;
  #looking: ReturnType<typeof setInterval> | undefined;

  constructor(client: VerbatimClient) {
    this.#client = client;
    client.on('quality', ({ level }) => {
      this.#poorReadings = level === 'poor' ? this.#poorReadings + 1 : 0;
      this.poor.value = this.#poorReadings >= POOR_READINGS;
    });
    client.on('devices', (devices) => {
      this.devices.value = devices;
    });
    client.on('connection', () => this.#follow());
    client.on('call', (call) => {
      if (!call) this.#reset();
      this.#follow(call);
    });
  }

  async readDevices(): Promise<void> {
    this.devices.value = await this.#client.devices();
  }

  /** Both reject with an error of the SDK; `id` is absent for the system's choice. */
  chooseMicrophone(id?: string): Promise<void> {
    return this.#client.setMicrophone(id);
  }
  chooseSpeaker(id?: string): Promise<void> {
    return this.#client.setSpeaker(id);
  }

  #reset(): void {
    this.#poorReadings = 0;
    this.poor.value = false;
  }

  /** While the server is away only the path itself can tell; with the server back, the server does. */
  #follow(call: CallView | undefined = this.#client.call): void {
    clearInterval(this.#looking);
    this.#looking = undefined;
    if (call?.state !== 'active' || this.#client.state === 'online') {
      this.gone.value = false;
      return;
    }
    void this.#look();
    this.#looking = setInterval(() => void this.#look(), LOOK_MS);
  }

  async #look(): Promise<void> {
    const { send, recv } = await this.#client.stats();
    // It may have come back, or be over, in the meantime.
    if (this.#looking !== undefined) this.gone.value = send !== 'connected' && recv !== 'connected';
  }
}
