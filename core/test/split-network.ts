import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import type { Server } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { findProgram } from '../../scripts/lib/tools.ts';

/** Two people who have no way to each other, and a third place that both reach and that passes nothing on by itself. */
export type Place = 'alice' | 'bob' | 'relay';

/** Of the relay, on either side; alice and bob have the address .2 of their side. */
export const RELAY_ADDRESS = { alice: '10.81.1.1', bob: '10.81.2.1' } as const;
/** Where each person's browser finds the server: on its own loopback, which browsers take for a safe place. */
const SERVER_PORT = 4_443;
const OPEN_TIMEOUT_MS = 20_000;

/** Passes connections on from one place's loopback to a socket file, which every place sees. */
const DOOR = `
const { connect, createServer } = require('node:net');
const [port, path] = process.argv.slice(1);
createServer((client) => {
  const server = connect(path);
  for (const [one, other] of [[client, server], [server, client]]) {
    one.on('error', () => one.destroy());
    one.on('close', () => other.destroy());
    one.pipe(other);
  }
}).listen(Number(port), '127.0.0.1', () => console.log('open'));
`;

/** Why such networks cannot be made on this machine; undefined when they can. */
export function whyNoSplitNetwork(): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const missing = ['ip', 'unshare', 'nsenter', 'setpriv', 'turnserver'].filter(
    (program) => !findProgram(program),
  );
  if (missing.length > 0) return `this machine has no ${missing.join(', ')}`;
  const tried = spawnSync('unshare', [
    '--net',
    'ip',
    'link',
    'add',
    'one0',
    'type',
    'veth',
    'peer',
    'name',
    'two0',
  ]);
  return tried.status === 0 ? undefined : `this machine makes no network namespaces: ${tried.stderr}`;
}

/**
 * Three network namespaces without names: they are gone with the processes that hold them. The server stays where it is
 * and is reached through a socket file, so that no network joins the three but the one that a test is about.
 */
export class SplitNetwork {
  /** What the two people's pages are opened at. */
  readonly url = `http://localhost:${SERVER_PORT}`;
  readonly #folder: string;
  readonly #holders: Record<Place, ChildProcess>;
  readonly #children: ChildProcess[] = [];
  #server: Server | undefined;

  private constructor(folder: string, holders: Record<Place, ChildProcess>) {
    this.#folder = folder;
    this.#holders = holders;
  }

  /** @param folder for the socket file and the browsers' starters */
  static async open(folder: string, serverUrl: string): Promise<SplitNetwork> {
    const holders = { alice: await hold(), bob: await hold(), relay: await hold() };
    const network = new SplitNetwork(folder, holders);
    try {
      await network.#setUp(Number(new URL(serverUrl).port));
      return network;
    } catch (error) {
      await network.close();
      throw error;
    }
  }

  /** Joins the two people directly, besides: now there is a way that needs no relay. */
  join(): void {
    this.#ip('alice', `link add direct0 type veth peer name direct1 netns ${this.#pid('bob')}`);
    this.#ip('alice', 'address add 10.81.3.1/24 dev direct0');
    this.#ip('alice', 'link set direct0 up');
    this.#ip('bob', 'address add 10.81.3.2/24 dev direct1');
    this.#ip('bob', 'link set direct1 up');
  }

  /** A program that runs there and dies with this process. */
  spawn(place: Place, command: readonly string[]): ChildProcess {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...this.#enter(place), ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#children.push(child);
    return child;
  }

  /** A program that starts Chromium there, with these arguments too, for whoever starts browsers. */
  async browserOf(place: 'alice' | 'bob', args: readonly string[] = []): Promise<string> {
    const path = join(this.#folder, `chromium-${place}`);
    const chromium = findProgram('chromium') ?? 'chromium';
    await writeFile(path, `#!/bin/sh\nexec ${[...this.#enter(place), chromium, ...args].join(' ')} "$@"\n`);
    await chmod(path, 0o755);
    return path;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#server?.close();
    for (const child of [...this.#children, ...Object.values(this.#holders)]) await end(child);
  }

  async #setUp(serverPort: number): Promise<void> {
    for (const place of ['alice', 'bob', 'relay'] as const) this.#ip(place, 'link set lo up');
    for (const [index, place] of (['alice', 'bob'] as const).entries()) {
      const [there, here] = [`to-${place}`, 'eth0'];
      this.#ip('relay', `link add ${there} type veth peer name ${here} netns ${this.#pid(place)}`);
      this.#ip('relay', `address add ${RELAY_ADDRESS[place]}/24 dev ${there}`);
      this.#ip('relay', `link set ${there} up`);
      this.#ip(place, `address add 10.81.${index + 1}.2/24 dev ${here}`);
      this.#ip(place, `link set ${here} up`);
      this.#ip(place, `route add default via ${RELAY_ADDRESS[place]}`);
    }
    // It passes nothing on: without a relay the two have no way to each other.
    this.#run('relay', ['sh', '-c', 'echo 0 > /proc/sys/net/ipv4/ip_forward || true']);
    const path = join(this.#folder, 'server.socket');
    this.#server = createServer((client) => {
      const server = connect(serverPort, '127.0.0.1');
      for (const [one, other] of [
        [client, server],
        [server, client],
      ] as const) {
        one.on('error', () => one.destroy());
        one.on('close', () => other.destroy());
        one.pipe(other);
      }
    }).listen(path);
    await once(this.#server, 'listening');
    for (const place of ['alice', 'bob'] as const) {
      const door = this.spawn(place, [process.execPath, '-e', DOOR, String(SERVER_PORT), path]);
      await once(door.stdout ?? door, 'data', { signal: AbortSignal.timeout(OPEN_TIMEOUT_MS) });
    }
  }

  #pid(place: Place): number {
    const { pid } = this.#holders[place];
    if (pid === undefined) throw new Error(`the network of ${place} is not there`);
    return pid;
  }

  #enter(place: Place): string[] {
    return ['nsenter', `--net=/proc/${this.#pid(place)}/ns/net`, '--'];
  }

  #ip(place: Place, args: string): void {
    this.#run(place, ['ip', ...args.split(' ')]);
  }

  #run(place: Place, command: readonly string[]): void {
    const [program = '', ...args] = [...this.#enter(place), ...command];
    const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${command.join(' ')} failed: ${stderr}`);
  }
}

/** A process that does nothing but keep a namespace; it says so once it is inside. */
async function hold(): Promise<ChildProcess> {
  const command = ['--pdeathsig', 'KILL', 'unshare', '--net', 'sh', '-c', 'echo inside; exec sleep infinity'];
  const child = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data', { signal: AbortSignal.timeout(OPEN_TIMEOUT_MS) });
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
