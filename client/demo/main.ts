import type { DemoToken } from '#protocol';
import { VerbatimClient, VerbatimClientError } from '../sdk/index.ts';
import { showCalls } from './call-view.ts';
import { onClick, part } from './dom.ts';
import { showPresence } from './presence-view.ts';
import { showRecordings } from './recordings-view.ts';

declare global {
  interface Window {
    /** The client of this page, for the console and for tests. */
    verbatim?: VerbatimClient;
  }
}

/** `&raw`: the microphone as it is, for measurements that compare what was said with what was recorded. */
const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

const query = new URLSearchParams(location.search);
const as = query.get('as');
if (as === 'alice' || as === 'bob') await openMessenger(as);
else part('choose').hidden = false;

async function openMessenger(who: 'alice' | 'bob'): Promise<void> {
  const { userId, name, chatId, peer } = await demoToken(who);
  const client = new VerbatimClient({
    url: location.origin,
    getToken: async () => (await demoToken(who)).token,
    ...(query.has('raw') ? { microphone: RAW } : {}),
  });
  window.verbatim = client;

  document.title = `${name} – Verbatim demo`;
  part('self-name').textContent = name;
  part('self-name').title = userId;
  part('peer-name').textContent = peer.name;
  for (const avatar of document.querySelectorAll('[data-part="peer-avatar"]')) {
    avatar.textContent = peer.name.slice(0, 1);
  }
  const messenger = document.querySelector<HTMLElement>('#messenger');
  if (messenger) messenger.hidden = false;
  onClick('info-toggle', () => {
    const panel = part('info-panel');
    panel.hidden = !panel.hidden;
    part('info-toggle').setAttribute('aria-expanded', String(!panel.hidden));
  });

  client.on('connection', ({ state, error }) => {
    const connection = part('connection');
    connection.dataset.state = state;
    connection.textContent = error ? `${state}: ${error.message}` : state;
  });
  showPresence(client, peer.userId);
  showCalls(client, { chatId, peerName: peer.name });
  showRecordings(client, chatId);
  // A refusal is on the screen by now.
  await client.connect().catch(() => {});
}

/** In a real messenger its own server signs the token of the person who is signed in there. */
async function demoToken(who: 'alice' | 'bob'): Promise<DemoToken> {
  const response = await fetch('/demo/token', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ as: who }),
  });
  if (!response.ok) throw new VerbatimClientError('unavailable', `no demo token: ${response.status}`);
  return (await response.json()) as DemoToken;
}
