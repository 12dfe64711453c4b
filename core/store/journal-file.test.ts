import t from 'tap';
import { ArenaPool } from './arena.ts';
import { systemClock } from './clock.ts';
import { JournalFile } from './journal-file.ts';
import { verifyJournal } from './journal-reader.ts';
import { FailingFiles, makeStore } from './testing.ts';

async function makeFile(dir: string) {
  const store = await makeStore(dir);
  const files = new FailingFiles();
  const arenas = new ArenaPool();
  const file = await JournalFile.create(
    { recording: crypto.randomUUID(), call: 'call', epoch: 1, recorder: 'r', prev: null },
    store.recipients,
    { journalsDir: store.paths.journals, files, arenas, clock: systemClock },
  );
  const seal = (text: string) => [file.seal('mark', 1, 2, Buffer.from(text))];
  return { file, files, arenas, seal };
}

t.test('a sync covers what was written before it, not what came while it wrote', async (t) => {
  const { file, files, seal } = await makeFile(t.testdir({}));
  const writing = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  files.during = async (verb) => {
    if (verb !== 'write') return;
    writing.resolve();
    await goOn.promise;
  };
  file.enqueue(seal('{"mark":"gap"}'), 1);
  const synced = file.sync();
  await writing.promise;
  file.enqueue(seal('{"mark":"mute"}'), 2);
  goOn.resolve();
  await synced;
  t.equal(file.syncedSeq, 1);
  t.match(await verifyJournal(file.path), { seq: 1 });
  await file.sync();
  t.equal(file.syncedSeq, 2);
  t.match(await verifyJournal(file.path), { seq: 2 });
  await file.close();
});

t.test('operations of one file run one after the other, and closing waits for them', async (t) => {
  const { file, files, seal } = await makeFile(t.testdir({}));
  const order: string[] = [];
  files.during = async (verb) => {
    order.push(`${verb} begins`);
    await new Promise((resolve) => setImmediate(resolve));
    order.push(`${verb} ends`);
  };
  file.enqueue(seal('{"mark":"gap"}'), 1);
  const first = file.write();
  const second = file.sync();
  await file.close();
  await Promise.all([first, second, file.close()]);
  t.same(order, ['write begins', 'write ends', 'datasync begins', 'datasync ends']);
});

t.test('memory of blocks returns to the pool when they are written, and when the file breaks', async (t) => {
  const { file, files, arenas, seal } = await makeFile(t.testdir({}));
  const big = 'x'.repeat(100_000);
  for (let n = 1; n <= 9; n += 1) file.enqueue(seal(big), n);
  t.ok(arenas.liveBytes > 900_000);
  await file.write();
  t.equal(arenas.liveBytes, 256 * 1024, 'the one that is being filled');
  for (let n = 10; n <= 19; n += 1) file.enqueue(seal(big), n);
  files.before = () => {
    throw new Error('broken');
  };
  await t.rejects(file.write(), { code: 'recording_lost' });
  file.enqueue(seal(big), 20);
  t.equal(arenas.liveBytes, 256 * 1024);
  await t.rejects(file.sync(), { code: 'recording_lost' }, 'the first error is final');
  t.equal(file.acknowledgedSeq, 20, 'the log still has them');
  await file.close();
});
