import type { Recording, RecordingState, Side, Timeline, Waveform } from '#protocol';
import { VerbatimClientError } from '../index.ts';
import type { TestCall } from './call.ts';
import { party } from './call.ts';
import type { TestDirectory } from './directory.ts';

const PEAKS_PER_SECOND = 10;
const SAMPLE_RATE = 8_000;
/** More than this is cut off from the sound that is played: it is silence. */
const MAX_SOUND_MS = 60_000;

/** What is kept of secure calls. The sound is silence, as long as the call was. */
export class TestRecordings {
  readonly #directory: TestDirectory;
  readonly #rows: { recording: Recording; timeline: Timeline }[] = [];
  readonly #changed: (recording: Recording) => void;

  constructor(directory: TestDirectory, changed: (recording: Recording) => void) {
    this.#directory = directory;
    this.#changed = changed;
  }

  /** Follows a secure call: armed when it was accepted, capturing while it is active, then available or failed. */
  follow(call: TestCall): void {
    const { recordingId, activeAt, endedAt } = call;
    if (recordingId === undefined || !call.accepted) return;
    if (call.state === 'connecting') this.#arm(recordingId, call);
    else if (call.state === 'active')
      this.#change(recordingId, { state: 'capturing', startedAt: activeAt ?? '' });
    else if (activeAt === undefined) this.set(recordingId, 'failed', 'not_armed');
    else if (endedAt !== undefined) {
      const durationMs = Date.parse(endedAt) - Date.parse(activeAt);
      const leg = (side: Side) => ({
        userId: call.people[side].id,
        packets: Math.ceil(durationMs / 20),
        lost: 0,
        duplicates: 0,
      });
      this.#change(recordingId, { state: 'processing', endedAt });
      setTimeout(() => {
        const { size: sizeBytes } = soundOf(durationMs);
        const legs = [leg('caller'), leg('callee')];
        this.#change(recordingId, { state: 'available', durationMs, legs, sizeBytes, format: 'audio/wav' });
      }, 0);
    }
  }

  /** @throws VerbatimClientError `not_found` */
  set(recordingId: string, state: RecordingState, reason?: string): void {
    const gone = state === 'removed' || state === 'expired';
    this.#change(recordingId, {
      state,
      ...(reason === undefined ? {} : { reason }),
      ...(gone ? { removedAt: new Date().toISOString() } : {}),
    });
  }

  setTimeline(recordingId: string, timeline: Timeline): void {
    this.#row(recordingId).timeline = timeline;
  }

  /** @throws VerbatimClientError `role_not_allowed`, `not_found` */
  list(userId: string, chatId: string): Recording[] {
    this.#assertMayRead(userId);
    this.#directory.chat(chatId, userId);
    return this.#rows.map(({ recording }) => recording).filter((recording) => recording.chatId === chatId);
  }

  /** @throws VerbatimClientError `role_not_allowed`, `not_found` */
  get(userId: string, recordingId: string): Recording {
    this.#assertMayRead(userId);
    const { recording } = this.#row(recordingId);
    this.#directory.chat(recording.chatId, userId);
    return recording;
  }

  timeline(userId: string, recordingId: string): Timeline {
    const { state } = this.get(userId, recordingId);
    // What was said goes with the recording that said it.
    if (state === 'removed' || state === 'expired') return { segments: [], messages: [] };
    return this.#row(recordingId).timeline;
  }

  peaks(userId: string, recordingId: string): Waveform {
    const { durationMs = 0 } = this.#playable(userId, recordingId);
    const length = Math.ceil((durationMs / 1000) * PEAKS_PER_SECOND);
    return {
      version: 2,
      channels: 2,
      sample_rate: SAMPLE_RATE,
      samples_per_pixel: SAMPLE_RATE / PEAKS_PER_SECOND,
      bits: 16,
      length,
      data: Array.from({ length: length * 4 }, () => 0),
    };
  }

  sound(userId: string, recordingId: string): Blob {
    return soundOf(this.#playable(userId, recordingId).durationMs);
  }

  #playable(userId: string, recordingId: string): Recording {
    const recording = this.get(userId, recordingId);
    if (recording.state === 'available') return recording;
    const { state } = recording;
    const never = state === 'failed' || state === 'removed' || state === 'expired';
    throw new VerbatimClientError(never ? 'recording_failed' : 'recording_not_ready');
  }

  #arm(recordingId: string, call: TestCall): void {
    const recording: Recording = {
      id: recordingId,
      callId: call.id,
      chatId: call.chatId,
      mode: 'secure',
      caller: nameOf(call, 'caller'),
      callee: nameOf(call, 'callee'),
      state: 'armed',
      startedAt: new Date().toISOString(),
    };
    this.#rows.unshift({ recording, timeline: { segments: [], messages: [] } });
  }

  #change(recordingId: string, change: Partial<Recording>): void {
    const row = this.#row(recordingId);
    row.recording = { ...row.recording, ...change };
    this.#changed(row.recording);
  }

  #assertMayRead(userId: string): void {
    if (!this.#directory.may(userId).recordings) throw new VerbatimClientError('role_not_allowed');
  }

  #row(recordingId: string): { recording: Recording; timeline: Timeline } {
    const row = this.#rows.find(({ recording }) => recording.id === recordingId);
    if (row === undefined) throw new VerbatimClientError('not_found', 'there is no such recording');
    return row;
  }
}

function nameOf(call: TestCall, side: Side): { userId: string; name: string } {
  const { userId, name } = party(call.people[side]);
  return { userId, name };
}

/** Silence in a WAV file: RIFF, one channel of 8-bit samples, whose middle is 128. */
function soundOf(durationMs = 0): Blob {
  const samples = Math.ceil((Math.min(durationMs, MAX_SOUND_MS) / 1000) * SAMPLE_RATE);
  const bytes = new Uint8Array(44 + samples).fill(128);
  const view = new DataView(bytes.buffer);
  const text = (offset: number, word: string): void => bytes.set(new TextEncoder().encode(word), offset);
  text(0, 'RIFF');
  view.setUint32(4, 36 + samples, true);
  text(8, 'WAVEfmt ');
  view.setUint32(16, 16, true); // size of the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, SAMPLE_RATE, true);
  view.setUint32(28, SAMPLE_RATE, true); // bytes a second
  view.setUint16(32, 1, true); // bytes of a sample
  view.setUint16(34, 8, true); // bits of a sample
  text(36, 'data');
  view.setUint32(40, samples, true);
  return new Blob([bytes], { type: 'audio/wav' });
}
