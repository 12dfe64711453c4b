import type { Side, TranscriptSegment } from '#protocol';
import { TIMELINE_LIMITS, VerbatimError } from '#protocol';

/**
 * WebVTT (W3C) for transcripts: each cue is a segment, its voice (`<v caller>` or `<v callee>`) the side. Other tags,
 * settings, styles, regions and notes are passed over; a cue without text is none.
 */
const TIMING =
  /^((?:\d{2,}:)?\d{2}:\d{2}\.\d{3})[ \t]+-->[ \t]+((?:\d{2,}:)?\d{2}:\d{2}\.\d{3})(?:[ \t].*)?$/;
const VOICE = /^<v(?:\.[^ \t>]*)?[ \t]+(caller|callee)[ \t]*>/;
const ENTITIES: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&nbsp;': '\u00a0',
  '&lrm;': '\u200e',
  '&rlm;': '\u200f',
};

/**
 * @param side of cues without a voice
 * @throws VerbatimError `bad_request` with the line, for what is no WebVTT or names no side
 */
export function parseVtt(text: string, side: Side | undefined): TranscriptSegment[] {
  const lines = text.replace(/^\ufeff/, '').split(/\r\n|\r|\n/);
  if (!/^WEBVTT(?:[ \t].*)?$/.test(lines[0] ?? '')) throw wrong(0, 'expected WEBVTT');
  const segments: TranscriptSegment[] = [];
  for (let at = 1; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    if (!line.includes('-->')) continue;
    const [, from, to] = TIMING.exec(line) ?? [];
    if (from === undefined || to === undefined) throw wrong(at, 'expected 00:00:00.000 --> 00:00:00.000');
    const startMs = millisecondsOf(from, at);
    const endMs = millisecondsOf(to, at);
    if (endMs < startMs) throw wrong(at, 'the cue ends before it begins');
    const payload: string[] = [];
    while (at + 1 < lines.length && lines[at + 1] !== '') {
      at += 1;
      payload.push(lines[at] ?? '');
    }
    const said = payload.join('\n');
    const voice = VOICE.exec(said)?.[1];
    const who = voice === 'caller' || voice === 'callee' ? voice : side;
    if (who === undefined) throw wrong(at, 'expected <v caller> or <v callee>, or a side in the query');
    const plain = plainOf(said);
    if (plain === '') continue;
    if (plain.length > TIMELINE_LIMITS.textLength)
      throw wrong(at, `more than ${TIMELINE_LIMITS.textLength} characters`);
    if (segments.length === TIMELINE_LIMITS.segments)
      throw wrong(at, `more than ${TIMELINE_LIMITS.segments} cues`);
    segments.push({ side: who, startMs, endMs, text: plain });
  }
  return segments;
}

/** What has no times has no place in such a file, and is left out; an end that is not known is the beginning of the next. */
export function vttOf(segments: readonly TranscriptSegment[]): string {
  const timed = segments.filter(({ startMs }) => startMs !== undefined);
  const cues = timed.map(({ side, startMs = 0, endMs, text }, index) => {
    const end = endMs ?? Math.max(startMs, timed[index + 1]?.startMs ?? startMs + LAST_CUE_MS);
    return `${timeOf(startMs)} --> ${timeOf(end)}\n<v ${side}>${escaped(text)}\n`;
  });
  return ['WEBVTT\n', ...cues].join('\n');
}

const LAST_CUE_MS = 3_000;

function millisecondsOf(time: string, at: number): number {
  const [seconds = '', minutes = '', hours = '0'] = time.split(':').reverse();
  if (Number(minutes) > 59 || Number(seconds) >= 60) throw wrong(at, 'minutes and seconds go to 59');
  const ms = Math.round(Number(seconds) * 1_000) + Number(minutes) * 60_000 + Number(hours) * 3_600_000;
  if (ms > TIMELINE_LIMITS.maxMs) throw wrong(at, 'a time is later than a day');
  return ms;
}

function timeOf(ms: number): string {
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  return `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1_000) % 60)}.${String(ms % 1_000).padStart(3, '0')}`;
}

/** Tags first and entities after them, in one pass each: what an entity becomes is never read again. */
function plainOf(said: string): string {
  return said
    .replace(/<[^>]*>/g, '')
    .replace(/&(?:amp|lt|gt|nbsp|lrm|rlm);/g, (entity) => ENTITIES[entity] ?? entity)
    .trim();
}

/** No empty line, which would end the cue; no arrow, which would begin another. */
function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/\s*(?:\r\n|\r|\n)\s*/g, '\n');
}

function wrong(index: number, what: string): VerbatimError {
  return new VerbatimError('bad_request', `body: line ${index + 1}: ${what}`);
}
