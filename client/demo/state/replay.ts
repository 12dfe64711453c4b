import type { DemoMessage, Recording, Timeline } from '#protocol';
import type { VerbatimClient } from '../../sdk/index.ts';

/** Messages of shortly before and after the call belong to it, too. */
const MARGIN_MS = 30_000;

/**
 * What goes with a recording: what the server has of it, or else this chat's messages of the time of the call. A real
 * messenger's server puts them there (`PUT /v1/calls/:id/messages`); the demo has no such server.
 */
export async function replayOf(
  client: VerbatimClient,
  recording: Recording,
  messages: readonly DemoMessage[],
): Promise<Timeline> {
  const kept = await client.timeline(recording.id);
  if (kept.messages.length > 0) return kept;
  const from = Date.parse(recording.startedAt);
  const until = from + (recording.durationMs ?? 0);
  return {
    segments: kept.segments,
    messages: messages
      .map(({ userId, name, text, sentAt }) => ({ userId, name, text, atMs: Date.parse(sentAt) - from }))
      .filter(({ atMs }) => atMs > -MARGIN_MS && atMs < until - from + MARGIN_MS),
  };
}
