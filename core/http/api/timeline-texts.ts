import type { RouteTexts } from './route-text.ts';

const segments = [
  { side: 'caller', startMs: 1_200, endMs: 2_900, text: 'Good afternoon.' },
  { side: 'callee', startMs: 3_400, endMs: 5_100, text: 'Hello, how can I help?' },
];

const version = { version: 2, source: 'app', writtenAt: '2026-03-20T14:20:00.000Z' };

/** What goes with a call: transcripts and messages. */
export const TIMELINE_TEXTS: RouteTexts = {
  'PUT /v1/calls/:id/transcript': {
    description:
      'Of a call of either mode; a voice call keeps nothing unless the app puts it here. `text/vtt` takes WebVTT, whose cues name the side as their voice (`<v caller>`), unless the query does. With `side` only that side is replaced. Each is a new version; ten are kept.',
    errors: ['not_found'],
    body: { segments },
    answer: version,
  },
  'GET /v1/calls/:id/transcript': {
    description:
      'For the app’s server and for the two who took part. With `Accept: text/vtt` as WebVTT, without what has no times. There is none any more when the recording of the call was removed or expired.',
    errors: ['not_found', 'role_not_allowed'],
    answer: { ...version, segments, versions: [version, { ...version, version: 1 }] },
  },
  'PUT /v1/calls/:id/messages': {
    description: 'What was written in the chat around the call; `sentAt` puts it in step with the recording.',
    errors: ['not_found'],
    body: { messages: [{ userId: 'ben', sentAt: '2026-03-20T14:01:06.120Z', text: 'Here is the link.' }] },
  },
};
