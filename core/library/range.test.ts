import t from 'tap';
import type { RangeAnswer } from './range.ts';
import { answerRange } from './range.ts';

const whole: RangeAnswer = { kind: 'whole' };
const unsatisfiable: RangeAnswer = { kind: 'unsatisfiable' };
const part = (firstByte: number, lastByte: number): RangeAnswer => ({ kind: 'part', firstByte, lastByte });

/** Range header, what it means for a file of 1,000 bytes. Cases of RFC 9110 §14.1.2 and §14.2. */
const CASES: [string | undefined, RangeAnswer][] = [
  [undefined, whole],
  ['bytes=0-', part(0, 999)],
  ['bytes=0-0', part(0, 0)],
  ['bytes=0-499', part(0, 499)],
  ['bytes=500-999', part(500, 999)],
  ['bytes=999-', part(999, 999)],
  ['bytes=0-5000', part(0, 999)],
  ['bytes=-1', part(999, 999)],
  ['bytes=-500', part(500, 999)],
  ['bytes=-1000', part(0, 999)],
  ['bytes=-2000', part(0, 999)],
  ['BYTES=1-2', part(1, 2)],
  ['bytes= 1-2 ', part(1, 2)],
  ['bytes=0000000001-2', part(1, 2)],
  ['bytes=1000-', unsatisfiable],
  ['bytes=1000-2000', unsatisfiable],
  ['bytes=999999999999999-', unsatisfiable],
  ['bytes=-0', unsatisfiable],
  ['', whole],
  ['bytes', whole],
  ['bytes=', whole],
  ['bytes=-', whole],
  ['bytes=a-b', whole],
  ['bytes=1', whole],
  ['bytes=2-1', whole],
  ['bytes=-1-2', whole],
  ['bytes=1-2-3', whole],
  ['bytes=+1-2', whole],
  ['bytes=1.5-2', whole],
  ['bytes=0x1-2', whole],
  ['bytes=1 - 2', whole],
  ['bytes=0-1,3-4', whole],
  ['bytes=0-1,', whole],
  ['items=0-1', whole],
  ['bytes=99999999999999999999-', whole],
  [`bytes=${'0-1,'.repeat(1_000)}0-1`, whole],
];

t.test('F25 a range header means what RFC 9110 says, and nothing else is served in parts', async (t) => {
  for (const [header, expected] of CASES)
    t.strictSame(answerRange(header, 1_000), expected, String(header).slice(0, 40));
});

t.test('no range header whatever leads outside the file', async (t) => {
  for (const size of [1, 2, 65_536, 65_537]) {
    for (const first of [0, 1, size - 1, size, size + 1]) {
      for (const last of ['', 0, 1, size - 1, size, size + 1]) {
        const answer = answerRange(`bytes=${first}-${last}`, size);
        if (answer.kind !== 'part') continue;
        t.ok(answer.firstByte <= answer.lastByte && answer.lastByte < size, `${first}-${last} of ${size}`);
      }
    }
  }
});
