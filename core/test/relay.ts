import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SplitNetwork } from './split-network.ts';
import { RELAY_ADDRESS } from './split-network.ts';
import { until } from './stage.ts';

export const RELAY_SECRET = 'north-by-northwest-of-the-relay';
const PORT = 3_478;

/** A real coturn at the place that both people reach, with the scheme that the server makes credentials for. */
export class Relay {
  readonly urls = [`turn:${RELAY_ADDRESS.alice}:${PORT}`];
  readonly #network: SplitNetwork;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  constructor(network: SplitNetwork, folder: string) {
    this.#network = network;
    this.#folder = join(folder, 'relay');
  }

  /** Starts it (again) and waits until it answers. */
  async start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const settings = join(this.#folder, 'turnserver.conf');
    // Not in the arguments, which everybody on the machine can read.
    const lines = [
      'use-auth-secret',
      `static-auth-secret=${RELAY_SECRET}`,
      'realm=verbatim.test',
      `listening-ip=${RELAY_ADDRESS.alice}`,
      `listening-ip=${RELAY_ADDRESS.bob}`,
      `relay-ip=${RELAY_ADDRESS.alice}`,
      `listening-port=${PORT}`,
      'relay-threads=1',
      'fingerprint',
      'no-cli',
      'no-tls',
      'no-dtls',
      'simple-log',
      'log-file=stdout',
      `userdb=${join(this.#folder, 'turndb')}`,
      `pidfile=${join(this.#folder, 'turnserver.pid')}`,
    ];
    await writeFile(settings, `${lines.join('\n')}\n`, { mode: 0o600 });
    this.#process = this.#network.spawn('relay', ['sh', '-c', `exec turnserver -c '${settings}' 2>&1`]);
    this.#process.stdout?.resume();
    await until(
      () => this.#ask(['turnutils_stunclient', '-p', String(PORT), RELAY_ADDRESS.alice], 2),
      (said) => said.includes('reflexive addr'),
      'the relay answering',
    );
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Whether the relay gives whoever has these credentials a place, asked by coturn's own client from alice's place. */
  async admits(username: string, credential: string): Promise<boolean> {
    const said = await this.#ask([
      'turnutils_uclient',
      ...['-v', '-y', '-c', '-n', '1', '-p', String(PORT), '-u', username, '-w', credential],
      RELAY_ADDRESS.alice,
    ]);
    const [given, refused] = [
      said.includes('Received relay addr'),
      said.includes('Cannot complete Allocation'),
    ];
    if (given === refused) throw new Error(`the relay's client says neither yes nor no: ${said}`);
    return given;
  }

  /** What the program says, on both outputs, until it ends or its time is over; it may fail. */
  async #ask(command: readonly string[], seconds = 20): Promise<string> {
    const quoted = command.map((word) => `'${word}'`).join(' ');
    const child = this.#network.spawn('alice', [
      'timeout',
      String(seconds),
      'sh',
      '-c',
      `exec ${quoted} 2>&1`,
    ]);
    const parts: Buffer[] = [];
    child.stdout?.on('data', (part: Buffer) => parts.push(part));
    await once(child, 'close');
    return Buffer.concat(parts).toString();
  }
}
