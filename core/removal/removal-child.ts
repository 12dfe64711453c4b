/**
 * A process for crash-table.test.ts: carries out one removal on a data folder, as the server does, and prints `done`. What it
 * is to do comes as JSON in TEST_REMOVAL.
 */
import { randomUUID } from 'node:crypto';
import { dataPaths, Ledger } from '#store';
import { openDatabase } from '../db/index.ts';
import { Removal } from './index.ts';

export interface RemovalJob {
  dataDir: string;
  signerDir: string;
  databaseUrl: string;
  cause: 'order' | 'retention';
  /** `ask`: the admins go through all their steps, again where they did before. `start`: only what the server does by itself. */
  by: 'ask' | 'start';
  removalId: string;
  recordingId: string;
  appId: string;
  expiresAt: string;
}

export const ORDER = Buffer.from('In the name of the people: the recording is to be destroyed.');

/** One run of the server, as far as removal is concerned. Answers what it raised alarms about. */
export async function runRemoval(job: RemovalJob): Promise<string[]> {
  const ignore = (): void => undefined;
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const alarms: string[] = [];
  const paths = dataPaths(job.dataDir);
  const db = await openDatabase({ url: job.databaseUrl, log, poolSize: 2 });
  const ledger = await Ledger.open({
    paths,
    signerDir: job.signerDir,
    version: '0.0.0',
    collectMs: 1,
    log,
    onAlarm: (problem) => void alarms.push(problem),
  });
  const removal = new Removal({
    db,
    paths,
    ledger,
    log,
    enabled: true,
    alarms: {
      raise: async (kind, subject, problem) => void alarms.push(`${kind} ${subject}: ${problem}`),
      clear: async () => undefined,
    },
    release: async () => undefined,
    onChanged: ignore,
  });
  try {
    if (job.cause === 'retention') await removal.retention.run();
    else if (job.by === 'start') await removal.orders.resume();
    else await ask(removal, job);
  } finally {
    await removal.close();
    await ledger.close();
    await db.close();
  }
  return alarms;
}

async function ask({ orders }: Removal, job: RemovalJob): Promise<void> {
  const { removalId: id, recordingId, appId, expiresAt } = job;
  const { orderSha256, state } = await orders.request('ada', {
    id,
    appId,
    scope: 'recording',
    target: recordingId,
    authority: 'District Court of Ulm',
    reference: '2 C 17/26',
    basis: 'GDPR Art. 17',
    order: ORDER,
    orderMediaType: 'text/plain',
    gag: false,
    expiresAt: new Date(expiresAt),
  });
  if (state === 'requested') {
    const over = await orders.challenge(id);
    const assertion = {
      id: randomUUID(),
      adminId: 'bob',
      over,
      at: new Date(),
      method: 'passkey',
      proof: {},
    };
    await orders.approve('bob', id, { orderSha256, assertion });
  }
  await orders.execute('ada', id);
}

const { TEST_REMOVAL } = process.env;
if (TEST_REMOVAL !== undefined) {
  const job: RemovalJob = JSON.parse(TEST_REMOVAL);
  await runRemoval(job);
  process.stdout.write('done\n');
}
