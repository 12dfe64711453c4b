import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';

const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>Journey</title>
<link rel="icon" href="data:,">
<script>window.ready = new Promise((resolve) => { window.isReady = resolve; });</script>
<script type="module" src="script.js"></script>`;
const SCRIPT = join(import.meta.dirname, '../../client/test/journey-page.ts');

/**
 * A person's own way to the server: an address that passes every byte on, that can be frozen or cut for this person
 * alone, and that serves the page at `/journey/` from which the browser side of a journey is driven.
 */
export class Front {
  readonly url: string;
  readonly #server;
  readonly #target: URL;
  readonly #page: ReadonlyMap<string, string>;
  readonly #sockets = new Set<Socket>();
  #way: 'open' | 'frozen' | 'cut' = 'open';

  private constructor(
    server: ReturnType<typeof createServer>,
    target: URL,
    page: ReadonlyMap<string, string>,
  ) {
    this.#server = server;
    this.#target = target;
    this.#page = page;
    // A name for which browsers give pages the microphone without HTTPS.
    this.url = `http://localhost:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket) => this.#accept(socket));
  }

  static async open(target: string): Promise<Front> {
    const script = stripTypeScriptTypes(await readFile(SCRIPT, 'utf8'));
    const page = new Map([
      ['/journey/', answer('text/html', PAGE)],
      ['/journey/elsewhere', answer('text/html', '<!doctype html><title>Elsewhere</title>')],
      ['/journey/script.js', answer('text/javascript', script)],
    ]);
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Front(server, new URL(target), page);
  }

  /** Nothing goes through any more, in either direction, and nobody is told: a network that swallows. */
  freeze(): void {
    this.#way = 'frozen';
    for (const socket of this.#sockets) socket.pause();
  }

  /** Every connection breaks now, and new ones are refused. */
  cut(): void {
    this.#way = 'cut';
    for (const socket of this.#sockets) socket.destroy();
  }

  /** All is well again; what was swallowed comes late. */
  mend(): void {
    this.#way = 'open';
    for (const socket of this.#sockets) socket.resume();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(client: Socket): void {
    client.on('error', () => client.destroy());
    if (this.#way === 'cut') {
      client.destroy();
      return;
    }
    let server: Socket | undefined;
    // A browser asks for the page on a connection that it has already, too.
    client.on('data', (bytes: Buffer) => {
      const own = this.#page.get(/^GET ([^ ?]+)/.exec(bytes.toString('latin1', 0, 200))?.[1] ?? '');
      if (own !== undefined) {
        client.end(own);
        return;
      }
      server ??= this.#connect(client);
      if (!server.write(bytes)) client.pause();
    });
    this.#keep(client);
  }

  #connect(client: Socket): Socket {
    const server = connect(Number(this.#target.port), '127.0.0.1');
    server.on('error', () => server.destroy());
    server.on('drain', () => this.#way !== 'frozen' && client.resume());
    server.on('close', () => client.destroy());
    client.on('close', () => server.destroy());
    server.pipe(client);
    this.#keep(server);
    return server;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    if (this.#way === 'frozen') socket.pause();
  }
}

function answer(type: string, body: string): string {
  const bytes = Buffer.byteLength(body);
  return [
    'HTTP/1.1 200 OK',
    `content-type: ${type}; charset=utf-8`,
    `content-length: ${bytes}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}
