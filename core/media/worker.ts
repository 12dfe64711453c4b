import type { types } from 'mediasoup';
import { createWorker } from 'mediasoup';
import { VerbatimError } from '#protocol';
import { RealCallMedia } from './call-media.ts';
import { mediaCodecs } from './codecs.ts';
import type {
  CallMedia,
  CallMediaClosedReason,
  MediaOptions,
  MediaWorkerStats,
  RecorderEndpoint,
} from './contract.ts';
import { RecorderLink } from './recorder-link.ts';
import { Traffic } from './traffic.ts';

const socketBufferBytes = 4 * 1024 * 1024;
const startTimeoutMs = 10_000;
const stopTimeoutMs = 3_000;
const sampleIntervalMs = 2_000;
/** A recorded call costs about this share of a core: 290 of them are 80 % (measured). */
const cpuPerCall = 0.8 / 290;
/** Far above what a core carries; it bounds memory should the CPU figures be wrong. */
const maxCallsPerWorker = 5_000;
/** A recorder that restarts comes back with another port; more than this many links are stale ones. */
const maxRecorderLinks = 64;

/** One mediasoup worker process with its one router, its one port for browsers, and its links to recorders. */
export class MediaWorker {
  readonly index: number;
  readonly router: types.Router;
  readonly webRtcServer: types.WebRtcServer;
  readonly startedAt = performance.now();
  readonly #worker: types.Worker;
  readonly #options: MediaOptions;
  readonly #port: number;
  readonly #calls = new Map<string, RealCallMedia>();
  readonly #links = new Map<string, Promise<RecorderLink>>();
  readonly #timer: NodeJS.Timeout;
  #cpu = 0;
  #sampled: { atMs: number; cpuMs: number } | undefined;
  #callsSinceSample = 0;
  #closed = false;
  readonly #traffic = new Traffic(() => this.#calls.values());

  /** @throws Error with a clear sentence when the process does not start or its port is taken. */
  static async start(index: number, options: MediaOptions): Promise<MediaWorker> {
    const worker = await startProcess(options);
    try {
      const router = await worker.createRouter({ mediaCodecs });
      const webRtcServer = await listen(worker, index, options);
      const port = (await webRtcServer.dump()).udpSockets[0]?.port ?? 0;
      return new MediaWorker(index, options, worker, router, webRtcServer, port);
    } catch (error) {
      worker.close();
      throw error;
    }
  }

  private constructor(
    index: number,
    options: MediaOptions,
    worker: types.Worker,
    router: types.Router,
    webRtcServer: types.WebRtcServer,
    port: number,
  ) {
    this.#port = port;
    this.index = index;
    this.router = router;
    this.webRtcServer = webRtcServer;
    this.#options = options;
    this.#worker = worker;
    this.#timer = setInterval(() => void this.#sample(), sampleIntervalMs).unref();
    void this.#sample();
  }

  get pid(): number {
    return this.#worker.pid;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** CPU as last sampled, and what the calls that came since will add to it. */
  get load(): number {
    return this.#cpu + this.#callsSinceSample * cpuPerCall;
  }

  get full(): boolean {
    return this.#calls.size >= maxCallsPerWorker;
  }

  has(callId: string): boolean {
    return this.#calls.has(callId);
  }

  /** Calls back once, with the calls that ended by it, when the process died without being told to. */
  onDied(listener: (callIds: string[], error: Error) => void): void {
    this.#worker.once('died', (error) => listener(this.#release('worker_died'), error));
  }

  openCall(callId: string): CallMedia {
    const call = new RealCallMedia(callId, this);
    this.#calls.set(callId, call);
    this.#callsSinceSample++;
    return call;
  }

  callClosed(callId: string): void {
    this.#calls.delete(callId);
  }

  /** The link to this recorder: opened once, shared by all calls of this worker. */
  async recorderLink(recorder: RecorderEndpoint): Promise<RecorderLink> {
    const key = `${recorder.recorderId} ${recorder.ip} ${recorder.port}`;
    const known = this.#links.get(key);
    if (known) return await known;
    if (this.#links.size >= maxRecorderLinks) await this.#closeIdleLinks();
    if (this.#links.size >= maxRecorderLinks) {
      throw new VerbatimError(
        'media_failed',
        `a media worker has ${maxRecorderLinks} recorder links already`,
      );
    }
    const opening = RecorderLink.open(this.router, recorder, linkAddress(recorder.ip, this.#options));
    this.#links.set(key, opening);
    try {
      return await opening;
    } catch (error) {
      this.#links.delete(key);
      throw error;
    }
  }

  forgetRecorder(recorderId: string): void {
    for (const [key, opening] of this.#links) {
      if (!key.startsWith(`${recorderId} `)) continue;
      this.#links.delete(key);
      opening
        .then((link) => link.close())
        .catch(() => {
          // It never opened, and who asked for it was told why.
        });
    }
  }

  stats(): MediaWorkerStats {
    return {
      pid: this.pid,
      port: this.#port,
      cpu: this.#cpu,
      calls: this.#calls.size,
      recorderLinks: this.#links.size,
      ...this.#traffic.totals,
    };
  }

  /** Resolves when the process is gone, so that its port is free. Idempotent. */
  async close(): Promise<void> {
    this.#release('server_closed');
    if (this.#worker.subprocessClosed) return;
    const gone = new Promise<void>((resolve) => this.#worker.once('subprocessclose', resolve));
    const kill = setTimeout(() => process.kill(this.pid, 'SIGKILL'), stopTimeoutMs);
    this.#worker.close();
    await gone.finally(() => clearTimeout(kill));
  }

  #release(reason: CallMediaClosedReason): string[] {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#traffic.close();
    this.#links.clear();
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) call.hostClosed(reason);
    return calls.map(({ callId }) => callId);
  }

  async #closeIdleLinks(): Promise<void> {
    for (const [key, opening] of [...this.#links]) {
      const link = await opening.catch(() => undefined);
      if (link?.legs !== 0) continue;
      this.#links.delete(key);
      link.close();
    }
  }

  async #sample(): Promise<void> {
    try {
      const { ru_utime, ru_stime } = await this.#worker.getResourceUsage();
      const sampled = { atMs: performance.now(), cpuMs: ru_utime + ru_stime };
      if (this.#sampled) {
        this.#cpu = (sampled.cpuMs - this.#sampled.cpuMs) / (sampled.atMs - this.#sampled.atMs);
        this.#callsSinceSample = 0;
      }
      this.#sampled = sampled;
    } catch (error) {
      // A worker that is closed, or dying, answers nothing; `died` tells of the latter.
      if (!this.#worker.closed) {
        this.#options.log?.warn({ err: error, pid: this.pid }, 'A media worker did not tell its CPU use');
      }
    }
  }
}

async function startProcess(options: MediaOptions): Promise<types.Worker> {
  const starting = createWorker({
    logLevel: 'warn',
    ...(options.workerBin ? { workerBin: options.workerBin } : {}),
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`it did not answer in ${startTimeoutMs / 1000} s`)),
      startTimeoutMs,
    );
  });
  try {
    return await Promise.race([starting, late]);
  } catch (error) {
    // One that starts after all must not stay behind unowned.
    starting
      .then((worker) => worker.close())
      .catch(() => {
        // Told below.
      });
    throw new Error(
      `The media worker ${options.workerBin ?? process.env.MEDIASOUP_WORKER_BIN ?? ''} cannot be started: ${messageOf(error)}`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}

async function listen(
  worker: types.Worker,
  index: number,
  options: MediaOptions,
): Promise<types.WebRtcServer> {
  const port = options.basePort === 0 ? 0 : options.basePort + index;
  const address = {
    ip: options.listenIp,
    ...(options.announcedAddress === undefined ? {} : { announcedAddress: options.announcedAddress }),
    ...(port === 0 ? {} : { port }),
    sendBufferSize: socketBufferBytes,
    recvBufferSize: socketBufferBytes,
  };
  try {
    return await worker.createWebRtcServer({
      listenInfos: [
        { protocol: 'udp', ...address },
        { protocol: 'tcp', ...address },
      ],
    });
  } catch (error) {
    const reason = messageOf(error);
    throw new Error(
      /in use|EADDRINUSE/i.test(reason)
        ? `The media port ${port} (UDP and TCP) of ${options.listenIp} is taken: stop what uses it, or set another media.basePort.`
        : `A media worker cannot listen on ${options.listenIp} port ${port}: ${reason}`,
      { cause: error },
    );
  }
}

/** Packets to a recorder on this host never leave it. */
function linkAddress(recorderIp: string, options: MediaOptions): string {
  if (recorderIp.startsWith('127.')) return '127.0.0.1';
  if (recorderIp === '::1') return '::1';
  return options.recorderLinkIp ?? options.listenIp;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
