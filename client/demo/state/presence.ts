import type { Ref } from 'vue';
import { onScopeDispose, ref } from 'vue';
import type { VerbatimClient } from '../../sdk/index.ts';

const INTERVAL_MS = 5_000;

/**
 * Whether the other person is online: asked every few seconds, and at once when this page gets online and when a call
 * begins or ends. Who calls, or is in the call, is online whatever an older answer said.
 */
export function usePresence(client: VerbatimClient, peerId: string): Ref<boolean> {
  const online = ref(false);
  let callBefore: string | undefined;

  const refresh = async (): Promise<void> => {
    online.value ||= isInCall();
    if (client.state !== 'online') return;
    try {
      const there = (await client.presence([peerId])).has(peerId);
      online.value = there || isInCall();
    } catch {
      // The connection went meanwhile; the answer before stays until there is a newer one.
    }
  };
  const off = [
    client.on('connection', ({ state }) => {
      if (state === 'online') void refresh();
    }),
    client.on('incoming', () => void refresh()),
    client.on('call', (call) => {
      if (call?.callId === callBefore) return;
      callBefore = call?.callId;
      void refresh();
    }),
    client.on('ended', () => void refresh()),
  ];
  const timer = setInterval(() => void refresh(), INTERVAL_MS);
  onScopeDispose(() => {
    clearInterval(timer);
    for (const stop of off) stop();
  });
  void refresh();
  return online;

  /** A call of this side that still rings says nothing about the other. */
  function isInCall(): boolean {
    const { incoming, call } = client;
    if (incoming?.peer.userId === peerId) return true;
    return call?.peer.userId === peerId && (call.side === 'callee' || call.state !== 'ringing');
  }
}
