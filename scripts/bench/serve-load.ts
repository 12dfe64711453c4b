import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { identityToRecipient } from 'age-encryption';
import { loadConfig } from '#config';
import type { DemoToken, Grant } from '#protocol';
import { dataPaths, openSealed, readIdentity } from '#store';
import { finaliseRecording } from '../../recorder-worker/finalise.ts';
import { writeJournal } from '../../recorder-worker/test/journals.ts';
import { openOperatorDatabase } from '../lib/operator-database.ts';
import type { TemporaryServer } from '../lib/temporary-server.ts';
import { startTemporaryServer } from '../lib/temporary-server.ts';
import { findProgram } from '../lib/tools.ts';
import { ensureMediaWorker } from '../media-worker/ensure.ts';
import { generatedRecords } from './generated-call.ts';
import type { Track } from './serve-players.ts';
import { runPlayers } from './serve-players.ts';

const USAGE = `usage: scripts/bench/serve-load [--minutes 60] [--recordings 4] [--players 10,50,200] [--seconds 10] [--nginx PATH]

A real server with hour-long recordings, and players that seek at random in them: each asks for 256 KiB from a random
place under a grant and in a session of its own. "once a second" is how people seek; "at once" leaves no pause, which
shows the most that comes through. Then the same players with nginx, which sends the same files in plain. All of it, the
players as well, on this one machine.
`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    recordings: { type: 'string', default: '4' },
    players: { type: 'string', default: '10,50,200' },
    seconds: { type: 'string', default: '10' },
    nginx: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) process.stdout.write(USAGE);
else await main();

interface Target {
  name: string;
  pids: () => Promise<number[]>;
  tracks: (players: number) => Promise<Track[]>;
}

async function main(): Promise<void> {
  const seconds = whole(values.seconds);
  const counts = values.players.split(',').map(whole);
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-bench-'));
  const closers: (() => Promise<unknown>)[] = [() => rm(dir, { recursive: true, force: true })];
  try {
    const server = await startTemporaryServer({
      mediaWorker: await ensureMediaWorker({ log: () => {} }),
      env: { VERBATIM_LIMITS_REQUESTS_PER_MINUTE: '1000000', VERBATIM_LOG_LEVEL: 'warn' },
    });
    closers.push(() => server.close());
    const plain = join(dir, 'plain');
    await mkdir(plain);
    const recordings = await putRecordings(server, plain);
    const targets: Target[] = [
      {
        name: 'Verbatim',
        pids: async () => [server.process.pid ?? 0],
        tracks: (players) => grantsOf(server, recordings, players),
      },
    ];
    const nginx = await startNginx(dir, plain);
    if (nginx === undefined)
      console.log('nginx is not here (apt-get install nginx-light, or --nginx PATH): left out');
    else {
      closers.push(() => nginx.close());
      targets.push({
        name: 'nginx',
        pids: () => withChildren(nginx.process.pid ?? 0),
        tracks: async () =>
          recordings.map(({ id, sizeBytes }) => ({ url: `${nginx.url}/${id}.webm`, headers: {}, sizeBytes })),
      });
    }
    console.log('\n| server | players | seeking | MB/s | seeks/s | first byte p50 | p99 | memory | failed |');
    console.log('|---|---|---|---|---|---|---|---|---|');
    for (const { name, pids, tracks } of targets) {
      for (const [pace, pauseMs] of [
        ['once a second', 1_000],
        ['at once', 0],
      ] as const) {
        for (const players of counts) {
          const memory = watchMemory(pids);
          const result = await runPlayers(await tracks(players), { players, seconds, pauseMs });
          const mebibytes = await memory.most();
          const { requests, failed, megabytesPerSecond, firstByteP50Ms, firstByteP99Ms } = result;
          console.log(
            `| ${name} | ${players} | ${pace} | ${megabytesPerSecond.toFixed(1)} | ${Math.round(requests / seconds)} | ` +
              `${firstByteP50Ms.toFixed(1)} ms | ${firstByteP99Ms.toFixed(1)} ms | ${mebibytes} MiB | ${failed} |`,
          );
        }
      }
    }
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

interface Put {
  id: string;
  sizeBytes: number;
}

/** Finalises generated calls with the server's own key, enters their rows, and leaves their bytes in plain for nginx. */
async function putRecordings(server: TemporaryServer, plain: string): Promise<Put[]> {
  const paths = dataPaths(server.dataDir);
  const identity = await readIdentity(paths.secrets);
  const recipients = [await identityToRecipient(identity)];
  const db = await openOperatorDatabase(loadConfig({ env: { VERBATIM_DATA_DIR: server.dataDir } }), {
    debug: () => {},
    info: () => {},
    warn: () => {},
  } as never);
  const put: Put[] = [];
  try {
    for (let at = 0; at < whole(values.recordings); at += 1) {
      const id = randomUUID();
      const callId = randomUUID();
      const dir = await mkdtemp(join(plain, '..', 'journal-'));
      const records = generatedRecords(whole(values.minutes));
      const keys = { identity, recipients };
      const { path } = await writeJournal({ dir, keys, recording: id, records });
      const sealed = { pay: paths.pay(id), hdr: paths.hdr(id) };
      const result = await finaliseRecording({ journals: [path], recordingId: id, ...keys, ...sealed });
      if (!result.ok) throw new Error(`${result.reason}: ${result.detail}`);
      await rm(dir, { recursive: true });
      const source = await openSealed({ ...sealed, identity });
      await pipeline(source.stream(), createWriteStream(join(plain, `${id}.webm`)));
      await source.close();
      await db.sql`
        insert into calls (id, app_id, chat_id, mode, caller_id, callee_id, state, end_reason, started_at, ended_at)
        values (${callId}, 'demo', 'alice-and-bob', 'secure', 'alice', 'bob', 'ended', 'hangup', now(), now())`;
      await db.sql`
        insert into recordings (id, call_id, app_id, chat_id, caller_id, callee_id, state, started_at, ended_at,
          duration_ms, size_bytes, sha256, format)
        values (${id}, ${callId}, 'demo', 'alice-and-bob', 'alice', 'bob', 'available', now(), now(),
          ${result.durationMs}, ${result.sizeBytes}, ${result.sha256}, ${result.format})`;
      put.push({ id, sizeBytes: result.sizeBytes });
    }
  } finally {
    await db.close();
  }
  const megabytes = put.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / 1e6;
  console.log(`${put.length} recordings of ${values.minutes} min, ${megabytes.toFixed(1)} MB in all`);
  return put;
}

/** One grant in a session of its own for each player. */
async function grantsOf(
  server: TemporaryServer,
  recordings: readonly Put[],
  players: number,
): Promise<Track[]> {
  const answer = await fetch(`${server.url}/demo/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ as: 'alice' }),
  });
  const { token } = (await answer.json()) as DemoToken;
  const tracks: Track[] = [];
  for (let at = 0; at < players; at += 1) {
    const recording = recordings[at % recordings.length];
    if (recording === undefined) throw new Error('there are no recordings');
    const granted = await fetch(`${server.url}/v1/recordings/${recording.id}/grants`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: '{}',
    });
    if (!granted.ok) throw new Error(`${granted.status}: ${await granted.text()}`);
    const { url } = (await granted.json()) as Grant;
    const cookie = granted.headers.get('set-cookie')?.split(';', 1)[0] ?? '';
    tracks.push({ url: `${server.url}${url}`, headers: { cookie }, sizeBytes: recording.sizeBytes });
  }
  return tracks;
}

/** With a configuration and a prefix of its own; one worker, as the server has one process. */
async function startNginx(
  dir: string,
  root: string,
): Promise<{ url: string; process: ChildProcess; close(): Promise<void> } | undefined> {
  const program = values.nginx ?? findProgram('nginx');
  if (program === undefined) return undefined;
  const port = await freePort();
  const conf = join(dir, 'nginx.conf');
  await mkdir(join(dir, 'logs'), { recursive: true });
  await writeFile(
    conf,
    `daemon off; worker_processes 1; pid ${dir}/nginx.pid; error_log ${dir}/logs/error.log;
user root;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; keepalive_requests 1000000; types { audio/webm webm; }
  client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/fcgi;
  uwsgi_temp_path ${dir}/uwsgi; scgi_temp_path ${dir}/scgi;
  server { listen 127.0.0.1:${port}; root ${root}; }
}
`,
  );
  const child = spawn(program, ['-p', dir, '-c', conf], { stdio: 'inherit' });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  const until = performance.now() + 10_000;
  while (
    !(await fetch(url).then(
      () => true,
      () => false,
    ))
  ) {
    if (performance.now() > until) throw new Error('nginx does not answer');
    await delay(50);
  }
  return {
    url,
    process: child,
    close: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function withChildren(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return [pid, ...children.trim().split(/\s+/).filter(Boolean).map(Number)];
}

/** The most that these processes had in memory, looked at five times a second. */
function watchMemory(pids: () => Promise<number[]>): { most(): Promise<number> } {
  let most = 0;
  const look = async (): Promise<void> => {
    let sum = 0;
    for (const pid of await pids()) {
      const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
      sum += Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
    }
    most = Math.max(most, Math.round(sum / 1024));
  };
  const timer = setInterval(() => void look(), 200);
  return {
    most: async () => {
      await look();
      clearInterval(timer);
      return most;
    },
  };
}

function whole(value: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= 1 && number <= 10_000) return number;
  process.stderr.write(`expected a whole number from 1 to 10000, got ${value}\n${USAGE}`);
  process.exit(2);
}
