import t from 'tap';
import {
  formatCheckpoint,
  formatProof,
  generateLogKey,
  leafHash,
  openSigner,
  rootOf,
  signNote,
} from '#ledger';
import { verifyBundle } from '../../client/verify/index.ts';
import { testDatabase } from '../db/fixture.ts';
import { BundleFolder, pack, unpack } from './bundle-fixture.ts';

const db = await testDatabase(t);
const ours = await BundleFolder.open(db, t.testdir());
t.teardown(() => ours.close());
const { call } = await ours.call();
const files = unpack(await ours.bundle(call.recordingId));
const { origin, vkey } = ours.folder.ledger;
const forger = openSigner(generateLogKey(origin).skey);
const genuine = String(files.get('ledger.vkeys'));
const lists = [`${forger.vkey}\n${genuine}`, `${genuine}${forger.vkey}\n`];

/** The bundle with `final` entered in a log of the forger's own, under the name of the real one. */
function forgedLog(final: Buffer): Map<string, Buffer> {
  const forged = new Map(files).set('entries/rec-final.json', final);
  const names = ['consent-caller', 'consent-callee', 'rec-final'];
  const leaves = names.map((name) => leafHash(forged.get(`entries/${name}.json`) ?? Buffer.alloc(0)));
  const [caller, callee, last] = leaves;
  if (caller === undefined || callee === undefined || last === undefined) throw new Error('three leaves');
  const note = signNote(formatCheckpoint({ origin, size: 3, root: rootOf(leaves) }), [forger]);
  forged.set('checkpoint', Buffer.from(note));
  const paths = [[callee, last], [caller, last], [rootOf([caller, callee])]];
  for (const [index, name] of names.entries()) {
    const proof = formatProof({ index, hashes: paths[index] ?? [], checkpoint: note });
    forged.set(`proofs/${name}.tlog-proof`, Buffer.from(proof));
  }
  return forged;
}

t.test(
  'F38: a forger’s own log is shown with the forger’s key, wherever the real one is listed',
  async (t) => {
    const final = Buffer.from(String(files.get('entries/rec-final.json')).replace('"ts":"20', '"ts":"19'));
    for (const list of lists) {
      const report = await verifyBundle(pack(forgedLog(final).set('ledger.vkeys', Buffer.from(list))));
      t.equal(report.ok, true, 'nothing in the bundle says which key is the real one');
      t.same(new Set(report.facts?.vkeys), new Set([vkey, forger.vkey]), 'so everybody who signed is named');
      t.match(report.checks.find(({ check }) => check === 'log-key')?.detail, forger.vkey);
      const alone = forgedLog(final).set('ledger.vkeys', Buffer.from(list));
      alone.delete('receipts/epoch-1');
      alone.set('vcon.json', vconBy('ann'));
      t.same((await verifyBundle(pack(alone))).facts?.vkeys, [forger.vkey]);
    }
  },
);

t.test('F38: an entry that says less than it must is a finding, not a crash', async (t) => {
  for (const name of ['startedAt', 'endedAt', 'durationMs', 'holes', 'legs', 'consents']) {
    const entry: { d: Record<string, unknown> } = JSON.parse(String(files.get('entries/rec-final.json')));
    delete entry.d[name];
    const forged = forgedLog(Buffer.from(JSON.stringify(entry))).set(
      'ledger.vkeys',
      Buffer.from(lists[0] ?? ''),
    );
    t.equal((await verifyBundle(pack(forged))).ok, false, name);
  }
});

t.test('F38: a key that is only listed vouches for nothing and is not shown', async (t) => {
  for (const list of lists) {
    const report = await verifyBundle(pack(new Map(files).set('ledger.vkeys', Buffer.from(list))));
    t.same(report.facts?.vkeys, [vkey]);
  }
});

t.test('F38: who signed only the vCon is shown as well', async (t) => {
  const changed = new Map(files).set('ledger.vkeys', Buffer.from(lists[0] ?? ''));
  const report = await verifyBundle(pack(changed.set('vcon.json', vconBy('ann'))));
  t.same(report.facts?.vkeys, [forger.vkey, vkey]);
  const other = await verifyBundle(pack(changed.set('vcon.json', vconBy('eve'))));
  t.same(
    other.checks.filter(({ ok }) => !ok).map(({ check }) => check),
    ['vcon'],
    'and it must name the people of the consents',
  );
});

/** The vCon of this recording with another caller, signed by the forger. */
function vconBy(caller: string): Buffer {
  const jws = JSON.parse(String(files.get('vcon.json')));
  const vcon = JSON.parse(Buffer.from(jws.payload, 'base64url').toString());
  vcon.parties[0].name = caller;
  const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const header = encoded({ alg: 'EdDSA', kid: `${forger.name}+${forger.keyHash}` });
  const payload = encoded(vcon);
  const signature = forger.sign(`${header}.${payload}`).toString('base64url');
  return Buffer.from(JSON.stringify({ payload, signatures: [{ protected: header, signature }] }));
}
