import { readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import t from 'tap';
import { sha256 } from '../../scripts/lib/proof.ts';
import { runCommand } from '../../scripts/media-worker/command.ts';

const canary = resolve(import.meta.dirname, '../../scripts/canary');
const KEYS = [
  'recordingId',
  'dataDir',
  'file',
  'sha256',
  'durationMs',
  'legs',
  'acceptToRecordingMs',
  'hangUpToAvailableMs',
  'verdict',
];

/** Its one line of JSON, found among the progress on the other stream. */
function lineOf(output: string): Record<string, unknown> {
  const lines = output.split('\n').filter((line) => line.startsWith('{'));
  if (lines.length !== 1) throw new Error(`expected one line of JSON, got ${output}`);
  return JSON.parse(lines[0] ?? '');
}

t.test('F54 the canary proves a secure call on a server of its own and says so in one line', async (t) => {
  const { code, output } = await runCommand(canary, ['--temporary', '--keep', '--json', '--seconds', '6']);
  t.equal(code, 0, output);
  const report = lineOf(output);
  t.strictSame(Object.keys(report), KEYS);
  t.equal(report.verdict, 'ok');
  const dataDir = String(report.dataDir);
  t.teardown(() => rm(dataDir, { recursive: true, force: true }));
  t.equal(sha256(await readFile(String(report.file))), report.sha256, 'the copy that it kept');
  t.ok(String(report.file).startsWith(dataDir), 'it lies in the data folder that it kept');
  t.ok(Number(report.durationMs) > 5_500, `${report.durationMs} ms`);
  t.match(report.legs, [
    { user: 'alice', packets: Number, lost: Number },
    { user: 'bob', packets: Number, lost: Number },
  ]);
  t.ok(Number(report.acceptToRecordingMs) > 0);
  t.ok(Number(report.hangUpToAvailableMs) > 0);
  t.ok((await readFile(join(dataDir, 'recordings', `${report.recordingId}.hdr`))).length > 0);
});

t.test('F54 a canary without a server names the step that failed and exits with 1', async (t) => {
  const { code, output } = await runCommand(canary, ['--url', 'http://localhost:1', '--json']);
  t.equal(code, 1);
  const report = lineOf(output);
  t.strictSame(Object.keys(report), KEYS);
  t.match(report.verdict, /^failed at server: /);
});
