import { EventEmitter, once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openAlarms } from '../db/alarms.ts';
import { testDatabase, testDir } from '../db/fixture.ts';
import { Alarms } from './alarms.ts';
import { MadeFolder } from './audit-fixture.ts';
import { Scrubber } from './scrubber.ts';

const db = await testDatabase(t);
const root = await testDir(t);
const ignore = (): void => undefined;
const log = { info: ignore, warn: ignore, error: ignore };

/** Waits of the scrubber, ended by hand. */
class Pauses extends EventEmitter<{ pause: [number] }> {
  readonly waits: number[] = [];
  go: () => void = ignore;

  readonly wait = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      this.go = resolve;
      signal.addEventListener('abort', () => reject(signal.reason));
      this.waits.push(ms);
      // Whoever waits for this hears it even when the scrubber was faster.
      setImmediate(() => this.emit('pause', ms));
    });
}

t.test('what changed on the disk raises an alarm that the next clean pass takes back', async (t) => {
  const made = await MadeFolder.open(db, join(root, 'data'));
  const { call } = await made.call();
  const alarms = new Alarms(db, log);
  const pauses = new Pauses();
  const scrubber = Scrubber.start({
    dataDir: made.paths.dataDir,
    signerDir: made.signerDir,
    megabytesPerSecond: 1000,
    everyHours: 24,
    alarms,
    log,
    wait: pauses.wait,
  });
  const pass = async (): Promise<void> => {
    const paused = once(pauses, 'pause');
    pauses.go();
    await paused;
  };
  await once(pauses, 'pause');
  t.equal(scrubber.health(), 'no whole pass yet');
  await pass();
  t.match(scrubber.last, { faults: 0 });
  t.match(scrubber.health(), /no fault/);
  t.same(await openAlarms(db, 10), []);

  const path = made.paths.pay(call.recordingId);
  const bytes = await readFile(path);
  const rotten = Buffer.from(bytes);
  rotten.writeUInt8(rotten.readUInt8(99) ^ 4, 99);
  await writeFile(path, rotten);
  await pass();
  t.match(await openAlarms(db, 10), [{ kind: 'scrub_fault', subject: call.recordingId, detail: /SHA-256/ }]);
  t.throws(() => scrubber.health(), /1 faults/);
  t.same(await readFile(path), rotten, 'nothing was put right');

  await writeFile(path, bytes);
  await pass();
  t.same(await openAlarms(db, 10), []);
  t.match(scrubber.health(), /no fault/);
  t.same(pauses.waits.slice(1), [86_400_000, 86_400_000, 86_400_000], 'a day between two passes');
  await scrubber.close();
  await scrubber.close();
  await made.close();
});

t.test('closing ends a pass at once; a rate of 0 does nothing at all', async (t) => {
  const made = await MadeFolder.open(db, join(root, 'slow'));
  await made.call();
  await made.close();
  const pauses = new Pauses();
  const options = {
    dataDir: made.paths.dataDir,
    signerDir: made.signerDir,
    everyHours: 24,
    alarms: new Alarms(db, log),
    log,
    wait: pauses.wait,
  };
  // A byte a second: this pass would take days.
  const slow = Scrubber.start({ ...options, megabytesPerSecond: 0.000001 });
  await once(pauses, 'pause');
  pauses.go();
  await slow.close();
  t.equal(slow.last, undefined);
  const off = Scrubber.start({ ...options, megabytesPerSecond: 0 });
  t.match(off.health(), /^off/);
  await off.close();
  t.equal(pauses.waits.length, 1);
});

t.test('a folder that cannot be read raises an alarm, and is tried again within the hour', async (t) => {
  const pauses = new Pauses();
  const scrubber = Scrubber.start({
    dataDir: join(root, 'gone'),
    signerDir: join(root, 'gone.signer'),
    megabytesPerSecond: 4,
    everyHours: 24,
    alarms: new Alarms(db, log),
    log,
    wait: pauses.wait,
  });
  await once(pauses, 'pause');
  const paused = once(pauses, 'pause');
  pauses.go();
  t.same(await paused, [3_600_000]);
  t.match(await openAlarms(db, 10), [{ kind: 'scrub_fault', subject: 'folder' }]);
  t.throws(() => scrubber.health(), /cannot be checked/);
  await scrubber.close();
});
