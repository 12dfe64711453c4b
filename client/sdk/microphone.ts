import type { ClientErrorCode } from './errors.ts';
import { VerbatimClientError } from './errors.ts';

/** What browsers call the reasons (Media Capture and Streams, getUserMedia). */
const REASONS: Readonly<Record<string, ClientErrorCode>> = {
  NotAllowedError: 'microphone_denied',
  SecurityError: 'microphone_denied',
  NotFoundError: 'microphone_missing',
  OverconstrainedError: 'microphone_missing',
  NotReadableError: 'microphone_busy',
  AbortError: 'microphone_busy',
};

/** One voice, close to the microphone, in a room with a loudspeaker. */
const VOICE: MediaTrackConstraints = {
  channelCount: 1,
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
};

/** @throws VerbatimClientError `insecure_page` or `webrtc_unsupported` */
export function assertCanCall(): void {
  if (!globalThis.isSecureContext) throw new VerbatimClientError('insecure_page');
  if (typeof RTCPeerConnection === 'undefined' || !navigator.mediaDevices?.getUserMedia) {
    throw new VerbatimClientError('webrtc_unsupported');
  }
}

/** Which microphone, and how: both are wishes of the page. */
export interface MicrophoneWish {
  constraints: MediaTrackConstraints | undefined;
  /** Absent: the browser's choice. */
  id: string | undefined;
}

/**
 * Opens the microphone. When `signal` aborts while the browser still asks the person, the track that comes
 * afterwards is stopped at once: no microphone stays on for a call that is over.
 * @throws VerbatimClientError `microphone_denied`, `microphone_missing` (also when the wished one is not there),
 *   `microphone_busy` or `call_over`
 */
export async function openMicrophone(wish: MicrophoneWish, signal: AbortSignal): Promise<MediaStreamTrack> {
  const audio = {
    ...VOICE,
    ...wish.constraints,
    ...(wish.id === undefined ? {} : { deviceId: { exact: wish.id } }),
  };
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : '';
    throw new VerbatimClientError(REASONS[name] ?? 'microphone_busy', undefined, { cause: error });
  }
  const [track] = stream.getAudioTracks();
  if (track === undefined) throw new VerbatimClientError('microphone_missing');
  if (signal.aborted) {
    track.stop();
    throw new VerbatimClientError('call_over');
  }
  signal.addEventListener('abort', () => track.stop(), { once: true });
  return track;
}

/** True when the person has allowed the microphone before, so that opening it asks nothing and is quick. */
export async function microphoneIsGranted(): Promise<boolean> {
  try {
    const { state } = await navigator.permissions.query({ name: 'microphone' });
    return state === 'granted';
  } catch {
    // A browser that does not know this permission's name asks when the microphone is opened.
    return false;
  }
}
