import t from 'tap';
import { dropsIn } from './drops.ts';

const TABLE = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  531: 0100007F:9C40 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 21034 2 0000000000000000 17
  873: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20321 2 0000000000000000 4
`;

t.test('the kernel’s drops are read for our port only', async (t) => {
  t.equal(dropsIn(TABLE, 40_000), 17);
  t.equal(dropsIn(TABLE, 68), 4);
  t.equal(dropsIn(TABLE, 69), 0);
  t.equal(dropsIn('', 40_000), 0);
});
