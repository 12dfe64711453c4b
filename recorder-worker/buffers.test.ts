import t from 'tap';
import { BufferPool } from './buffers.ts';

const MB = 1024 * 1024;

t.test(
  'a buffer that was given back is used again, wiped, by the next that it is large enough for',
  async (t) => {
    const pool = new BufferPool();
    const lease = pool.lease();
    const small = lease.take(1000);
    const large = lease.take(5000);
    small.fill(7);
    lease.release();
    lease.release();
    const again = pool.lease();
    t.equal(again.take(900), small, 'the smallest that fits');
    t.equal(again.take(900), large, 'then a larger one');
    t.ok(
      small.every((byte) => byte === 0),
      'nothing of the last recording is left in it',
    );
    const fresh = again.take(900);
    t.not(fresh, small);
    t.not(fresh, large);
  },
);

t.test('a buffer is given back once, and only by the lease that took it', async (t) => {
  const pool = new BufferPool();
  const lease = pool.lease();
  const buffer = lease.take(100);
  pool.lease().give(buffer);
  lease.give(buffer);
  lease.give(buffer);
  lease.release();
  t.equal(pool.take(100), buffer);
  t.not(pool.take(100), buffer, 'it was there once');
});

t.test('no more than 128 MiB are kept', async (t) => {
  const pool = new BufferPool();
  const lease = pool.lease();
  const huge = lease.take(129 * MB);
  const taken = [80, 60, 40, 1].map((size) => lease.take(size * MB));
  lease.release();
  t.not(pool.take(129 * MB), huge, 'what is larger than the room is not kept');
  const kept = taken.filter((buffer) => pool.take(buffer.length) === buffer);
  const bytes = kept.reduce((sum, buffer) => sum + buffer.length, 0);
  t.ok(bytes > 0 && bytes <= 128 * MB, `${bytes / MB} MiB were kept`);
});
