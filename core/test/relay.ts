import type { ChildProcess } from 'node:child_process';
import { spawnSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SplitNetwork } from './split-network.ts';
import { RELAY_ADDRESS } from './split-network.ts';
import { until } from './stage.ts';

export const RELAY_SECRET = 'north-by-northwest-of-the-relay';
const PORT = 3_478;
const TLS_PORT = 5_349;
/** Long enough for a test, and nothing that could be of use after it. */
const CERTIFICATE_DAYS = 2;

/** How browsers may come to it: each name is what browsers call it in their figures (`relayProtocol`). */
export type RelayWay = 'udp' | 'tcp' | 'tls';

/** A real coturn at the place that both people reach, with the scheme that the server makes credentials for. */
export class Relay {
  readonly urls = [`turn:${RELAY_ADDRESS.alice}:${PORT}`];
  /** Every way, as an operator sets them: browsers take the first that their network lets through. */
  static readonly allUrls = [
    `turn:${RELAY_ADDRESS.alice}:${PORT}`,
    `turn:${RELAY_ADDRESS.alice}:${PORT}?transport=tcp`,
    `turns:${RELAY_ADDRESS.alice}:${TLS_PORT}?transport=tcp`,
  ];
  readonly #network: SplitNetwork;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  constructor(network: SplitNetwork, folder: string) {
    this.#network = network;
    this.#folder = join(folder, 'relay');
  }

  /**
   * Makes the certificate that it shows on the way by TLS. Answers the hash of its public key, for a browser that is
   * told to trust it: nobody signs certificates for addresses such as these.
   */
  async makeCertificate(): Promise<string> {
    await mkdir(this.#folder, { recursive: true });
    const [key, certificate] = this.#tlsFiles();
    const { status, stderr } = spawnSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
        ...['-days', String(CERTIFICATE_DAYS), '-subj', '/CN=relay', '-keyout', key, '-out', certificate],
        ...['-addext', `subjectAltName=IP:${RELAY_ADDRESS.alice}`],
      ],
      { encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(`openssl made no certificate: ${stderr}`);
    const { publicKey } = new X509Certificate(await readFile(certificate));
    return createHash('sha256')
      .update(publicKey.export({ type: 'spki', format: 'der' }))
      .digest('base64');
  }

  /** Starts it (again), for those who come this way and no others, and waits until it answers. */
  async start(way: RelayWay = 'udp'): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const [key, certificate] = this.#tlsFiles();
    const listens = {
      udp: ['no-tls'],
      tcp: ['no-tls', 'no-udp'],
      tls: ['no-udp', 'no-tcp', `tls-listening-port=${TLS_PORT}`, `cert=${certificate}`, `pkey=${key}`],
    }[way];
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
      'no-dtls',
      ...listens,
      'simple-log',
      'log-file=stdout',
      `userdb=${join(this.#folder, 'turndb')}`,
      `pidfile=${join(this.#folder, 'turnserver.pid')}`,
    ];
    await writeFile(settings, `${lines.join('\n')}\n`, { mode: 0o600 });
    this.#process = this.#network.spawn('relay', ['sh', '-c', `exec turnserver -c '${settings}' 2>&1`]);
    this.#process.stdout?.resume();
    if (way === 'udp') {
      await until(
        () => this.#ask(['turnutils_stunclient', '-p', String(PORT), RELAY_ADDRESS.alice], 2),
        (said) => said.includes('reflexive addr'),
        'the relay answering',
      );
      return;
    }
    const port = way === 'tcp' ? PORT : TLS_PORT;
    await until(
      () => this.#ask(['bash', '-c', `exec 3<>/dev/tcp/${RELAY_ADDRESS.alice}/${port} && echo open`], 2),
      (said) => said.includes('open'),
      'the relay taking connections',
    );
  }

  #tlsFiles(): [key: string, certificate: string] {
    return [join(this.#folder, 'relay.key'), join(this.#folder, 'relay.pem')];
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
