import type { CallView, Disclosure, VerbatimClient } from '../sdk/index.ts';
import { consentTo, VerbatimClientError } from '../sdk/index.ts';
import { clock, onClick, part } from './dom.ts';
import { chainLine, endSentence, errorSentence, INTERRUPTED } from './words.ts';

/** The phone menu, both consent dialogs, the popup of the running call and the line that says how it ended. */
export function showCalls(client: VerbatimClient, chat: { chatId: string; peerName: string }): void {
  const menu = part('call-menu');
  const consentDialog = part('consent-dialog', HTMLDialogElement);
  const incomingDialog = part('incoming-dialog', HTMLDialogElement);
  const popup = part('call-popup');
  /** The text on the screen: consent is to this one and to no other. */
  let shown: Disclosure | undefined;

  onClick('call-menu-button', () => {
    menu.hidden = !menu.hidden;
  });
  document.addEventListener('click', ({ target }) => {
    if (target instanceof Node && !menu.parentElement?.contains(target)) menu.hidden = true;
  });
  onClick('call-voice', () => {
    menu.hidden = true;
    return attempt(() => client.startCall({ chatId: chat.chatId, mode: 'voice' }));
  });
  onClick('call-secure', () => {
    menu.hidden = true;
    return attempt(async () => {
      shown = await client.disclosure();
      part('consent-text').textContent = shown.text;
      consentDialog.showModal();
    });
  });
  onClick('consent-cancel', () => consentDialog.close());
  onClick('consent-confirm', () => {
    consentDialog.close();
    const disclosure = shown;
    if (disclosure === undefined) return;
    return attempt(() =>
      client.startCall({ chatId: chat.chatId, mode: 'secure', consent: consentTo(disclosure) }),
    );
  });

  onClick('incoming-decline', () => attempt(() => client.decline()));
  onClick('incoming-accept', async () => {
    const disclosure = client.incoming?.mode === 'secure' ? shown : undefined;
    incomingDialog.close();
    await attempt(() => client.accept(disclosure && consentTo(disclosure)));
    // The microphone was refused, say: it still rings, and may be accepted once that is put right.
    if (client.incoming && !client.call) incomingDialog.showModal();
  });
  // The Escape key must not hide a call that still rings.
  incomingDialog.addEventListener('cancel', (event) => event.preventDefault());

  onClick('call-mute', () => client.setMuted(!client.muted));
  onClick('call-hangup', () => client.hangup());
  onClick('call-message-dismiss', () => say(''));
  onClick('audio-unblock', async () => {
    await client.resumeAudio();
    say('');
  });

  client.on('incoming', (call) => void showIncoming(call));
  client.on('call', (call) => showCall(call));
  client.on('receipt', () => showChain());
  client.on('interrupted', (interrupted) => {
    part('call-interrupted').hidden = !interrupted;
    part('call-interrupted').textContent = interrupted ? INTERRUPTED : '';
  });
  client.on('muted', (muted) => {
    part('call-mute').textContent = muted ? 'Unmute' : 'Mute';
    part('call-mute').setAttribute('aria-pressed', String(muted));
  });
  client.on('ended', ({ call, error }) => {
    incomingDialog.close();
    say(error ? errorSentence(error, call.peer.name) : endSentence(call), error ? 'error' : call.endReason);
  });
  client.on('trouble', (error) => {
    say(error.message, 'error');
    part('audio-unblock').hidden = error.code !== 'playback_blocked';
  });
  setInterval(() => {
    part('call-timer').textContent = clock(client.durationMs);
  }, 250);

  async function showIncoming(call: CallView): Promise<void> {
    const secure = call.mode === 'secure';
    const accept = part('incoming-accept', HTMLButtonElement);
    part('incoming-title').textContent = secure ? 'Incoming secure call' : 'Incoming call';
    part('incoming-peer').textContent = call.peer.name;
    part('incoming-disclosure').hidden = !secure;
    part('incoming-disclosure').textContent = 'Loading the disclosure text…';
    accept.textContent = secure ? 'I agree, accept' : 'Accept';
    accept.disabled = secure;
    consentDialog.close();
    say('');
    if (!incomingDialog.open) incomingDialog.showModal();
    if (!secure) return;
    await attempt(async () => {
      const disclosure = await client.disclosure();
      if (client.incoming?.callId !== call.callId) return;
      shown = disclosure;
      part('incoming-disclosure').textContent = disclosure.text;
      accept.disabled = false;
    });
  }

  function showCall(call: CallView | undefined): void {
    popup.hidden = call === undefined;
    popup.dataset.state = call?.state ?? '';
    if (call === undefined) {
      part('call-mute').textContent = 'Mute';
      part('call-mute').setAttribute('aria-pressed', 'false');
      return;
    }
    part('call-peer').textContent = call.peer.name;
    part('call-status').textContent = statusOf(call);
    part('call-timer').hidden = call.state !== 'active';
    part('recording-badge').hidden = !call.recording;
    part('call-peer-muted').hidden = !call.peerMuted;
    showChain();
    say('');
  }

  /** Both sides see the same head, and keep it (F36). */
  function showChain(): void {
    const { call, receipt } = client;
    const chain = part('call-chain');
    chain.hidden = receipt === undefined || receipt.recordingId !== call?.recordingId;
    if (receipt === undefined || chain.hidden) return;
    chain.textContent = chainLine(receipt.head, receipt.seq);
    chain.title = `Signed by the server and kept by this browser: part ${receipt.epoch}, block ${receipt.seq}, ${receipt.head}`;
  }

  async function attempt(act: () => Promise<unknown>): Promise<void> {
    say('');
    try {
      await act();
    } catch (error) {
      if (!(error instanceof VerbatimClientError)) throw error;
      // Hanging up while it was still being set up is no failure.
      if (error.code === 'call_over') return;
      say(errorSentence(error, chat.peerName), 'error');
    }
  }
}

function say(text: string, kind = ''): void {
  part('call-message-text').textContent = text;
  part('call-message').hidden = text === '';
  part('call-message').dataset.kind = kind;
  part('audio-unblock').hidden = true;
}

function statusOf(call: CallView): string {
  if (call.state === 'ringing') return 'Calling…';
  if (call.state === 'connecting') return 'Connecting…';
  if (call.recording) return 'Recording';
  return call.mode === 'secure' ? 'Recording interrupted' : 'In call';
}
