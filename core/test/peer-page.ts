import type { Person } from '../../scripts/lib/people.ts';

/** What the browser says of its connections to other browsers, for tests: kept by the page from its start. */
interface PeerWindow {
  peerConnections: Connection[];
  RTCPeerConnection: new (...args: unknown[]) => Connection;
}
interface Connection {
  connectionState: string;
  getStats(): Promise<Map<string, Record<string, unknown>>>;
}

/** The kinds of addresses (host, srflx, prflx, relay) that audio goes between, this side's first. */
export interface PeerPath {
  local: string;
  remote: string;
  codecs: string[];
  /** How this side came to its relays: udp, tcp or tls. */
  relayedBy: string[];
}

/** From the next time that this person's page is opened, its connections can be asked for. */
export async function watchPeers({ page }: Person): Promise<void> {
  await page.addInitScript(() => {
    const scope = globalThis as unknown as PeerWindow;
    scope.peerConnections = [];
    const Real = scope.RTCPeerConnection;
    scope.RTCPeerConnection = class extends Real {
      constructor(...args: unknown[]) {
        super(...args);
        scope.peerConnections.push(this);
      }
    };
  });
}

/** The path of the running call. @throws Error when there is none */
export function pathOf({ page }: Person): Promise<PeerPath> {
  return page.evaluate(async () => {
    const { peerConnections } = globalThis as unknown as PeerWindow;
    const connection = peerConnections.find(({ connectionState }) => connectionState === 'connected');
    if (connection === undefined) throw new Error('the page has no connection that stands');
    const entries = [...(await connection.getStats()).values()];
    const transport = entries.find(({ type }) => type === 'transport');
    const pair = entries.find(({ id }) => id === transport?.selectedCandidatePairId);
    const kind = (which: unknown): string =>
      String(entries.find(({ id }) => id === which)?.candidateType ?? 'unknown');
    const relayed = entries.filter(
      ({ type, candidateType }) => type === 'local-candidate' && candidateType === 'relay',
    );
    const codecs = entries.filter(({ type }) => type === 'codec').map(({ mimeType }) => String(mimeType));
    return {
      local: kind(pair?.localCandidateId),
      remote: kind(pair?.remoteCandidateId),
      codecs: [...new Set(codecs)],
      relayedBy: [...new Set(relayed.map(({ relayProtocol }) => String(relayProtocol)))],
    };
  });
}
