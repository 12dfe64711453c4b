import type { EvidenceState, Recording, VerbatimClient } from '../sdk/index.ts';
import { VerbatimClientError } from '../sdk/index.ts';
import { clock, fileSize, part } from './dom.ts';
import { evidenceSentence, ledgerSentence } from './words.ts';

const STATUS: Record<string, string> = {
  armed: 'Recording',
  capturing: 'Recording',
  processing: 'Processing',
  available: 'Available',
  failed: 'Failed',
  removed: 'Removed under legal order',
  expired: 'Removed after its retention period',
};

/** The secure calls of the chat, newest first. A row that plays keeps its player while the list is refreshed. */
export function showRecordings(client: VerbatimClient, chatId: string): void {
  const list = part('recordings');
  const rows = new Map<string, HTMLLIElement>();
  let loading = false;
  let again = false;

  client.on('recording', () => void refresh());
  client.on('evidence', ({ recordingId }) => void showEvidence(recordingId));
  client.on('ledger', (problem) => {
    part('ledger-problem').hidden = problem === undefined;
    part('ledger-problem').textContent = problem ? ledgerSentence(problem) : '';
  });
  client.on('ended', ({ call }) => {
    if (call.mode === 'secure') void refresh();
  });
  client.on('connection', ({ state }) => {
    if (state === 'online') void refresh();
  });

  /** One request at a time; events that come meanwhile make one more. */
  async function refresh(): Promise<void> {
    again = loading;
    if (loading) return;
    loading = true;
    try {
      const { recordings } = await client.listRecordings(chatId);
      for (const recording of recordings) fill(rowOf(recording.id), recording);
      list.replaceChildren(...recordings.map(({ id }) => rowOf(id)));
      part('recordings-empty').hidden = recordings.length > 0;
      part('recordings-empty').textContent = 'No secure calls yet.';
    } catch (error) {
      if (!(error instanceof VerbatimClientError)) throw error;
      part('recordings-empty').hidden = false;
      part('recordings-empty').textContent = `The list could not be loaded: ${error.message}`;
    } finally {
      loading = false;
    }
    if (again) await refresh();
  }

  function rowOf(id: string): HTMLLIElement {
    const known = rows.get(id);
    if (known) return known;
    const row = document.createElement('li');
    row.className = 'recording';
    row.dataset.testid = 'recording-row';
    row.dataset.recordingId = id;
    rows.set(id, row);
    return row;
  }

  function fill(row: HTMLLIElement, recording: Recording): void {
    if (row.dataset.state === recording.state) return;
    row.dataset.state = recording.state;
    const head = document.createElement('div');
    head.className = 'row';
    const facts = document.createElement('div');
    const when = new Date(recording.endedAt ?? recording.startedAt).toLocaleString();
    const status = span('recording-status', STATUS[recording.state] ?? recording.state);
    status.className = 'status';
    const small = document.createElement('small');
    small.append(status, details(recording));
    facts.append(span('recording-time', when), document.createElement('br'), small);
    head.append(facts);
    row.replaceChildren(head);
    if (recording.state === 'failed') void showEvidence(recording.id);
    if (recording.state !== 'available') return;
    const play = button('recording-play', 'Play', () => void openPlayer(row, recording.id, play));
    const bundle = button('recording-bundle', 'Evidence', () => void saveBundle(row, recording.id, bundle));
    bundle.title =
      'Saves the recording with everything that proves it; anyone can check it without this server';
    const acts = document.createElement('div');
    acts.className = 'acts';
    acts.append(play, bundle);
    head.append(acts);
    void showEvidence(recording.id);
  }

  /** The line that says what this browser found when it held the recording against what it kept of the call. */
  async function showEvidence(id: string): Promise<void> {
    const row = rows.get(id);
    const evidence = await client.evidence(id);
    // The row was filled again meanwhile: what is asked for last is what stays.
    if (row === undefined || !(row.dataset.state === 'available' || evidence)) return;
    const line = document.createElement('p');
    line.className = 'evidence';
    line.dataset.testid = 'recording-evidence';
    line.dataset.verdict = evidence?.verdict ?? 'none';
    line.textContent = evidenceSentence(evidence);
    if (canCheckAgain(evidence)) {
      line.append(
        ' ',
        button('recording-recheck', 'Check again', () => void client.checkEvidence(id)),
      );
    }
    row.querySelector('.evidence')?.remove();
    row.querySelector('.row')?.after(line);
  }

  async function saveBundle(row: HTMLElement, id: string, bundle: HTMLButtonElement): Promise<void> {
    bundle.disabled = true;
    row.querySelector('[data-testid="recording-bundle-status"]')?.remove();
    try {
      await client.downloadBundle(id);
    } catch (error) {
      if (!(error instanceof VerbatimClientError)) throw error;
      const note = span('recording-bundle-status', `No evidence available: ${error.message}`);
      note.className = 'faint';
      row.append(note);
    } finally {
      bundle.disabled = false;
    }
  }

  /** No audio, and not even an address for it, is asked for before this click (F26). */
  async function openPlayer(row: HTMLElement, id: string, play: HTMLButtonElement): Promise<void> {
    play.disabled = true;
    const note = span('recording-player-status', 'Loading recording…');
    note.className = 'faint';
    row.append(note);
    try {
      const audio = document.createElement('audio');
      audio.controls = true;
      audio.dataset.testid = 'recording-audio';
      audio.crossOrigin = 'use-credentials';
      audio.addEventListener('canplay', () => note.remove(), { once: true });
      audio.addEventListener('error', () => {
        note.textContent = 'No recording available: it could not be loaded.';
        audio.remove();
        row.append(note);
        play.disabled = false;
      });
      audio.src = await client.playbackUrl(id);
      row.append(audio);
      // Forbidden to start by itself: the controls are there.
      await audio.play().catch(() => {});
    } catch (error) {
      if (!(error instanceof VerbatimClientError)) throw error;
      note.textContent = `No recording available: ${error.message}`;
      play.disabled = false;
    }
  }
}

/** Nothing kept, nothing to check; what is not finished is checked by itself when it is. */
function canCheckAgain(evidence: EvidenceState | undefined): boolean {
  return evidence?.verdict !== undefined && evidence.verdict !== 'failed';
}

function button(testid: string, text: string, run: () => void): HTMLButtonElement {
  const element = document.createElement('button');
  element.type = 'button';
  element.textContent = text;
  element.dataset.testid = testid;
  element.addEventListener('click', run);
  return element;
}

function details({ state, reason, durationMs, sizeBytes, format }: Recording): string {
  if (state === 'failed' || state === 'removed' || state === 'expired') return reason ? ` · ${reason}` : '';
  const parts = [
    durationMs === undefined ? '' : clock(durationMs),
    sizeBytes === undefined ? '' : fileSize(sizeBytes),
    format === undefined ? '' : 'Opus in WebM',
  ];
  return parts
    .filter((text) => text !== '')
    .map((text) => ` · ${text}`)
    .join('');
}

function span(testid: string, text: string): HTMLSpanElement {
  const element = document.createElement('span');
  element.dataset.testid = testid;
  element.textContent = text;
  return element;
}
