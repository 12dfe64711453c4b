import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { speak } from '../../scripts/lib/speech.ts';
import type { TemporaryServer } from '../../scripts/lib/temporary-server.ts';
import { startTemporaryServer } from '../../scripts/lib/temporary-server.ts';
import { ensureMediaWorker } from '../../scripts/media-worker/ensure.ts';
import { MEDIA_SETTINGS } from './own-network.ts';
import { Party } from './party.ts';
import type { RealBrowser, TabOptions } from './tabs.ts';
import { launchChromium, launchFirefox } from './tabs.ts';

/** What a person sits at. */
export type Seat = 'Chromium' | 'Firefox' | 'Chromium without a microphone';

/** A real server and both browsers, in the network of this test file; shared by all that the file shows. */
export interface Theatre {
  server: TemporaryServer;
  folder: string;
  /** A person in a fresh profile of this browser, signed in. Closed with the theatre if not before. */
  party(as: 'alice' | 'bob', seat: Seat, options?: TabOptions): Promise<Party>;
  close(): Promise<void>;
}

/** Browsers start when they are first needed, and the server with `env` on top of its settings. */
export async function openTheatre(env: Readonly<Record<string, string>> = {}): Promise<Theatre> {
  const folder = await mkdtemp(join(tmpdir(), 'verbatim-journey-'));
  const wav = join(folder, 'speech.wav');
  const browsers = new Map<Seat, Promise<RealBrowser>>();
  const parties = new Set<Party>();
  let server: TemporaryServer | undefined;
  const close = async (): Promise<void> => {
    await Promise.all([...parties].map((party) => party.close()));
    await Promise.all([...browsers.values()].map(async (browser) => (await browser).close()));
    await server?.close();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await speak('alice', wav);
    const mediaWorker = await ensureMediaWorker({ log: () => {} });
    server = await startTemporaryServer({ mediaWorker, env: { ...MEDIA_SETTINGS, ...env } });
  } catch (error) {
    await close();
    throw error;
  }
  const { url } = server;
  return {
    server,
    folder,
    party: async (as, seat, options) => {
      const browser = browsers.get(seat) ?? launch(seat, wav);
      browsers.set(seat, browser);
      const party = await Party.open(as, await browser, url, options);
      parties.add(party);
      return party;
    },
    close,
  };
}

function launch(seat: Seat, wav: string): Promise<RealBrowser> {
  if (seat === 'Firefox') return launchFirefox();
  return launchChromium(seat === 'Chromium' ? wav : undefined);
}
