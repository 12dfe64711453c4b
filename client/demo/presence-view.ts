import type { VerbatimClient } from '../sdk/index.ts';
import { VerbatimClientError } from '../sdk/index.ts';
import { part } from './dom.ts';

const INTERVAL_MS = 5_000;

/**
 * Whether the other person is online: asked every few seconds, and at once when this page gets online and when a call
 * begins or ends. Who calls, or is in the call, is online whatever an older answer said.
 */
export function showPresence(client: VerbatimClient, peerId: string): void {
  let online = false;
  let callBefore: string | undefined;

  client.on('connection', ({ state }) => {
    if (state === 'online') void refresh();
  });
  client.on('incoming', () => void refresh());
  client.on('call', (call) => {
    if (call?.callId === callBefore) return show(online);
    callBefore = call?.callId;
    void refresh();
  });
  client.on('ended', () => void refresh());
  setInterval(() => void refresh(), INTERVAL_MS);

  async function refresh(): Promise<void> {
    show(online);
    if (client.state !== 'online') return;
    try {
      show((await client.presence([peerId])).has(peerId));
    } catch (error) {
      if (!(error instanceof VerbatimClientError)) throw error;
    }
  }

  function show(answer: boolean): void {
    online = answer || isInCall();
    part('peer-presence').dataset.online = String(online);
    part('peer-presence').textContent = online ? 'online' : 'offline';
  }

  /** A call of this side that still rings says nothing about the other. */
  function isInCall(): boolean {
    const { incoming, call } = client;
    if (incoming?.peer.userId === peerId) return true;
    return call?.peer.userId === peerId && (call.side === 'callee' || call.state !== 'ringing');
  }
}
