import type { Recording, RecordingState, Side, Timeline, Waveform } from '#protocol';
import { VerbatimClientError } from '../index.ts';
import type { TestCall } from './call.ts';
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

  /** A secure call that was recorded is over. */
  add(call: TestCall): void {
    const { recordingId, activeAt, endedAt } = call;
    if (recordingId === undefined || activeAt === undefined || endedAt === undefined) return;
    const durationMs = Date.parse(endedAt) - Date.parse(activeAt);
    const leg = (side: Side) => ({
      userId: call.people[side].id,
      packets: Math.ceil(durationMs / 20),
      lost: 0,
      duplicates: 0,
    });
    const recording: Recording = {
      id: recordingId,
      callId: call.id,
      chatId: call.chatId,
      mode: 'secure',
      state: 'processing',
      startedAt: activeAt,
      endedAt,
      durationMs,
      legs: [leg('caller'), leg('callee')],
    };
    this.#rows.unshift({ recording, timeline: { segments: [], messages: [] } });
    this.#changed(recording);
    setTimeout(() => this.set(recordingId, 'available'), 0);
  }

  /** @throws VerbatimClientError `not_found` */
  set(recordingId: string, state: RecordingState, reason?: string): void {
    const row = this.#row(recordingId);
    row.recording = { ...row.recording, state, ...(reason === undefined ? {} : { reason }) };
    if (state === 'available') {
      const sizeBytes = soundOf(row.recording).size;
      row.recording = { ...row.recording, sizeBytes, format: 'audio/wav' };
    }
    this.#changed(row.recording);
  }

  setTimeline(recordingId: string, timeline: Timeline): void {
    this.#row(recordingId).timeline = timeline;
  }

  list(userId: string, chatId: string): Recording[] {
    this.#directory.chat(chatId, userId);
    return this.#rows.map(({ recording }) => recording).filter((recording) => recording.chatId === chatId);
  }

  get(userId: string, recordingId: string): Recording {
    const { recording } = this.#row(recordingId);
    this.#directory.chat(recording.chatId, userId);
    return recording;
  }

  timeline(userId: string, recordingId: string): Timeline {
    this.get(userId, recordingId);
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
    return soundOf(this.#playable(userId, recordingId));
  }

  #playable(userId: string, recordingId: string): Recording {
    const recording = this.get(userId, recordingId);
    if (recording.state === 'available') return recording;
    throw new VerbatimClientError(
      recording.state === 'processing' ? 'recording_not_ready' : 'recording_failed',
    );
  }

  #row(recordingId: string): { recording: Recording; timeline: Timeline } {
    const row = this.#rows.find(({ recording }) => recording.id === recordingId);
    if (row === undefined) throw new VerbatimClientError('not_found', 'there is no such recording');
    return row;
  }
}

/** Silence in a WAV file: RIFF, one channel of 8-bit samples, whose middle is 128. */
function soundOf({ durationMs = 0 }: Recording): Blob {
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
