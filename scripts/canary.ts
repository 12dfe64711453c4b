import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { loadConfig } from '#config';
import type { Recording } from '#protocol';
import { dataPaths } from '#store';
import { assertDataFolder } from './lib/data-folder.ts';
import { OperatorError, sentenceOf } from './lib/operator-error.ts';
import type { Name, Person } from './lib/people.ts';
import { openPerson } from './lib/people.ts';
import { compareFrames, probe, sha256 } from './lib/proof.ts';
import { likeness, loudness, speak } from './lib/speech.ts';
import type { TemporaryServer } from './lib/temporary-server.ts';
import { isReady, startTemporaryServer } from './lib/temporary-server.ts';
import { CALL_TOOLS, ensureTools } from './lib/tools.ts';
import { ensureMediaWorker } from './media-worker/ensure.ts';

const HELP = `scripts/canary places one real secure call and proves the recording of it.

  --url URL        on this running server, such as http://localhost:4443 (its demo must be turned on)
  --temporary      on a server of its own, even if one runs here
  --data-dir DIR   where the running server's data lies, to compare the recording with what was captured
  --keep           leave the temporary data folder and the fetched copy behind; else the paths told are gone
  --json           one line of JSON on standard output; progress goes to standard error
  --seconds N      how long the two talk (default 10)

Without --url it uses the server that this clone's configuration describes, when that runs, else a temporary one.

Ends with 0 when the verdict is ok, 1 when it is not, 2 when the options cannot be meant.`;

/** How long the fake microphones' speech is at least. */
const MAX_SECONDS = 30;
/** Speech through Opus, echo cancellation and automatic gain keeps well above this; another voice stays below. */
const LIKENESS_MIN = 0.6;
const LIKENESS_LEAD = 0.15;
const DURATION_TOLERANCE_MS = 500;

interface Report {
  recordingId: string | null;
  dataDir: string | null;
  file: string | null;
  sha256: string | null;
  durationMs: number | null;
  legs: { user: string; packets: number; lost: number }[];
  acceptToRecordingMs: number | null;
  hangUpToAvailableMs: number | null;
  verdict: string;
}

const options = optionsOf();

const report: Report = {
  recordingId: null,
  dataDir: null,
  file: null,
  sha256: null,
  durationMs: null,
  legs: [],
  acceptToRecordingMs: null,
  hangUpToAvailableMs: null,
  verdict: 'not finished',
};
const checked: string[] = [];
/** What was opened, newest last. */
const opened: (() => Promise<void>)[] = [];
let step = 'set-up';
let closing: Promise<void> | undefined;

if (options.help) {
  console.log(HELP);
} else {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.once(signal, () => void closeAll().finally(() => process.exit(code)));
  }
  try {
    await placeCall();
    report.verdict = 'ok';
  } catch (error) {
    report.verdict = `failed at ${step}: ${error instanceof Error ? error.message : String(error)}`;
    process.exitCode = 1;
  } finally {
    await closeAll();
  }
  print();
}

/** What cannot be meant ends with one sentence and 2, before anything is installed or started. */
function optionsOf() {
  try {
    const { values } = parseArgs({
      options: {
        url: { type: 'string' },
        temporary: { type: 'boolean' },
        'data-dir': { type: 'string' },
        keep: { type: 'boolean' },
        json: { type: 'boolean' },
        seconds: { type: 'string', default: '10' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    const seconds = Number(values.seconds);
    if (!(seconds >= 1 && seconds <= MAX_SECONDS))
      throw new OperatorError(`--seconds takes a number from 1 to ${MAX_SECONDS}, got "${values.seconds}".`);
    if (values.url !== undefined && !/^https?:$/.test(URL.parse(values.url)?.protocol ?? ''))
      throw new OperatorError(`--url takes an address such as http://localhost:4443, got "${values.url}".`);
    if (values.temporary && (values.url !== undefined || values['data-dir'] !== undefined))
      throw new OperatorError(
        '--temporary makes a server and a folder of its own: leave --url and --data-dir away.',
      );
    return values;
  } catch (error) {
    process.stderr.write(`${sentenceOf(error)}\n`);
    process.exit(2);
  }
}

async function placeCall(): Promise<void> {
  const seconds = Number(options.seconds);
  if (options['data-dir'] !== undefined) await assertDataFolder(options['data-dir']);

  begin('tools');
  await ensureTools('The canary', CALL_TOOLS, say);
  begin('server');
  const server = await findServer();
  report.dataDir = server.dataDir ?? null;

  begin('speech');
  const folder = await workFolder(server);
  const wav = { alice: join(folder, 'alice.wav'), bob: join(folder, 'bob.wav') };
  await Promise.all([speak('alice', wav.alice), speak('bob', wav.bob)]);

  begin('browsers');
  const [alice, bob] = await Promise.all([open('alice'), open('bob')]);
  async function open(as: Name): Promise<Person> {
    const person = await openPerson({ url: server.url, as, wav: wav[as] });
    opened.push(() => person.close());
    return person;
  }

  begin('call');
  await alice.call('secure');
  begin('accept');
  const acceptedAtMs = await bob.accept();
  begin('recording');
  const recording = await Promise.all([alice.waitStatus('recording'), bob.waitStatus('recording')]);
  report.acceptToRecordingMs = Math.round(Math.max(...recording.map((seen) => seen.atMs)) - acceptedAtMs);
  const [first] = recording;
  const recordingId = first.type === 'call' ? first.call?.recordingId : undefined;
  if (recordingId === undefined) throw new Error('The call is recorded and names no recording.');
  report.recordingId = recordingId;

  begin('talk');
  await delay(seconds * 1000);
  for (const person of [alice, bob]) {
    const { inbound } = await person.stats();
    if (inbound.totalAudioEnergy <= 0) throw new Error(`${person.as} heard nothing of the other side.`);
  }

  begin('hang up');
  const hungUpAtMs = await alice.hangUp();
  begin('available');
  const available = await Promise.all([alice.waitAvailable(recordingId), bob.waitAvailable(recordingId)]);
  report.hangUpToAvailableMs = Math.round(Math.max(...available.map((seen) => seen.atMs)) - hungUpAtMs);

  begin('copies');
  const copy = await fetchCopies([alice, bob], recordingId, seconds);
  const file = join(folder, `${recordingId}.webm`);
  await writeFile(file, copy);
  report.file = file;

  begin('decode');
  await proveSpeech(file, wav);
  begin('frames');
  await proveFrames(copy, server.dataDir, recordingId);
}

interface Server {
  url: string;
  /** Undefined when it is not on this machine. */
  dataDir: string | undefined;
  temporary?: TemporaryServer;
}

async function findServer(): Promise<Server> {
  if (options.url !== undefined) {
    const url = new URL(options.url).origin;
    if (!(await isReady(url))) throw new Error(`No server that is ready answers at ${url}.`);
    return { url, dataDir: options['data-dir'] ?? loadConfig().dataDir };
  }
  if (!options.temporary) {
    const { listen, dataDir } = loadConfig();
    const url = `http://localhost:${listen.port}`;
    if (listen.port !== 0 && (await isReady(url))) {
      say(`Using the server that runs at ${url}.`);
      return { url, dataDir: options['data-dir'] ?? dataDir };
    }
  }
  say('Starting a temporary server.');
  const mediaWorker = await ensureMediaWorker({ log: say });
  const temporary = await startTemporaryServer({ mediaWorker, log: say });
  opened.push(() => temporary.close({ keep: options.keep === true }));
  return { url: temporary.url, dataDir: temporary.dataDir, temporary };
}

/** Where the microphones' speech and the fetched copy lie; inside the data folder of a temporary server. */
async function workFolder({ temporary, dataDir }: Server): Promise<string> {
  if (temporary && dataDir !== undefined) {
    const folder = join(dataDir, 'canary');
    await mkdir(folder, { mode: 0o700 });
    return folder;
  }
  const folder = await mkdtemp(join(tmpdir(), 'verbatim-canary-'));
  if (!options.keep) opened.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Both parties' copies through grants of their own: equal, and what the server says about them is true. */
async function fetchCopies(people: [Person, Person], recordingId: string, seconds: number): Promise<Buffer> {
  const rows = await Promise.all(people.map((person) => person.recordings()));
  const listed = rows.map((list) => list.find((one) => one.id === recordingId));
  const [mine, theirs] = listed;
  if (!mine || !theirs) throw new Error('The recording is not in both lists.');
  if (JSON.stringify(mine) !== JSON.stringify(theirs)) throw new Error('The two lists say different things.');
  report.sha256 = mine.sha256 ?? null;
  report.durationMs = mine.durationMs ?? null;
  report.legs = legsOf(mine);
  // The audio of each side begins a moment before Recording shows, and ends a moment after the click.
  if ((mine.durationMs ?? 0) < seconds * 1000 - DURATION_TOLERANCE_MS)
    throw new Error(`The recording lasts ${mine.durationMs} ms, the two talked ${seconds} s.`);

  const [one, two] = await Promise.all([people[0].download(recordingId), people[1].download(recordingId)]);
  if (!one.equals(two)) throw new Error(`The copies differ: ${one.length} and ${two.length} bytes.`);
  if (sha256(one) !== mine.sha256)
    throw new Error(`The copy has SHA-256 ${sha256(one)}, the server says ${mine.sha256}.`);
  if (one.length !== mine.sizeBytes)
    throw new Error(`The copy has ${one.length} bytes, the server says ${mine.sizeBytes}.`);
  checked.push(`both copies are equal (${one.length} bytes) and have the SHA-256 that the server names`);
  return one;
}

function legsOf({ legs }: Recording): Report['legs'] {
  return (legs ?? []).map(({ userId, packets, lost }) => ({ user: userId, packets, lost }));
}

/** The file decodes, and each channel carries the right person's words. */
async function proveSpeech(file: string, wav: Record<Name, string>): Promise<void> {
  const { codec, channels, durationMs } = await probe(file);
  if (codec !== 'opus' || channels !== 2) throw new Error(`ffprobe sees ${channels} channels of ${codec}.`);
  if (Math.abs(durationMs - (report.durationMs ?? 0)) > DURATION_TOLERANCE_MS)
    throw new Error(`ffprobe sees ${durationMs} ms, the server says ${report.durationMs} ms.`);
  const [left, right] = await Promise.all([loudness(file, 0), loudness(file, 1)]);
  const [alice, bob] = await Promise.all([loudness(wav.alice), loudness(wav.bob)]);
  const figures: string[] = [];
  for (const [channel, heard, own, other] of [
    ['left', left, alice, bob],
    ['right', right, bob, alice],
  ] as const) {
    const [right, wrong] = [likeness(heard, own), likeness(heard, other)];
    figures.push(`${channel} ${right.toFixed(2)}`);
    if (right < LIKENESS_MIN || right < wrong + LIKENESS_LEAD)
      throw new Error(
        `The ${channel} channel is not the right speech: likeness ${right.toFixed(2)}, to the other ${wrong.toFixed(2)}.`,
      );
  }
  checked.push(`it decodes, caller left and callee right (likeness to what was said: ${figures.join(', ')})`);
}

async function proveFrames(copy: Buffer, dataDir: string | undefined, recordingId: string): Promise<void> {
  const there = dataDir !== undefined && existsSync(dataPaths(dataDir).journal(recordingId, 1));
  if (!there && options['data-dir'] !== undefined) {
    report.dataDir = null;
    throw new Error(
      `The recording is not in ${options['data-dir']}: --data-dir takes the data folder of the server that was called.`,
    );
  }
  if (!there) {
    say('The data folder is not on this machine (or name it with --data-dir): frames were not compared.');
    report.dataDir = null;
    return;
  }
  const { frames, faults } = await compareFrames(copy, dataDir, recordingId);
  if (faults.length > 0) throw new Error(`The file is not what was captured: ${faults.join('; ')}.`);
  checked.push(
    `every frame is the captured one, byte for byte (${frames.caller} of the caller, ${frames.callee} of the callee)`,
  );
}

function begin(name: string): void {
  step = name;
  say(name);
}

function say(sentence: string): void {
  process.stderr.write(`- ${sentence}\n`);
}

/** Closes what was opened, newest first; each once, whoever asks. */
function closeAll(): Promise<void> {
  closing ??= (async () => {
    for (const close of opened.reverse())
      await close().catch((error: unknown) =>
        say(`closing: ${error instanceof Error ? error.message : error}`),
      );
  })();
  return closing;
}

function print(): void {
  if (options.json) {
    console.log(JSON.stringify(report));
    return;
  }
  const rows: [string, string][] = [
    ['verdict', report.verdict],
    ...checked.map((one): [string, string] => ['checked', one]),
    ['recording', report.recordingId ?? ''],
    ['duration', `${report.durationMs} ms`],
    ...report.legs.map((leg): [string, string] => [
      `leg ${leg.user}`,
      `${leg.packets} packets, ${leg.lost} lost`,
    ]),
    ['accept to Recording', `${report.acceptToRecordingMs} ms`],
    ['hang-up to Available', `${report.hangUpToAvailableMs} ms`],
    ['SHA-256', report.sha256 ?? ''],
    ['data folder', options.keep || options.url ? (report.dataDir ?? '') : ''],
    ['copy', options.keep ? (report.file ?? '') : ''],
  ];
  for (const [name, value] of rows) {
    if (value !== '' && !value.startsWith('null')) console.log(`${name.padEnd(22)}${value}`);
  }
}
