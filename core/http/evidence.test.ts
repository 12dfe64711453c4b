import { randomBytes, randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import t from 'tap';
import {
  leafHash,
  openNote,
  openVerifier,
  parseCheckpoint,
  parseEntry,
  parseProof,
  receiptText,
  verifyConsistency,
  verifyInclusion,
} from '#ledger';
import type { ConsistencyProof, RecordingEvidence } from '#protocol';
import { openAlarms } from '../db/alarms.ts';
import { testDatabase } from '../db/fixture.ts';
import { agree, noteText, sealedRow, testCall } from '../evidence/fixture.ts';
import type { HttpFixture } from './fixture.ts';
import { httpFixture } from './fixture.ts';
import { HTTP_LIMITS } from './limits.ts';

const db = await testDatabase(t);

/** A finished recording of ann and ben, and the tokens of both and of somebody else. */
async function finished(t: Test) {
  const server = await httpFixture(t, db);
  const made = await testCall(db);
  await agree(server.evidence, db, made);
  const { call } = made;
  const index = await server.evidence.evidence.final(await sealedRow(db, call));
  const app = await server.addKey(call.appId);
  const other = await server.addApp(`other-${randomUUID()}`);
  const tokens = {
    ann: await app.user('ann'),
    ben: await app.user('ben'),
    eve: await app.user('eve'),
    stranger: await other.user('ann'),
  };
  return { ...server, call, index, tokens, app };
}

const get = (server: HttpFixture, path: string, authorization?: string) =>
  server.http.inject({ url: path, ...(authorization === undefined ? {} : { headers: { authorization } }) });

t.test('F38 everybody may read the ledger’s head, keys and hashes, and nobody its entries', async (t) => {
  const server = await finished(t);
  const note = await get(server, '/v1/ledger/checkpoint');
  t.equal(note.headers['content-type'], 'text/plain; charset=utf-8');
  const vkeys = await get(server, '/v1/ledger/vkeys');
  t.equal(vkeys.body, `${server.evidence.ledger.vkey}\n`);
  const { text } = openNote(note.body, [openVerifier(vkeys.body.trim())]);
  const { size, root } = parseCheckpoint(text);
  t.ok(size > (server.index ?? 0));
  const tile = await get(server, `/v1/ledger/tile/0/000.p/${size}`);
  t.equal(tile.statusCode, 200);
  t.equal(tile.headers['content-type'], 'application/octet-stream');
  t.equal(tile.rawPayload.length, size * 32);
  const leaf = tile.rawPayload.subarray(32, 64);
  t.same(leaf, leafHash(await server.evidence.ledger.entry(1)), 'a hash of the tile is that of the entry');
  const proof = (await get(server, `/v1/ledger/consistency?from=1&to=${size}`)).json<ConsistencyProof>();
  verifyConsistency({
    from: 1,
    to: size,
    fromRoot: tile.rawPayload.subarray(0, 32),
    toRoot: root,
    proof: proof.proof.map((hash) => Buffer.from(hash, 'base64')),
  });
  for (const path of [
    'entries/000',
    `entries/000.p/${size}`,
    '0/001',
    '..%2Fcheckpoint',
    '0/..%2F..%2Fcheckpoint',
    '0%2F000',
    `${'x000/'.repeat(9)}000`,
  ]) {
    const answer = await get(server, `/v1/ledger/tile/${path}`);
    t.ok([400, 404].includes(answer.statusCode) || path === '0%2F000', `${path}: ${answer.statusCode}`);
    t.notOk(answer.body.includes('call.consent'), path);
  }
  for (const query of ['from=2&to=1', `from=1&to=${size + 1}`, 'from=-1&to=1', 'from=1', 'from=1&to=1e3&x=1'])
    t.equal((await get(server, `/v1/ledger/consistency?${query}`)).statusCode, 400, query);
});

t.test('F20 F38 both parties read the same evidence of their recording, with proofs that hold', async (t) => {
  const server = await finished(t);
  const { recordingId, callId } = server.call;
  const head = 'ab'.repeat(32);
  await server.evidence.evidence.heads([{ recordingId, callId, epoch: 1, seq: 3, head }]);
  const path = `/v1/recordings/${recordingId}/evidence`;
  const [mine, theirs] = await Promise.all([
    get(server, path, server.tokens.ann),
    get(server, path, server.tokens.ben),
  ]);
  t.equal(mine.statusCode, 200);
  t.equal(mine.headers['cache-control'], 'private, no-store');
  t.equal(mine.body, theirs.body);
  const evidence = mine.json<RecordingEvidence>();
  t.same(
    evidence.entries.map(({ entry }) => parseEntry(Buffer.from(entry, 'base64')).id),
    ['consent.caller', 'consent.callee', 'rec.final'],
  );
  for (const { index, entry, proof } of evidence.entries) {
    const { hashes, checkpoint, ...rest } = parseProof(proof);
    t.equal(rest.index, index);
    openNote(checkpoint, [openVerifier(evidence.vkey)]);
    const { size, root } = parseCheckpoint(noteText(checkpoint));
    verifyInclusion({ index, size, root, leaf: leafHash(Buffer.from(entry, 'base64')), proof: hashes });
  }
  t.match(evidence.receipts, [{ epoch: 1, seq: 3, head, note: String }]);
});

t.test('F30 for anybody else a recording has no evidence, as if it did not exist', async (t) => {
  const server = await finished(t);
  const id = server.call.recordingId;
  const body = { note: 'x' };
  for (const [who, authorization] of Object.entries(server.tokens).slice(2)) {
    for (const [method, url] of [
      ['GET', '/evidence'],
      ['GET', '/chain/1?after=0'],
      ['POST', '/mismatch'],
    ] as const) {
      const ask = (recordingId: string) =>
        server.http.inject({
          method,
          url: `/v1/recordings/${recordingId}${url}`,
          headers: { authorization },
          ...(method === 'POST' ? { body } : {}),
        });
      const [foreign, unknown] = [await ask(id), await ask(randomUUID())];
      t.equal(foreign.statusCode, 404, `${who} ${url}`);
      t.equal(foreign.body, unknown.body, 'in the same words');
    }
  }
  const path = `/v1/recordings/${id}/evidence`;
  t.equal((await get(server, path)).statusCode, 401);
  t.equal((await get(server, path, server.app.server)).statusCode, 401, 'nor for the app’s own server');
});

t.test('F36 a report of a head that does not fit is answered with what the server finds', async (t) => {
  const server = await finished(t);
  const { recordingId, callId } = server.call;
  const { ledger, alarms } = server.evidence;
  const post = (note: string) =>
    server.http.inject({
      method: 'POST',
      url: `/v1/recordings/${recordingId}/mismatch`,
      headers: { authorization: server.tokens.ben },
      body: { note },
    });
  const note = ledger.sign(
    receiptText({
      origin: ledger.origin,
      recordingId,
      callId,
      epoch: 1,
      seq: 99,
      head: randomBytes(32).toString('hex'),
      at: new Date().toISOString(),
    }),
  );
  const confirmed = await post(note);
  t.equal(confirmed.statusCode, 200);
  t.same(confirmed.json(), { confirmed: true });
  t.match(await openAlarms(db, 10), [{ kind: 'receipt_mismatch', subject: recordingId }]);
  await alarms.clear('receipt_mismatch', recordingId);
  t.equal((await post('not a note')).statusCode, 400);
  t.same(await openAlarms(db, 10), []);
  const answers = [];
  for (let time = 0; time < HTTP_LIMITS.mismatchesPerWindow; time += 1) answers.push(await post('x'));
  t.equal(answers.at(-1)?.statusCode, 429, 'and not asked for ever');
});

t.test('the new routes are in the OpenAPI description with who may use them', async (t) => {
  const server = await httpFixture(t, db);
  const { paths } = (await get(server, '/v1/openapi.json')).json<{
    paths: Record<string, Record<string, { security?: unknown }>>;
  }>();
  t.ok(paths['/v1/ledger/checkpoint']?.get);
  t.notOk(paths['/v1/ledger/checkpoint']?.get?.security);
  for (const [path, method] of [
    ['/v1/recordings/{id}/evidence', 'get'],
    ['/v1/recordings/{id}/chain/{epoch}', 'get'],
    ['/v1/recordings/{id}/mismatch', 'post'],
  ] as const)
    t.same(paths[path]?.[method]?.security, [{ userToken: [] }], path);
});
