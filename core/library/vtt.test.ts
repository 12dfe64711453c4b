import t from 'tap';
import type { TranscriptSegment } from '#protocol';
import { parseVtt, vttOf } from './vtt.ts';

t.test(
  'F27 a WebVTT file is read cue by cue, with its voices, tags, entities, notes and settings',
  async (t) => {
    const text = [
      '\ufeffWEBVTT - a call',
      'X-TIMESTAMP-MAP=0',
      '',
      'NOTE this is none of it',
      '',
      'STYLE',
      '::cue { color: red }',
      '',
      'intro',
      '00:01.200 --> 00:02.900 align:start position:10%',
      '<v caller>Good <b>afternoon</b>, &lt;Ben&gt; &amp;amp; all',
      'second line',
      '',
      '01:00:03.400 --> 01:00:05.100',
      '<v.loud callee>Hello</v>',
      '',
      '00:00:09.000 --> 00:00:10.000',
      '<i></i>',
    ];
    for (const newline of ['\n', '\r\n', '\r'])
      t.strictSame(parseVtt(text.join(newline), 'caller'), [
        {
          side: 'caller',
          startMs: 1_200,
          endMs: 2_900,
          text: 'Good afternoon, <Ben> &amp; all\nsecond line',
        },
        { side: 'callee', startMs: 3_603_400, endMs: 3_605_100, text: 'Hello' },
      ]);
    t.strictSame(parseVtt('WEBVTT', undefined), []);
  },
);

t.test('F27 what is no WebVTT, or does not say who spoke, is refused with its line', async (t) => {
  const cue = (timing: string, text = '<v caller>x'): string => `WEBVTT\n\n${timing}\n${text}\n`;
  for (const [text, line] of [
    ['', 1],
    ['1\n00:00:00,000 --> 00:00:01,000\nSRT', 1],
    ['WEBVTTX', 1],
    [cue('00:00:00.000 --> 1'), 3],
    [cue('00:60:00.000 --> 00:61:00.000'), 3],
    [cue('00:00:02.000 --> 00:00:01.000'), 3],
    [cue('25:00:00.000 --> 25:00:01.000'), 3],
    [cue('00:00:00.000 --> 00:00:01.000', 'nobody says this'), 4],
    [cue('00:00:00.000 --> 00:00:01.000', '<v Eve>a stranger'), 4],
    [cue('00:00:00.000 --> 00:00:01.000', `<v caller>${'x'.repeat(9_000)}`), 4],
  ] as const)
    t.throws(() => parseVtt(text, undefined), {
      code: 'bad_request',
      message: new RegExp(`^body: line ${line}: `),
    });
});

t.test('F27 what is written is read back the same, whatever was said', async (t) => {
  const segments: TranscriptSegment[] = [
    { side: 'caller', startMs: 0, endMs: 999, text: 'a --> b' },
    { side: 'callee', startMs: 1_000, endMs: 86_399_999, text: '<v caller>not me</v> & &lt; \u4f60\u597d' },
    { side: 'caller', startMs: 2_000, endMs: 2_000, text: 'two\nlines' },
  ];
  t.strictSame(parseVtt(vttOf(segments), undefined), segments);
  t.equal(
    vttOf([
      { side: 'caller', text: 'whenever' },
      { side: 'caller', startMs: 61_001, text: 'a\n\nb' },
      { side: 'callee', startMs: 62_000, text: 'last' },
    ]),
    'WEBVTT\n\n00:01:01.001 --> 00:01:02.000\n<v caller>a\nb\n\n00:01:02.000 --> 00:01:05.000\n<v callee>last\n',
  );
});
