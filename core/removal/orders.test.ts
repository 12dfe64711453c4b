import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compactVerify, importJWK } from 'jose';
import t from 'tap';
import { sealFile } from '#store';
import { testDatabase, testDir } from '../db/fixture.ts';
import { changeRecording, recordingById } from '../db/recordings.ts';
import { auditFolder } from '../evidence/audit.ts';
import { MadeFolder } from '../evidence/audit-fixture.ts';
import type { Kept } from './fixture.ts';
import { keptRecording, tracesOf } from './fixture.ts';
import type { OrderRequest, StepUpAssertion } from './index.ts';
import { Removal } from './index.ts';

t.setTimeout(240_000);

const db = await testDatabase(t);
const root = await testDir(t);
const folder = await MadeFolder.open(db, join(root, 'data'));
t.teardown(() => folder.close());
const { paths, signerDir, ledger } = folder;
const ignore = (): void => undefined;
const DAY_MS = 86_400_000;
let nowMs = Date.now();
const parts = {
  db,
  paths,
  ledger,
  alarms: { raise: async () => undefined, clear: async () => undefined },
  log: { info: ignore, warn: ignore, error: ignore },
  release: async () => undefined,
  onChanged: ignore,
  now: () => new Date(nowMs),
};
const removal = new Removal({ ...parts, enabled: true });
t.teardown(() => removal.close());
const { orders, holds } = removal;

const DOCUMENT = Buffer.from('%PDF-1.7 In the name of the people: the recording is to be destroyed.');
const SHA256 = 'b7d1c3d6c4e0';

function requestOf({ call }: Kept, more: Partial<OrderRequest> = {}): OrderRequest {
  return {
    id: randomUUID(),
    appId: call.appId,
    scope: 'recording',
    target: call.recordingId,
    authority: 'District Court of Ulm',
    reference: '2 C 17/26',
    basis: 'GDPR Art. 17',
    order: DOCUMENT,
    orderMediaType: 'application/pdf',
    gag: false,
    expiresAt: new Date(nowMs + 30 * DAY_MS),
    ...more,
  };
}

async function stepUp(
  admin: string,
  id: string,
  more: Partial<StepUpAssertion> = {},
): Promise<StepUpAssertion> {
  return {
    id: randomUUID(),
    adminId: admin,
    over: await orders.challenge(id),
    at: new Date(nowMs),
    method: 'passkey',
    proof: { credential: 'c1', signature: 'c2ln' },
    ...more,
  };
}

/** Requested by Ada. */
async function requested(kept: Kept, more: Partial<OrderRequest> = {}) {
  const request = requestOf(kept, more);
  const row = await orders.request('ada', request);
  return { request, id: row.id, orderSha256: row.orderSha256 };
}

async function approved(kept: Kept, more: Partial<OrderRequest> = {}) {
  const made = await requested(kept, more);
  const { id, orderSha256 } = made;
  await orders.approve('bob', id, { orderSha256, assertion: await stepUp('bob', id) });
  return made;
}

const entriesOf = async (
  sub: string,
): Promise<{ t: string; actor: { id?: string }; d: Record<string, unknown> }[]> =>
  (await ledger.entriesOf(sub)).map(({ bytes }) => JSON.parse(bytes.toString()));
const faultsOf = async () =>
  (await auditFolder({ dataDir: paths.dataDir, signerDir })).findings.filter(
    ({ severity }) => severity === 'fault',
  );

t.test(
  'F41 two people remove a recording under an order: no trace of it stays, and what was done does',
  async (t) => {
    const kept = await keptRecording(db, folder);
    const { recordingId } = kept.call;
    const { request, id, orderSha256 } = await requested(kept);
    t.match(await orders.request('ada', request), { id, state: 'requested' }, 'asked again, it is found');
    t.notOk((await readFile(paths.order(id).pay)).includes('destroyed'), 'the document is sealed');
    t.same(await orders.document(id), DOCUMENT);
    const assertion = await stepUp('bob', id);
    t.match(await orders.approve('bob', id, { orderSha256, assertion }), {
      state: 'approved',
      approvedBy: 'bob',
    });
    t.match(await recordingById(db, recordingId), { state: 'available' }, 'nothing has gone yet');
    const [first, second] = await Promise.all([orders.execute('ada', id), orders.execute('bob', id)]);
    t.match(
      [first, second],
      [
        { state: 'done', executedBy: 'ada' },
        { state: 'done', executedBy: 'ada' },
      ],
      'twice at once',
    );
    t.match(await orders.execute('ada', id), { state: 'done' }, 'and once more');

    t.same(await tracesOf(kept.needles, { dirs: [paths.dataDir, signerDir], db }), []);
    t.match(await recordingById(db, recordingId), { state: 'removed', reason: '2 C 17/26' });
    t.same(await faultsOf(), []);
    t.match(
      (await entriesOf(`removal:${id}`)).map(({ t, actor }) => [t, actor.id]),
      [
        ['removal.request', 'ada'],
        ['removal.approve', 'bob'],
        ['removal.exec', 'ada'],
        ['removal.done', undefined],
      ],
    );
    const own = (await entriesOf(`rec:${recordingId}`)).slice(-2);
    t.match(own, [
      { t: 'removal.exec', d: { cause: 'order', removal: id } },
      { t: 'removal.done', d: { removal: id, absent: { files: 0 } } },
    ]);
    t.notMatch(
      JSON.stringify(own),
      /17\/26|Ulm/,
      'what the order says is not among what its parties may read',
    );
  },
);

t.test(
  'F41 the certificate of a removal is signed by the ledger’s key and names what proves it',
  async (t) => {
    const kept = await keptRecording(db, folder);
    const { id } = await approved(kept);
    await t.rejects(orders.certificate(id), { code: 'conflict' }, 'not before it is done');
    await orders.execute('bob', id);
    const text = await orders.certificate(id);
    const { payload, signatures } = JSON.parse(text);
    const key = Buffer.from(ledger.vkey.split('+').slice(2).join('+'), 'base64').subarray(1);
    const jwk = await importJWK({ kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url') }, 'EdDSA');
    const jws = `${signatures[0].protected}.${payload}.${signatures[0].signature}`;
    const verified = await compactVerify(jws, jwk);
    const statement = JSON.parse(Buffer.from(verified.payload).toString());
    t.match(statement, {
      removal: id,
      log: ledger.origin,
      reference: '2 C 17/26',
      requested: { by: 'ada' },
      approved: { by: 'bob' },
      executed: { by: 'bob' },
      recordings: [
        {
          recording: kept.call.recordingId,
          state: 'removed',
          entries: [{ t: 'removal.exec' }, { t: 'removal.done' }],
        },
      ],
    });
    t.equal(statement.entries.length, 4);
    await t.rejects(compactVerify(`${jws.slice(0, -4)}AAAA`, jwk), 'and a changed one does not verify');
  },
);

t.test('F41 an order that forbids it tells the parties no reference', async (t) => {
  const kept = await keptRecording(db, folder);
  const { id } = await approved(kept, { gag: true });
  await orders.execute('bob', id);
  t.match(await recordingById(db, kept.call.recordingId), { state: 'removed', reason: null });
  const events = await db.sql<{ data: object }[]>`
    select data from webhook_events where app_id = ${kept.call.appId} and type = 'recording.removed'`;
  t.equal(events.length, 1);
  t.notMatch(JSON.stringify(events), /17\/26/);
});

t.test('F41 what must not be approved is refused, and nothing is entered of it', async (t) => {
  const kept = await keptRecording(db, folder);
  const { id, orderSha256 } = await requested(kept);
  const other = await requested(kept);
  const good = () => stepUp('bob', id);
  const used = await stepUp('bob', other.id);
  await orders.approve('bob', other.id, { orderSha256, assertion: used });
  const refusals: [string, string, () => Promise<StepUpAssertion>, string, string][] = [
    ['by who requested it', 'ada', () => stepUp('ada', id), orderSha256, 'forbidden'],
    ['with a step-up of somebody else', 'bob', () => stepUp('eve', id), orderSha256, 'forbidden'],
    [
      'with one over another removal',
      'bob',
      async () => stepUp('bob', id, { over: await orders.challenge(other.id) }),
      orderSha256,
      'forbidden',
    ],
    [
      'with one that was used',
      'bob',
      async () => ({ ...used, over: await orders.challenge(id) }),
      orderSha256,
      'forbidden',
    ],
    [
      'with one of ten minutes ago',
      'bob',
      () => stepUp('bob', id, { at: new Date(nowMs - 600_000) }),
      orderSha256,
      'forbidden',
    ],
    [
      'with one of a time to come',
      'bob',
      () => stepUp('bob', id, { at: new Date(nowMs + 600_000) }),
      orderSha256,
      'forbidden',
    ],
    ['of another document', 'bob', good, SHA256, 'conflict'],
  ];
  for (const [name, actor, assertion, sha256, code] of refusals)
    await t.rejects(
      orders.approve(actor, id, { orderSha256: sha256, assertion: await assertion() }),
      { code },
      name,
    );

  const { pay, hdr } = paths.order(id);
  const kept1 = [await readFile(pay), await readFile(hdr)] as const;
  await sealFile({ plaintext: Buffer.from('another order'), pay, hdr, recipients: [await recipient()] });
  await t.rejects(
    orders.approve('bob', id, { orderSha256, assertion: await good() }),
    { code: 'conflict' },
    'a document that was put in its place',
  );
  await writeFile(pay, kept1[0]);
  await writeFile(hdr, kept1[1]);
  await db.sql`update removals set basis = 'none at all' where id = ${id}`;
  await t.rejects(
    orders.approve('bob', id, { orderSha256, assertion: await good() }),
    { code: 'conflict' },
    'a row that was changed',
  );
  await db.sql`update removals set basis = 'GDPR Art. 17' where id = ${id}`;

  nowMs += 31 * DAY_MS;
  await t.rejects(
    orders.approve('bob', id, { orderSha256, assertion: await good() }),
    { code: 'conflict' },
    'an order that has expired',
  );
  await t.rejects(orders.execute('bob', other.id), { code: 'conflict' }, 'nor is one executed that has');
  nowMs -= 31 * DAY_MS;
  t.same(
    (await entriesOf(`removal:${id}`)).map(({ t }) => t),
    ['removal.request'],
  );
  t.match(await recordingById(db, kept.call.recordingId), { state: 'available' });
});

async function recipient(): Promise<string> {
  return (await readFile(paths.recipients, 'utf8')).trim();
}

t.test(
  'F41 an order is executed neither before its time, nor unapproved, nor where it is turned off',
  async (t) => {
    const kept = await keptRecording(db, folder);
    const plain = await requested(kept);
    await t.rejects(orders.execute('ada', plain.id), { code: 'conflict' }, 'not approved');
    const early = await approved(kept, { notBefore: new Date(nowMs + DAY_MS) });
    await t.rejects(orders.execute('ada', early.id), { code: 'conflict', message: /not before/ });
    const cooling = await approved(kept, { coolingOffMs: DAY_MS });
    await t.rejects(orders.execute('ada', cooling.id), { code: 'conflict', message: /cooling off/ });
    const off = new Removal({ ...parts, enabled: false });
    t.teardown(() => off.close());
    for (const refused of [
      () => off.orders.request('ada', requestOf(kept)),
      async () =>
        off.orders.approve('bob', plain.id, {
          orderSha256: plain.orderSha256,
          assertion: await stepUp('bob', plain.id),
        }),
      () => off.orders.execute('ada', early.id),
    ])
      await t.rejects(refused(), { code: 'removal_disabled' });
    t.match(await recordingById(db, kept.call.recordingId), { state: 'available' });
    nowMs += 2 * DAY_MS;
    t.match(await orders.execute('ada', cooling.id), { state: 'done' }, 'and when its time has come it is');
    nowMs -= 2 * DAY_MS;
  },
);

t.test(
  'F42 a hold on one call stops the removal of its whole chat, by name, until two have released it',
  async (t) => {
    const kept = await keptRecording(db, folder);
    const { appId, chatId, callId } = kept.call;
    const hold = {
      id: randomUUID(),
      appId,
      scope: 'call',
      target: callId,
      reason: 'another lawsuit',
    } as const;
    const { id } = await approved(kept, { scope: 'chat', target: chatId });
    await holds.set('eve', hold);
    await t.rejects(orders.execute('ada', id), { code: 'held', message: new RegExp(hold.id) });
    const second = await requested(kept, { scope: 'chat', target: chatId });
    const assertion = await stepUp('bob', second.id);
    await t.rejects(orders.approve('bob', second.id, { orderSha256: second.orderSha256, assertion }), {
      code: 'held',
    });
    await holds.release('eve', hold.id, 'settled');
    await t.rejects(orders.execute('ada', id), { code: 'held' }, 'one word does not release it');
    await holds.release('ada', hold.id, 'settled');
    t.match(await orders.execute('ada', id), { state: 'done' }, 'removal after its hold');
    t.match(await recordingById(db, kept.call.recordingId), { state: 'removed' });
  },
);

t.test('F41 a recording that is being finalised goes when it is finished', async (t) => {
  const kept = await keptRecording(db, folder);
  const { recordingId } = kept.call;
  const report = (await recordingById(db, recordingId))?.report;
  if (report == null) throw new Error('no report');
  await db.sql`update recordings set state = 'processing' where id = ${recordingId}`;
  const { id } = await approved(kept);
  t.match(await orders.execute('ada', id), { state: 'executing' });
  t.match(await recordingById(db, recordingId), { state: 'processing' }, 'the finaliser works on');
  await orders.resume();
  t.match(await orders.get(id), { state: 'executing' });
  await changeRecording(db, recordingId, { to: 'available', result: report, entryIndex: 1 });
  await orders.resume();
  t.match(await orders.get(id), { state: 'done' });
  t.same(await tracesOf(kept.needles, { dirs: [paths.dataDir], db }), []);
});

t.test('F41 what is asked for wrongly is refused before anything is kept', async (t) => {
  const kept = await keptRecording(db, folder);
  const refusals: [Partial<OrderRequest>, string][] = [
    [{ order: Buffer.alloc(0) }, 'bad_request'],
    [{ authority: ' ' }, 'bad_request'],
    [{ reference: 'x'.repeat(501) }, 'bad_request'],
    [{ expiresAt: new Date(nowMs - 1) }, 'bad_request'],
    [{ notBefore: new Date(nowMs + 60 * DAY_MS) }, 'bad_request'],
    [{ coolingOffMs: -1 }, 'bad_request'],
    [{ target: randomUUID() }, 'not_found'],
    [{ scope: 'chat', target: 'nowhere' }, 'not_found'],
    [{ appId: 'another' }, 'not_found'],
  ];
  for (const [more, code] of refusals)
    await t.rejects(
      orders.request('ada', requestOf(kept, more)),
      { code },
      JSON.stringify(more).slice(0, 60),
    );
  const { request } = await requested(kept);
  for (const changed of [{ reference: 'another' }, { order: Buffer.from('another') }])
    await t.rejects(orders.request('ada', { ...request, ...changed }), { code: 'conflict' });
  await t.rejects(orders.request('eve', request), { code: 'conflict' }, 'the id is Ada’s');
});
