import type { Page } from 'playwright-core';
import type { Test } from 'tap';
import t from 'tap';
import { generateLogKey, openSigner } from '#ledger';
import type { HeadReceipt } from '#protocol';
import { builtClient, launch, newPage } from '../test/browser.ts';
import { RECORDING_ID, TestJournal, TestLog } from '../test/log.ts';
import { CALL_ID, callView, signedIn, startScript } from '../test/scripted-server.ts';
import type { ClientEvents, VerbatimClient } from './index.ts';

/** What a browser keeps of a call and holds the server to: a real browser, real signatures, a server that may cheat. */

declare const window: { client: VerbatimClient; log: [keyof ClientEvents, unknown][] };

// A browser page for each; the machine may be busy.
t.setTimeout(120_000);
const client = await builtClient();
const script = await startScript(client.dir);
const browser = await launch();
t.teardown(async () => {
  await browser.close();
  await script.close();
  await client.remove();
});

/** A server with a log of three entries, one journal of 20 blocks and nothing that is wrong. */
function honest() {
  script.reset();
  const log = new TestLog();
  for (let entry = 0; entry < 3; entry += 1) log.add();
  const journal = new TestJournal(20);
  const server = { log, journal, state: 'capturing', reason: undefined as string | undefined };
  const reports: unknown[] = [];
  script.on('session.start', () => signedIn({ ledger: server.log.info() }));
  const path = `/v1/recordings/${RECORDING_ID}`;
  script.route(`GET ${path}`, () => ({
    status: 200,
    body: { id: RECORDING_ID, callId: CALL_ID, state: server.state, reason: server.reason },
  }));
  script.route('GET /v1/ledger/checkpoint', () => ({ status: 200, body: server.log.checkpoint() }));
  script.route('GET /v1/ledger/consistency', (_, { query }) =>
    server.log.consistency(Number(query.get('from')), Number(query.get('to'))),
  );
  script.route(`GET ${path}/chain/1`, (_, { query }) => {
    const after = Number(query.get('after'));
    return { status: 200, body: { epoch: 1, after, blocks: server.journal.after(after) } };
  });
  script.route(`POST ${path}/mismatch`, (_, { sent }) => {
    reports.push(sent);
    return { status: 200, body: { confirmed: true } };
  });
  const finish = (last = journal.last()): void => {
    const index = server.log.add('rec.final', { call: CALL_ID, journals: [{ epoch: 1, ...last }] });
    server.state = 'available';
    script.route(`GET ${path}/evidence`, async () => ({
      status: 200,
      body: await server.log.evidence([0, index]),
    }));
  };
  const tell = (state: string): void =>
    script.notify('recording.changed', {
      recordingId: RECORDING_ID,
      callId: CALL_ID,
      chatId: 'chat-1',
      state,
    });
  return { server, log, journal, reports, path, finish, tell };
}

async function open(t: Test, init?: () => void): Promise<Page> {
  const { page, errors, close } = await newPage(browser, script.url, {});
  t.teardown(async () => {
    await close();
    if (errors.length > 0) throw new Error(`the page reported ${errors.join('; ')}`);
  });
  if (init) await page.addInitScript(init);
  await connect(page);
  return page;
}

/** Loads the page anew, as a reload does, and signs in. */
async function connect(page: Page): Promise<void> {
  await page.goto(script.url);
  await page.evaluate(async (url) => {
    const { VerbatimClient } = await import(`${url}/sdk/verbatim.js`);
    window.log = [];
    window.client = new VerbatimClient({ url, token: 'token' });
    for (const name of ['receipt', 'evidence', 'ledger', 'interrupted', 'trouble'] as const) {
      window.client.on(name, (payload) => window.log.push([name, payload]));
    }
    await window.client.connect();
  }, script.url);
}

/** The payload of the `count`th event of this name, past or future. */
async function event(page: Page, name: keyof ClientEvents, count = 1): Promise<unknown> {
  const handle = await page.waitForFunction(
    ([name, count]) => {
      const found = window.log.filter(([each]) => each === name)[count - 1];
      return found && { payload: found[1] };
    },
    [name, count] as const,
  );
  return (await handle.jsonValue())?.payload;
}

async function receive(page: Page, receipt: HeadReceipt, count = 1): Promise<unknown> {
  script.notify('recording.receipt', receipt);
  return event(page, 'receipt', count);
}

const kept = (page: Page) => page.evaluate((id) => window.client.evidence(id), RECORDING_ID);
const checked = (page: Page) => page.evaluate((id) => window.client.checkEvidence(id), RECORDING_ID);
const events = (page: Page, name: string) =>
  page.evaluate((name) => window.log.filter(([each]) => each === name).map(([, what]) => what), name);

t.test('F36 the newest head is kept across a reload, and the finished recording fits it', async (t) => {
  const { log, journal, finish, tell, reports } = honest();
  const page = await open(t);
  t.match(await receive(page, log.receipt(journal.at(3))), { seq: 3, verified: true });
  t.match(await receive(page, log.receipt(journal.at(14)), 2), { seq: 14 });
  script.notify('recording.receipt', log.receipt(journal.at(9)));
  t.equal(await page.evaluate(() => window.client.evidencePersists()), true);
  await connect(page);
  t.match(await kept(page), { receipts: [{ seq: 14, head: journal.heads[14], verified: true }] });
  t.equal((await kept(page))?.verdict, undefined, 'it is not finished');
  finish();
  tell('available');
  t.strictSame(await event(page, 'evidence'), { recordingId: RECORDING_ID, verdict: 'confirmed' });
  await connect(page);
  t.match(await kept(page), { verdict: 'confirmed' }, 'and what was found is kept');
  t.strictSame(reports, []);
});

t.test('F36 what became available while the page was closed is checked at the next sign-in', async (t) => {
  const { log, journal, finish } = honest();
  const page = await open(t);
  await receive(page, log.receipt(journal.last()));
  await page.goto('about:blank');
  finish();
  await connect(page);
  t.match(await event(page, 'evidence'), { verdict: 'confirmed' });
});

t.test('F36 the kept heads are each person’s own, also in one browser', async (t) => {
  const { log, journal } = honest();
  const page = await open(t);
  await receive(page, log.receipt(journal.at(3)));
  script.on('session.start', () => signedIn({ userId: 'bob', ledger: log.info() }));
  await connect(page);
  t.equal(await kept(page), undefined);
});

t.test('F36 every way to cheat about a finished recording is a mismatch, and is reported', async (t) => {
  const table: [
    name: string,
    cheat: (parts: ReturnType<typeof honest>) => void | Promise<void>,
    problem: RegExp,
  ][] = [
    [
      'another journal',
      (parts) => {
        parts.finish();
        parts.server.journal = new TestJournal(20);
      },
      /does not lead to the finished recording/,
    ],
    [
      'another journal, in the ledger too',
      (parts) => {
        parts.server.journal = new TestJournal(20);
        parts.finish(parts.server.journal.last());
      },
      /does not lead to the finished recording/,
    ],
    ['a cut journal', (parts) => parts.finish(parts.journal.at(9)), /ends at block 9; block 14 was signed/],
    ['another head for the same block', (parts) => parts.finish(new TestJournal(14).last()), /does not lead/],
    [
      'no journal of that epoch',
      ({ server, path }) => {
        const index = server.log.add('rec.final', { call: CALL_ID, journals: [] });
        server.state = 'available';
        script.route(`GET ${path}/evidence`, async () => ({
          status: 200,
          body: await server.log.evidence([index]),
        }));
      },
      /part 1 of the recording was signed during the call and is missing/,
    ],
    [
      'no final entry',
      ({ server, path }) => {
        server.state = 'available';
        script.route(`GET ${path}/evidence`, async () => ({
          status: 200,
          body: await server.log.evidence([0]),
        }));
      },
      /expected one final entry/,
    ],
    [
      'an entry that is not in the ledger',
      ({ server, path, finish, journal }) => {
        finish();
        const other = server.log.fork();
        other.entries.pop();
        const index = other.add('rec.final', {
          call: CALL_ID,
          journals: [{ epoch: 1, ...journal.last() }],
          x: 1,
        });
        script.route(`GET ${path}/evidence`, async () => {
          const evidence = await server.log.evidence([index]);
          const entry = other.entries[index]?.toString('base64') ?? '';
          return {
            status: 200,
            body: { ...evidence, entries: evidence.entries.map((each) => ({ ...each, entry })) },
          };
        });
      },
      /is not what the signed head says/,
    ],
    [
      'another ledger, signed by the same key',
      ({ server, finish }) => {
        server.log = new TestLog([...server.log.signers()]);
        for (let entry = 0; entry < 5; entry += 1) server.log.add('call.start', { other: true });
        finish();
      },
      /does not continue the one of 3 entries|the consistency proof/,
    ],
    [
      'a journal that the server no longer has',
      ({ finish, path }) => {
        finish();
        script.route(`GET ${path}/chain/1`, () => ({
          status: 404,
          body: { code: 'not_found', detail: 'there is no such journal' },
        }));
      },
      /cannot show the captured blocks/,
    ],
  ];
  for (const [name, cheat, problem] of table) {
    t.test(name, async (t) => {
      const parts = honest();
      const page = await open(t);
      const receipt = parts.log.receipt(parts.journal.at(14));
      await receive(page, receipt);
      await cheat(parts);
      parts.tell('available');
      t.match(await event(page, 'evidence'), { verdict: 'mismatch', problem });
      t.match(await event(page, 'evidence', 2), { verdict: 'mismatch', serverConfirms: true });
      t.strictSame(parts.reports, [{ note: receipt.note }]);
      await connect(page);
      t.match(await kept(page), { verdict: 'mismatch', problem, serverConfirms: true });
    });
  }
});

t.test('F36 two signed heads of one block are a mismatch, whatever comes later', async (t) => {
  const { log, journal, finish, tell } = honest();
  const page = await open(t);
  await receive(page, log.receipt(journal.at(5)));
  script.notify('recording.receipt', log.receipt(new TestJournal(5).last()));
  t.match(await event(page, 'evidence'), { verdict: 'mismatch', problem: /two different heads of block 5/ });
  finish();
  tell('available');
  t.match(await event(page, 'evidence', 2), { verdict: 'mismatch', problem: /two different heads/ });
});

t.test('F36 a mismatch that could not be reported is reported at the next sign-in', async (t) => {
  const { log, journal, finish, path, reports } = honest();
  const page = await open(t);
  await receive(page, log.receipt(journal.at(14)));
  finish(journal.at(9));
  const line = `POST ${path}/mismatch`;
  script.route(line, () => ({ status: 503, body: { code: 'unavailable', detail: 'try again' } }));
  t.match(await checked(page), { verdict: 'mismatch', serverConfirms: undefined });
  t.match(await event(page, 'trouble'), {});
  script.route(line, (_, { sent }) => {
    reports.push(sent);
    return { status: 200, body: { confirmed: false } };
  });
  await connect(page);
  t.match(await event(page, 'evidence', 2), { serverConfirms: false });
  t.equal(reports.length, 1);
});

t.test('F33 F36 a failed recording is said to have failed, and is no mismatch', async (t) => {
  const { log, journal, server, tell, reports } = honest();
  const page = await open(t);
  await receive(page, log.receipt(journal.at(14)));
  Object.assign(server, { state: 'failed', reason: 'no audio' });
  tell('failed');
  t.match(await event(page, 'evidence'), { verdict: 'failed', problem: 'no audio' });
  t.strictSame(reports, []);
});

t.test('F36 a server that cannot be asked leaves the recording unverified until it can', async (t) => {
  const { log, journal, finish, tell, path } = honest();
  const page = await open(t);
  await receive(page, log.receipt(journal.at(14)));
  finish();
  const down = (): { status: number; body: object } => ({
    status: 503,
    body: { code: 'unavailable', detail: 'down' },
  });
  script.route(`GET ${path}/chain/1`, down);
  tell('available');
  t.match(await event(page, 'evidence'), { verdict: 'unverified', problem: 'down' });
  script.route(`GET ${path}/chain/1`, () => ({
    status: 200,
    body: { epoch: 1, after: 14, blocks: journal.after(14) },
  }));
  await connect(page);
  t.match(await event(page, 'evidence'), { verdict: 'confirmed' });
});

t.test('F36 a head that the log did not sign is told and not kept', async (t) => {
  const { log, journal } = honest();
  const page = await open(t);
  await receive(page, log.receipt(journal.at(3)));
  script.notify('recording.receipt', log.receipt(journal.at(9), { seq: 8, head: journal.heads[8] ?? '' }));
  t.match(await event(page, 'ledger'), { kind: 'bad_signature', detail: /another seq/ });
  const stranger = new TestLog();
  script.notify('recording.receipt', stranger.receipt(journal.at(10)));
  t.match(await event(page, 'ledger', 2), { kind: 'bad_signature' });
  t.match(await kept(page), { receipts: [{ seq: 3 }] });
});

t.test('F36 the ledger only ever grows', async (t) => {
  t.test('a longer one that continues it is kept', async (t) => {
    const { log } = honest();
    const page = await open(t);
    // What it looks at comes after what it keeps of the sign-in; a page that is left earlier has kept nothing.
    await checked(page);
    log.add();
    await connect(page);
    await checked(page);
    t.ok(script.fetched.includes('GET /v1/ledger/consistency'), 'it asked for the proof');
    log.add();
    script.notify('call.ended', { call: callView({ state: 'ended', checkpoint: log.checkpoint() }) });
    await connect(page);
    await checked(page);
    t.strictSame(await events(page, 'ledger'), []);
  });
  const table: [name: string, change: (log: TestLog) => TestLog, kind: string, detail: RegExp][] = [
    [
      'a shorter one',
      (log) => {
        const shorter = log.fork();
        shorter.entries.pop();
        return shorter;
      },
      'shrunk',
      /had 3 entries and now has 2/,
    ],
    [
      'another one of the same length',
      (log) => {
        const other = log.fork();
        other.entries.pop();
        other.add('rec.final');
        return other;
      },
      'forked',
      /two different heads of 3 entries/,
    ],
    [
      'a longer one that does not continue it',
      (log) => {
        const other = log.fork();
        other.entries.pop();
        for (let entry = 0; entry < 4; entry += 1) other.add('rec.final');
        return other;
      },
      'forked',
      /does not continue/,
    ],
  ];
  for (const [name, change, kind, detail] of table) {
    t.test(`${name} is told, now and at every later sign-in`, async (t) => {
      const { server, log } = honest();
      const page = await open(t);
      await checked(page);
      server.log = change(log);
      for (const _ of [1, 2]) {
        await connect(page);
        t.match(await event(page, 'ledger'), { kind, detail });
        t.equal(await page.evaluate(() => window.client.ledgerProblem?.kind), kind);
      }
      server.log = log;
      await connect(page);
      await checked(page);
      t.strictSame(await events(page, 'ledger'), [], 'the true one is still the one that is known');
    });
  }
  t.test('a ledger that is gone is told', async (t) => {
    honest();
    const page = await open(t);
    await checked(page);
    script.on('session.start', () => signedIn());
    await connect(page);
    t.match(await event(page, 'ledger'), { kind: 'shrunk', detail: /now has no head/ });
  });
  t.test('an older head that was overtaken on its way is no problem', async (t) => {
    const { log } = honest();
    const page = await open(t);
    await checked(page);
    script.on('session.start', () => signedIn({ ledger: { vkey: log.vkey, checkpoint: log.checkpoint(2) } }));
    await connect(page);
    await checked(page);
    t.strictSame(await events(page, 'ledger'), []);
    t.ok(script.fetched.includes('GET /v1/ledger/checkpoint'));
  });
});

t.test('F36 another key of the log is told, and taken once it is accepted', async (t) => {
  const { server, log, journal, finish } = honest();
  const page = await open(t);
  await checked(page);
  const renewed = openSigner(generateLogKey('log.test').skey);
  server.log = log.fork([renewed]);
  await connect(page);
  t.match(await event(page, 'ledger'), { kind: 'key_changed', vkey: renewed.vkey });
  t.match(await receive(page, server.log.receipt(journal.at(3))), { verified: false });
  finish();
  t.match(await checked(page), { verdict: 'unverified' });
  await page.evaluate((vkey) => window.client.acceptLedgerKey(vkey), renewed.vkey);
  t.equal(await event(page, 'ledger', 2), undefined);
  t.match(await checked(page), { verdict: 'confirmed' });
  await connect(page);
  await checked(page);
  t.strictSame(await events(page, 'ledger'), []);
});

t.test('F36 a key that the old one vouches for on a shared head is taken without asking', async (t) => {
  const { server, log } = honest();
  const page = await open(t);
  await checked(page);
  const renewed = openSigner(generateLogKey('log.test').skey);
  server.log = log.fork([...log.signers(), renewed]);
  await connect(page);
  await checked(page);
  server.log = log.fork([renewed]);
  await connect(page);
  await checked(page);
  t.strictSame(await events(page, 'ledger'), []);
});

t.test('F36 a server without a ledger: heads are kept, and nothing is claimed about them', async (t) => {
  const { log, journal, finish } = honest();
  script.on('session.start', () => signedIn());
  const page = await open(t);
  t.match(await receive(page, log.receipt(journal.at(14))), { seq: 14, verified: false });
  finish();
  t.match(await checked(page), { verdict: 'unverified', problem: /cannot check the signatures/ });
  t.strictSame(await events(page, 'ledger'), []);
});

t.test('F36 a browser without Ed25519 keeps the heads unverified and says so', async (t) => {
  const { log, journal, finish } = honest();
  const page = await open(t, () => {
    const real = crypto.subtle.importKey.bind(crypto.subtle) as (...args: unknown[]) => Promise<CryptoKey>;
    const refuse = (...args: unknown[]): Promise<CryptoKey> =>
      (args[2] as { name?: string }).name === 'Ed25519'
        ? Promise.reject(new DOMException('unknown algorithm', 'NotSupportedError'))
        : real(...args);
    Object.defineProperty(crypto.subtle, 'importKey', { value: refuse });
  });
  t.match(await receive(page, log.receipt(journal.at(14))), { verified: false });
  finish();
  t.match(await checked(page), { verdict: 'unverified', problem: /cannot check the signatures/ });
});

t.test('F36 without IndexedDB memory does it, for as long as the page lives', async (t) => {
  const table: [name: string, init: () => void][] = [
    ['refused', () => Object.defineProperty(window, 'indexedDB', { value: undefined })],
    [
      'a private window, where opening fails',
      () => {
        IDBFactory.prototype.open = () => {
          throw new DOMException('denied', 'SecurityError');
        };
      },
    ],
    [
      'a disk that is full in mid-call',
      () => {
        IDBObjectStore.prototype.put = () => {
          throw new DOMException('full', 'QuotaExceededError');
        };
      },
    ],
  ];
  for (const [name, init] of table) {
    t.test(name, async (t) => {
      const { log, journal, finish } = honest();
      const page = await open(t, init);
      await receive(page, log.receipt(journal.at(3)));
      await receive(page, log.receipt(journal.at(14)), 2);
      t.equal(await page.evaluate(() => window.client.evidencePersists()), false);
      t.match(await kept(page), { receipts: [{ seq: 14 }] });
      finish();
      t.match(await checked(page), { verdict: 'confirmed' });
      await connect(page);
      t.equal(await kept(page), undefined, 'gone with the page');
    });
  }
});

t.test('F36 the newest 2,000 heads are kept, the oldest go first', async (t) => {
  const { log, journal } = honest();
  const page = await open(t);
  await receive(page, log.receipt(journal.at(3)));
  const counts = async (): Promise<unknown> =>
    page.evaluate(async () => {
      const [{ name = '' } = {}] = await indexedDB.databases();
      const db = await new Promise<IDBDatabase>((resolve) => {
        const request = indexedDB.open(name);
        request.onsuccess = () => resolve(request.result);
      });
      const receipts = db.transaction('receipts', 'readwrite').objectStore('receipts');
      const [oldest, all] = await Promise.all(
        [receipts.index('keptAtMs').getAll(null, 1), receipts.count()].map(
          (request) =>
            new Promise<unknown>((resolve) => {
              request.onsuccess = () => resolve(request.result);
            }),
        ),
      );
      db.close();
      return { oldest, all };
    });
  await page.evaluate(async () => {
    const [{ name = '' } = {}] = await indexedDB.databases();
    const db = await new Promise<IDBDatabase>((resolve) => {
      const request = indexedDB.open(name);
      request.onsuccess = () => resolve(request.result);
    });
    const transaction = db.transaction('receipts', 'readwrite');
    for (let at = 1; at < 2_000; at += 1) {
      const recordingId = `00000000-0000-4000-8000-${String(at).padStart(12, '0')}`;
      transaction.objectStore('receipts').put({ userId: 'eve', recordingId, epoch: 1, keptAtMs: at });
    }
    await new Promise((resolve) => {
      transaction.oncomplete = resolve;
    });
    db.close();
  });
  t.match(await counts(), { oldest: [{ keptAtMs: 1 }], all: 2_000 });
  await receive(page, log.receipt({ epoch: 2, ...journal.at(4) }), 2);
  t.match(await counts(), { oldest: [{ keptAtMs: 2 }], all: 2_000 });
  t.match(await kept(page), { receipts: [{ epoch: 1 }, { epoch: 2 }] });
});

t.test('F34 a secure call that loses its recorder is interrupted until it is recorded again', async (t) => {
  honest();
  const page = await open(t);
  await page.evaluate(() => window.client.startCall({ chatId: 'chat-1', mode: 'secure' }));
  const active = { state: 'active', recordingId: RECORDING_ID } as const;
  for (const recording of [true, false, true, false]) {
    script.notify('call.changed', { call: callView({ ...active, recording }) });
  }
  script.notify('call.ended', { call: callView({ state: 'ended', endReason: 'recording_lost' }) });
  await event(page, 'interrupted', 4);
  t.strictSame(await events(page, 'interrupted'), [true, false, true, false]);
  t.equal(await page.evaluate(() => window.client.interrupted), false);
});

t.test('F38 the evidence bundle is saved through a grant of its own', async (t) => {
  const { path } = honest();
  const page = await open(t);
  const asked: unknown[] = [];
  script.route(`POST ${path}/grants`, (_, { sent }) => {
    asked.push(sent);
    return { status: 201, body: { url: '/media/g1' } };
  });
  script.route('GET /media/g1', () => ({ status: 200, body: 'PK' }));
  const download = page.waitForEvent('download');
  await page.evaluate((id) => window.client.downloadBundle(id), RECORDING_ID);
  t.equal(new URL((await download).url()).pathname, '/media/g1');
  t.strictSame(asked, [{ disposition: 'bundle' }]);
});
