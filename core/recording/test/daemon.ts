/**
 * A daemon to be killed: told over IPC where its folder and queue are, it begins two recordings, lets one of them hear
 * both legs, and says so. It never stops anything.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { openDatabase } from '../../db/index.ts';
import type { NewRecording } from '../../db/recordings.ts';
import type { QueueSettings } from '../backend.ts';
import { RecordingService } from '../service.ts';
import { silent } from './backends.ts';
import { MediaSide } from './call.ts';
import { noEvidence } from './no-evidence.ts';

export interface DaemonOrder {
  dataDir: string;
  queue: QueueSettings;
  env: NodeJS.ProcessEnv;
  spoken: NewRecording;
  unheard: NewRecording;
}

if (process.send !== undefined)
  process.once('message', (order: DaemonOrder) => {
    void run(order);
  });

async function run({ dataDir, queue, env, spoken, unheard }: DaemonOrder): Promise<void> {
  const db = await openDatabase({ url: queue.databaseUrl, log: silent });
  const children = { recorder: true, finaliser: true, env };
  const service = await RecordingService.open({
    db,
    evidence: noEvidence,
    queue,
    dataDir,
    log: silent,
    children,
  });
  const media = await MediaSide.open();
  // On a busy machine the worker process takes longer to start than a call waits.
  await service.whenRecorder(20_000);
  const capturing = new Promise((resolve) => service.once('changed', resolve));
  const capture = await service.open(spoken);
  await capture.start(media.source, media.legs);
  media.talk(capture.recorder);
  await capture.armed;
  await capturing;
  await service.open(unheard);
  while (media.sentPerLeg < 100) await delay(20);
  process.send?.('recording');
}
