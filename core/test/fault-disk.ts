import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { dataPaths } from '#store';
import { recordingById } from '../db/recordings.ts';
import type { Outcome } from './fault-checks.ts';
import { assertFolder, assertRecording } from './fault-checks.ts';
import type { FaultDaemon } from './fault-daemon.ts';
import { waitFor } from './fault-daemon.ts';
import type { BAD_STARTS, DiskRow } from './fault-disk-table.ts';
import type { FaultHouse } from './fault-stage.ts';
import { FaultStage } from './fault-stage.ts';

/** A call that goes on after its fault is worth so many more commits. */
const COMMITS = 2;
/** A fault that lasts is met at least this often before the disk is well again: trying once more was no help. */
const TRIES = 2;

/** What is known of a row's call before its end. */
interface Met {
  row: DiskRow;
  recordingId: string;
  callId: string;
  heads: Outcome['heads'];
  sentPerLeg: number | undefined;
}

/**
 * The rows one after the other in the same processes, which so go on after each fault; last those whose disk hangs. Then
 * the daemon is killed and started again, at first on a disk that is not well, and what hung comes to its end.
 */
export async function testDiskRows(
  t: Test,
  house: FaultHouse,
  rows: readonly DiskRow[],
  bad: typeof BAD_STARTS = [],
): Promise<void> {
  const ruleSets = [...rows.map(({ rules, lasts }) => ({ rules, lasts })), ...bad.map(badSet)];
  const stage = await FaultStage.open(t, house, (flag) =>
    ruleSets.flatMap(({ rules, lasts }, i) =>
      rules.map((rule) => ({ ...rule, whileExists: flag(flagOf(i)), always: lasts === 'until well' })),
    ),
  );
  const firstRule = ruleSets.map((_, i) => ruleSets.slice(0, i).flatMap(({ rules }) => rules).length);
  const struckOf = (i: number): number => {
    const first = firstRule[i] ?? 0;
    const count = ruleSets[i]?.rules.length ?? 0;
    return Array.from({ length: count }, (_, n) => stage.plan.acted(first + n)).reduce((a, b) => a + b, 0);
  };
  const hung: Met[] = [];
  const begin = () => stage.start(true);
  let daemon = begin();

  for (const [i, row] of rows.entries())
    await t.test(`${featuresOf(row)} ${row.since}: ${row.fault}: ${row.rule}`, async (t) => {
      const fault = { flag: flagOf(i), struck: () => struckOf(i) };
      try {
        const met = await meet(t, stage, daemon, row, fault);
        if (row.lasts === 'until restarted') {
          hung.push(met);
          return;
        }
        if (row.lasts === 'until well') await untilMet(t, stage, met, fault);
        await stage.lower(fault.flag);
        await assertEnd(t, stage, met);
      } catch (error) {
        // The rows behind it have not failed.
        await stage.lower(fault.flag);
        await daemon.kill();
        daemon = begin();
        throw error;
      }
    });

  for (const { row, recordingId } of hung) {
    const state = (await recordingById(stage.db, recordingId))?.state;
    if (row.means !== 'refused')
      t.match(state, /^(capturing|processing)$/, `${row.fault}: it is not at its end`);
  }
  await daemon.kill();
  for (const [n, { fault, says }] of bad.entries())
    await t.test(`F33 start: ${fault}: the start fails with that error`, async (t) => {
      const i = rows.length + n;
      await stage.raise(flagOf(i));
      const failed = stage.start(true, { records: false, finalises: false });
      await failed.until('ready', 'refused');
      t.match(failed.heard('refused')?.reason, says);
      await failed.exited;
      await stage.lower(flagOf(i));
    });
  const last = stage.start(false, { records: false });
  for (const met of hung)
    await t.test(`${featuresOf(met.row)} after the restart: ${met.row.fault}`, (t) =>
      assertEnd(t, stage, met),
    );
  await last.close();
  await assertFolder(t, stage);
}

const flagOf = (row: number): string => `row-${row}`;
const featuresOf = ({ means }: DiskRow): string => (means === 'lost' ? 'F23 F33 F34' : 'F23 F33');
const badSet = ({ rule }: (typeof BAD_STARTS)[number]) => ({ rules: [rule], lasts: 'until well' as const });

/** The call, up to its end or to its refusal; the fault comes in it. */
async function meet(
  t: Test,
  stage: FaultStage,
  daemon: FaultDaemon,
  row: DiskRow,
  { flag, struck }: { flag: string; struck: () => number },
): Promise<Met> {
  const { since, means } = row;
  // Its start is no moment of a call.
  await daemon.until('ready');
  const commits = stage.commits;
  if (since === 'opening') await stage.raise(flag);
  const placed = await daemon.place();
  const came = await daemon.until('armed', 'lost');
  const met = { row, ...placed, heads: daemon.heads, sentPerLeg: undefined };
  if (means === 'refused') {
    t.equal(daemon.heard('lost')?.reason, row.says, 'the call does not come about');
    return met;
  }
  if (came !== 'armed') throw new Error(`the call does not come about: ${daemon.heard('lost')?.reason}`);
  if (since === 'capture') {
    await stage.raise(flag);
    await waitFor('the fault', () => struck() > 0);
  }
  if (means === 'lost') {
    await daemon.until('lost');
    t.ok(daemon.heard('lost'), 'both are told that the recording is lost');
    return met;
  }
  // A fault in mid-call must leave it going on.
  const enough = since === 'capture' ? stage.commits + COMMITS : commits + 1;
  await waitFor('commits', () => stage.commits >= enough || daemon.heard('lost') !== undefined);
  // That it began is entered: what comes after the hang-up must not be taken for this.
  await daemon.until('started', 'lost');
  await daemon.hangUp(async () => {
    if (since === 'end') await stage.raise(flag);
  });
  t.equal(daemon.heard('lost'), undefined, 'the call goes on to its hang-up');
  await waitFor('the fault', () => struck() > 0);
  return { ...met, sentPerLeg: daemon.heard('sent')?.perLeg };
}

/** It was tried again, in vain; and nothing became of the recording as long as that was so. */
async function untilMet(
  t: Test,
  stage: FaultStage,
  { row, recordingId }: Met,
  { struck }: { struck: () => number },
): Promise<void> {
  if (row.since !== 'end') return;
  await waitFor('more tries', () => struck() >= TRIES);
  const state = (await recordingById(stage.db, recordingId))?.state;
  t.match(state, /^(capturing|processing)$/, 'it is not at its end while the disk is not well');
}

async function assertEnd(t: Test, stage: FaultStage, met: Met): Promise<void> {
  const { row, recordingId, callId, heads, sentPerLeg } = met;
  const ended = await stage.end(recordingId, callId);
  if (row.means !== 'refused')
    t.equal(ended?.state, 'available', `${ended?.state}: ${ended?.reason} ${ended?.detail}`);
  else {
    if (ended !== null) t.match(ended, { state: 'failed', reason: row.says });
    t.notOk(existsSync(dataPaths(stage.dataDir).salt(recordingId)), 'nobody was heard, so its salt is gone');
  }
  if (row.means === 'whole') t.ok(sentPerLeg, 'the recorder had taken all that was sent');
  await assertRecording(t, stage, { recordingId, callId, ended, heads, sentPerLeg });
}

const MEBIBYTE = 1024 * 1024;
/** The disk, what the daemon wants of it for a call, and what the recorder wants. */
const DISK_BYTES = 24 * MEBIBYTE;
const DAEMON_MEBIBYTES = 4;
const RECORDER_MEBIBYTES = 8;

/** A disk that is really full, with everything on it: journals, log, recordings and ledger. */
export async function testFullDisk(t: Test, house: FaultHouse): Promise<void> {
  const stage = await FaultStage.open(t, house, () => []);
  const { dataDir } = stage;
  mkdirSync(dataDir);
  try {
    const options = `size=${DISK_BYTES}`;
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'none', dataDir], { stdio: 'ignore' });
  } catch {
    t.pass('mounting a small disk needs root', { skip: 'not allowed here' });
    return;
  }
  // A worker that is just leaving may still be in there.
  t.teardown(() => execFileSync('umount', ['--lazy', dataDir]));
  const daemon = stage.start(
    true,
    { minFreeBytes: DAEMON_MEBIBYTES * MEBIBYTE },
    {
      VERBATIM_RECORDING_MIN_FREE_MEGABYTES: String(RECORDER_MEBIBYTES),
      VERBATIM_RECORDING_RESERVE_MEGABYTES: '0',
    },
  );
  const others = join(dataDir, 'others');
  const refused = async (t: Test, leaveBytes: number) => {
    await daemon.until('ready');
    fill(others, DISK_BYTES - leaveBytes);
    const placed = await daemon.place();
    await daemon.until('armed', 'lost');
    t.equal(daemon.heard('lost')?.reason, 'no_space');
    rmSync(others);
    const ended = await stage.end(placed.recordingId, placed.callId);
    const outcome = { ...placed, ended, heads: [], sentPerLeg: undefined };
    await assertRecording(t, stage, outcome);
    return ended;
  };

  await t.test('F33 a secure call is refused when the daemon’s disk has no space for it', async (t) => {
    t.equal(await refused(t, (DAEMON_MEBIBYTES - 1) * MEBIBYTE), null, 'no recorder was asked');
  });
  await t.test('F33 a secure call is refused when the recorder’s disk has no space for it', async (t) => {
    const ended = await refused(t, (RECORDER_MEBIBYTES - 1) * MEBIBYTE);
    t.match(ended, { state: 'failed', reason: 'no_space' });
  });
  await t.test(
    'F23 F33 F34 a disk that fills up in mid-call: both are told, and what was acknowledged is kept',
    async (t) => {
      const placed = await daemon.place();
      await daemon.until('armed', 'lost');
      const { commits } = stage;
      await waitFor('commits', () => stage.commits > commits);
      fill(others, DISK_BYTES);
      await daemon.until('lost');
      t.ok(daemon.heard('lost'), 'both are told that the recording is lost');
      const before = await recordingById(stage.db, placed.recordingId);
      t.match(before?.state, /^(capturing|processing)$/, 'it is not at its end while the disk is full');
      rmSync(others);
      const ended = await stage.end(placed.recordingId, placed.callId);
      t.equal(ended?.state, 'available', `${ended?.state}: ${ended?.reason} ${ended?.detail}`);
      await assertRecording(t, stage, { ...placed, ended, heads: daemon.heads, sentPerLeg: undefined });
    },
  );
  await t.test('F23 and the next call is recorded', async (t) => {
    const placed = await daemon.place();
    await daemon.until('armed', 'lost');
    await daemon.hangUp();
    const sentPerLeg = daemon.heard('sent')?.perLeg;
    const ended = await stage.end(placed.recordingId, placed.callId);
    t.equal(ended?.state, 'available', `${ended?.state}: ${ended?.reason} ${ended?.detail}`);
    await assertRecording(t, stage, { ...placed, ended, heads: daemon.heads, sentPerLeg });
  });
  await daemon.close();
  await assertFolder(t, stage);
}

/** Makes a file of so many bytes, or of as many as there is room for. */
function fill(path: string, bytes: number): void {
  const file = openSync(path, 'w');
  try {
    for (let at = 0; at < bytes; at += MEBIBYTE) writeSync(file, Buffer.alloc(MEBIBYTE), 0, MEBIBYTE, at);
    // Past the end of the disk: up to its last page.
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}
