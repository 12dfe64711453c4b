import t from 'tap';
import { clock, wholeSeconds } from '../state/clock.ts';
import { clockText, durationText } from './format.ts';

t.test('F24 F26 the list, the player and the timer show one number of seconds for one time', async (t) => {
  const table: [ms: number, text: string, player: string, timer: string][] = [
    [0, '0 sec', '0:00', '00:00'],
    [999, '0 sec', '0:00', '00:00'],
    [1_000, '1 sec', '0:01', '00:01'],
    [12_500, '12 sec', '0:12', '00:12'],
    [12_999, '12 sec', '0:12', '00:12'],
    [59_999, '59 sec', '0:59', '00:59'],
    [60_000, '1 min', '1:00', '01:00'],
    [725_600, '12 min 5 sec', '12:05', '12:05'],
    [3_599_999, '59 min 59 sec', '59:59', '59:59'],
    [3_661_000, '1 hr 1 min 1 sec', '1:01:01', '1:01:01'],
  ];
  for (const [ms, text, player, timer] of table) {
    t.strictSame([durationText(ms, 'en'), clockText(ms), clock(wholeSeconds(ms))], [text, player, timer]);
  }
});
