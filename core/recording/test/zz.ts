import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { dataPaths, generateServerIdentity } from '#store';
import { openDatabase } from '../../db/index.ts';
import { RecordingService } from '../service.ts';
import { startServers, silent } from './backends.ts';
import { insertCall } from './call.ts';
const servers = await startServers();
const queue = servers.queues.postgresql;
const db = await openDatabase({ url: queue.databaseUrl, log: silent });
const dataDir = await mkdtemp('/tmp/c/zz-');
const paths = dataPaths(dataDir);
await generateServerIdentity(paths.secrets, paths.keys);
const env = { PATH: process.env.PATH, VERBATIM_DATA_DIR: dataDir, VERBATIM_DATABASE_URL: queue.databaseUrl, VERBATIM_LOG_LEVEL: 'info' };
const s1 = await RecordingService.open({ db, queue, dataDir, log: console as any, children: { recorder: false, finaliser: false, env } });
await s1.open(await insertCall(db)).catch((e) => console.log(e.message));
await s1.close();
const s2 = await RecordingService.open({ db, queue, dataDir, log: console as any, children: { recorder: true, finaliser: true, env } });
console.log('recorder', await s2.whenRecorder(10000));
const t0 = performance.now();
const p = s2.open(await insertCall(db)).then((c) => console.log('OK', c.recorder, performance.now() - t0), (e) => console.log('FAIL', e.message));
for (let i = 0; i < 7; i++) {
  await new Promise((r) => setTimeout(r, 400));
  const jobs = await db.sql.unsafe(`select queue, id, state, name, data, processed_on from verbatim_queue.job`);
  console.log(i, JSON.stringify(jobs.map((j: any) => [j.queue, j.id, j.state, j.name])), await readdir(paths.journals), s2.recorders);
}
await p;
await s2.close(); await db.close(); await servers.stop(); await rm(dataDir, { recursive: true });
