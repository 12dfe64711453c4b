import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { Entry } from '#ledger';
import {
  leafHash,
  openNote,
  openVerifier,
  parseCheckpoint,
  parseEntry,
  parseProof,
  parseReceipt,
  verifyConsistency,
  verifyInclusion,
} from '#ledger';
import type { ConsistencyProof, DemoToken, HeadReceipt, LedgerInfo, RecordingEvidence } from '#protocol';
import { dataPaths, verifyJournal } from '#store';
import type { Name } from '../../scripts/lib/people.ts';
import { compareFrames, probe, sha256 } from '../../scripts/lib/proof.ts';
import { likeness, loudness } from '../../scripts/lib/speech.ts';
import type { Stage } from './stage.ts';
import { openStage, recordingIdOf, talk, until } from './stage.ts';

/** How loud each channel is as Chromium decodes it, in dB for each 20 ms. Runs in the page, without the DOM's types. */
async function decodeInPage(
  base64: string,
): Promise<{ channels: number; seconds: number; loudness: [number[], number[]] }> {
  interface Decoded {
    numberOfChannels: number;
    duration: number;
    getChannelData(channel: number): Float32Array;
  }
  const page = globalThis as unknown as {
    OfflineAudioContext: new (...size: number[]) => { decodeAudioData(bytes: ArrayBuffer): Promise<Decoded> };
  };
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const audio = await new page.OfflineAudioContext(2, 48_000, 48_000).decodeAudioData(bytes.buffer);
  const loudnessOf = (channel: number): number[] => {
    const samples = audio.getChannelData(channel);
    const steps: number[] = [];
    for (let at = 0; at + 960 <= samples.length; at += 960) {
      const power = samples.subarray(at, at + 960).reduce((sum, each) => sum + each * each, 0) / 960;
      steps.push(Math.max(-60, 10 * Math.log10(power + 1e-12)));
    }
    return steps;
  };
  return {
    channels: audio.numberOfChannels,
    seconds: audio.duration,
    loudness: [loudnessOf(0), loudnessOf(1)],
  };
}

async function tokenOf(url: string, as: Name): Promise<string> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ as }),
  };
  const answer = await fetch(new URL('/demo/token', url), init);
  return ((await answer.json()) as DemoToken).token;
}

async function evidenceOf(url: string, as: Name, id: string): Promise<RecordingEvidence> {
  const headers = { authorization: `Bearer ${await tokenOf(url, as)}` };
  const answer = await fetch(new URL(`/v1/recordings/${id}/evidence`, url), { headers });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as RecordingEvidence;
}

/** One more device of a person, which only keeps the receipts that the server sends it. */
class Watcher {
  readonly receipts: HeadReceipt[] = [];
  /** What the server said of its ledger at the sign-in. */
  ledger: LedgerInfo | undefined;
  readonly #socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const { method, params } = JSON.parse(String(data)) as { method?: string; params?: HeadReceipt };
      if (method === 'recording.receipt' && params !== undefined) this.receipts.push(params);
    });
  }

  static async open(url: string, as: Name): Promise<Watcher> {
    const token = await tokenOf(url, as);
    const socket = new WebSocket(new URL('/v1/signaling', url.replace(/^http/, 'ws')));
    const watcher = new Watcher(socket);
    await new Promise((resolve) => socket.addEventListener('open', resolve));
    const signedIn = new Promise<{ data: unknown }>((resolve) =>
      socket.addEventListener('message', resolve, { once: true }),
    );
    const params = { token, device: `watcher-of-${as}` };
    socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'session.start', params }));
    const { result } = JSON.parse(String((await signedIn).data)) as { result?: { ledger?: LedgerInfo } };
    watcher.ledger = result?.ledger;
    return watcher;
  }

  close(): void {
    this.#socket.close();
  }
}

// The most that a server can log: nothing of what must not be in a log may be in this one.
const stage: Stage = await openStage({ VERBATIM_LOG_LEVEL: 'trace' });
t.teardown(() => stage.close());
const watchers = {
  alice: await Watcher.open(stage.server.url, 'alice'),
  bob: await Watcher.open(stage.server.url, 'bob'),
};
t.teardown(() => {
  for (const watcher of Object.values(watchers)) watcher.close();
});

t.test(
  'F1 F4 F5 F9 F15 F20 F21 F23 F25 F29 F34 a secure call between two Chromium browsers, start to playback',
  async (t) => {
    const { alice, bob, server } = stage;

    await alice.part('button').click();
    t.match(await alice.part('menu').innerText(), /Voice call[\s\S]*Secure call \(recorded\)/, 'F3 the menu');
    await alice.page.locator('[part~="menu-item"][data-mode="secure"]').click();
    const asked = alice.part('disclosure', '[part~="consent"]').filter({ hasText: /recorded/ });
    await asked.waitFor();
    const disclosure = await asked.innerText();
    t.match(disclosure, /recorded/, 'F4 the caller reads the disclosure text first');
    t.notOk(await bob.part('accept').isVisible(), 'F4 nothing rings before the caller agreed');
    await alice.part('consent-agree').click();

    await bob.waitStatus('incoming');
    const popup = bob.page.locator('verbatim-call-popup');
    await bob
      .part('disclosure', popup)
      .filter({ hasText: /recorded/ })
      .waitFor();
    t.equal(await bob.part('status', popup).innerText(), 'Incoming secure call');
    t.match(await bob.part('disclosure', popup).innerText(), disclosure, 'F5 the callee reads the same text');
    t.equal((await bob.stats()).inbound.packets, 0, 'F34 nothing is heard before Recording');
    await bob.accept();

    const recordingId = await recordingIdOf(bob);
    t.equal(await recordingIdOf(alice), recordingId, 'both know the recording by the same id');
    for (const person of [alice, bob]) {
      await person.part('recording-badge').waitFor();
      t.equal(await person.part('status', 'verbatim-call-popup').innerText(), 'Recording', 'F9');
    }
    await Promise.all([talk(alice, 400), talk(bob, 400)]);
    await bob.hangUp();
    await Promise.all([alice.waitStatus('ended'), bob.waitStatus('ended')]);
    await Promise.all([alice.waitAvailable(recordingId), bob.waitAvailable(recordingId)]);

    const [mine, theirs] = await Promise.all([alice.recordings(), bob.recordings()]);
    t.same(mine, theirs, 'F20 both see the same list');
    const [row] = mine;
    t.match(row, { id: recordingId, state: 'available', mode: 'secure' });
    t.ok((row?.durationMs ?? 0) >= 8_000, `F21 the whole call is there (${row?.durationMs} ms)`);
    const [copy, otherCopy] = await Promise.all([alice.download(recordingId), bob.download(recordingId)]);
    t.ok(copy.equals(otherCopy), 'F20 both copies are the same bytes');
    t.equal(sha256(copy), row?.sha256, 'F21 and have the digest that the server names');

    const { frames, faults } = await compareFrames(copy, server.dataDir, recordingId);
    t.same(faults, [], 'F21 every frame of the file is the captured one, byte for byte, and none is missing');
    // A packet of silence may have no frame in it, so frames are counted apart from packets.
    t.ok(
      frames.caller > 380 && frames.callee > 380,
      `F21 ${frames.caller} and ${frames.callee} frames compared`,
    );
    for (const [listener, speaker] of [
      [alice, 'bob'],
      [bob, 'alice'],
    ] as const) {
      const heard = (await listener.stats()).inbound.packets;
      const recorded = row?.legs?.find(({ userId }) => userId === speaker)?.packets ?? 0;
      t.ok(heard >= 400 && recorded >= heard, `F34 nothing unrecorded: ${heard} heard, ${recorded} recorded`);
    }

    const file = join(stage.folder, 'copy.webm');
    await writeFile(file, copy);
    t.match(await probe(file), { codec: 'opus', channels: 2 });
    const [left, right] = await Promise.all([loudness(file, 0), loudness(file, 1)]);
    const [said, answered] = await Promise.all([loudness(stage.wav.alice), loudness(stage.wav.bob)]);
    const figures = { left: likeness(left, said), right: likeness(right, answered) };
    t.ok(
      figures.left > 0.6 && figures.left > likeness(left, answered) + 0.15,
      `the caller is left (${figures.left})`,
    );
    t.ok(
      figures.right > 0.6 && figures.right > likeness(right, said) + 0.15,
      `the callee is right (${figures.right})`,
    );

    const decoded = await alice.page.evaluate(decodeInPage, copy.toString('base64'));
    t.equal(decoded.channels, 2, 'Chromium decodes both channels');
    for (const [channel, own, other] of [
      [0, said, answered],
      [1, answered, said],
    ] as const) {
      const steps = Float64Array.from(decoded.loudness[channel]);
      const [right, wrong] = [likeness(steps, own), likeness(steps, other)];
      t.ok(right > 0.6 && right > wrong + 0.15, `with the right speech in it (${right}, the other ${wrong})`);
    }
    t.ok(
      Math.abs(decoded.seconds * 1000 - (row?.durationMs ?? 0)) < 200,
      `for the whole length (${decoded.seconds} s)`,
    );

    const journals = await readdir(join(server.dataDir, 'journals'));
    const sealed = await readFile(join(server.dataDir, 'recordings', `${recordingId}.pay`));
    t.ok(journals.some((name) => name.startsWith(recordingId)));
    t.equal(sealed.indexOf('OpusHead'), -1, 'F29 what lies on the disk is encrypted');
    const log = await readFile(server.logFile, 'utf8');
    t.notMatch(log, /&s=|eyJ|AGE-SECRET-KEY/, 'F29 the log has no token, no signature and no key');
    t.same([...alice.complaints, ...bob.complaints], [], 'the pages did not complain');
  },
);

t.test(
  'F35 F36 F37 F38 the ledger holds the call, its checkpoint verifies, and both have receipts',
  async (t) => {
    const { alice, server } = stage;
    const [row] = await alice.recordings();
    const id = row?.id ?? '';
    const text = async (path: string) => (await fetch(`${server.url}/v1/ledger/${path}`)).text();
    const [mine, theirs] = await Promise.all([
      evidenceOf(server.url, 'alice', id),
      evidenceOf(server.url, 'bob', id),
    ]);
    t.same(mine, theirs, 'F20 both read the same');
    const vkeys = (await text('vkeys')).trim().split('\n');
    t.equal(vkeys.at(-1), mine.vkey);
    const opened = openNote(await text('checkpoint'), vkeys.map(openVerifier));
    const now = parseCheckpoint(opened.text);
    for (const { ledger } of Object.values(watchers)) {
      const kept = openNote(ledger?.checkpoint ?? '', [openVerifier(ledger?.vkey ?? '')]);
      const { size, root } = parseCheckpoint(kept.text);
      t.equal(ledger?.vkey, mine.vkey);
      const query = `consistency?from=${size}&to=${now.size}`;
      const { proof } = JSON.parse(await text(query)) as ConsistencyProof;
      const hashes = proof.map((hash) => Buffer.from(hash, 'base64'));
      verifyConsistency({ from: size, to: now.size, fromRoot: root, toRoot: now.root, proof: hashes });
    }
    const entries: Entry[] = [];
    for (const { index, entry, proof } of mine.entries) {
      const bytes = Buffer.from(entry, 'base64');
      const { checkpoint, hashes } = parseProof(proof);
      const { size, root } = parseCheckpoint(openNote(checkpoint, [openVerifier(mine.vkey)]).text);
      verifyInclusion({ index, size, root, leaf: leafHash(bytes), proof: hashes });
      t.ok(size <= now.size, `entry ${index} is in a tree of ${size}`);
      entries.push(parseEntry(bytes));
    }
    t.same(entries.map((entry) => entry.id).sort(), [
      'call.end',
      'call.start',
      'consent.callee',
      'consent.caller',
      'rec.final',
    ]);
    const final = entries.find((entry) => entry.id === 'rec.final')?.d;
    t.match(final, { endReason: 'hangup', truncated: false, legs: [{ side: 'caller' }, { side: 'callee' }] });
    const [receipt] = mine.receipts;
    t.equal(mine.receipts.length, 1, 'one epoch, one newest receipt');
    const signed = parseReceipt(openNote(receipt?.note ?? '', [openVerifier(mine.vkey)]).text);
    t.match(signed, { recordingId: id, epoch: 1, seq: receipt?.seq, head: receipt?.head });
    const acknowledged = { seq: signed.seq, head: signed.head };
    t.match(await verifyJournal(dataPaths(server.dataDir).journal(id, 1), { acknowledged }), {
      status: 'complete',
    });
    for (const [person, { receipts }] of Object.entries(watchers)) {
      const own = receipts.filter(({ recordingId }) => recordingId === id);
      t.match(
        own.at(-1),
        { epoch: 1, seq: signed.seq, head: signed.head, note: receipt?.note },
        `${person} was given it`,
      );
    }
    t.same(watchers.alice.receipts, watchers.bob.receipts, 'F20 and both the same');
    const health: unknown = await (await fetch(`${server.url}/v1/health`)).json();
    t.match(health, { checks: { evidence: { ok: true } } });
  },
);

t.test('F24 F25 a click on play streams the recording in the page', async (t) => {
  const { alice } = stage;
  await alice.page.reload();
  await alice.page.getByTestId('connection').waitFor();
  const asked: string[] = [];
  alice.page.on('request', (request) => void asked.push(new URL(request.url()).pathname));
  const row = alice.part('row').first();
  await row.waitFor();
  t.match(await alice.part('status', row).innerText(), /Available/);
  const audio = (): string[] => asked.filter((path) => path.startsWith('/media/'));
  t.same(audio(), [], 'F26 no audio is asked for before the click');
  await alice.part('play', row).click();
  const slider = alice.part('slider', row);
  await slider.waitFor();
  // In seconds; it moves while the recording plays.
  const position = async (): Promise<number> => Number(await slider.getAttribute('aria-valuenow'));
  await until(position, (seconds) => seconds >= 1, 'the recording playing');
  t.ok(Number(await slider.getAttribute('aria-valuemax')) > 7, 'as long as the call was');
  t.ok(audio().length > 0, 'and then it is');
});

t.test('F25 a copied playback address does not work elsewhere', async (t) => {
  const { alice, bob, server } = stage;
  const [row] = await alice.recordings();
  const url = await alice.page.evaluate(async (id) => {
    const page = globalThis as unknown as {
      verbatim: { playbackUrl(id: string, how: string): Promise<string> };
    };
    return page.verbatim.playbackUrl(id, 'inline');
  }, row?.id ?? '');
  const own = await alice.page.evaluate(
    async (address) =>
      (await fetch(address, { credentials: 'include', headers: { range: 'bytes=0-9' } })).status,
    url,
  );
  t.equal(own, 206, 'it works in the page that asked for it');
  const theirs = await bob.page.evaluate(
    async (address) => (await fetch(address, { credentials: 'include' })).status,
    url,
  );
  t.equal(theirs, 403, 'not in the other party’s browser, who has to ask for an address of their own');
  t.equal((await fetch(new URL(url, server.url))).status, 403, 'not without a session');
});

t.test('F52 the metrics tell of the call and its recording, of both processes’ work', async (t) => {
  const { server } = stage;
  const scrape = async (): Promise<string> => (await fetch(new URL('/metrics', server.url))).text();
  const figure = (text: string, name: string): number =>
    Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.slice(name.length + 1),
    );
  // The queue and the database are asked at each scrape, and one that is late is shown at the next.
  let text = await scrape();
  const deadline = performance.now() + 20_000;
  while (/^verbatim_metrics_unanswered.* 1$/m.test(text) && performance.now() < deadline)
    text = await scrape();
  t.notMatch(text, /^verbatim_metrics_unanswered.* 1$/m);
  for (const [name, least] of Object.entries({
    'verbatim_calls_started_total{mode="secure"}': 1,
    'verbatim_calls_ended_total{mode="secure",reason="hangup"}': 1,
    'verbatim_call_ring_seconds_count{mode="secure"}': 1,
    'verbatim_call_accept_seconds_count{mode="secure"}': 1,
    verbatim_call_arm_seconds_count: 1,
    'verbatim_call_talk_seconds_sum{mode="secure"}': 8,
    verbatim_finalise_seconds_count: 1,
    verbatim_recorded_seconds_total: 8,
    'verbatim_recordings{state="available"}': 0,
    'verbatim_ledger_entries{log="evidence"}': 6,
    'verbatim_ledger_entries{log="access"}': 3,
    'verbatim_ledger_append_seconds_count{log="evidence"}': 5,
    verbatim_recorders: 1,
    verbatim_recorder_packets_total: 800,
    verbatim_recorder_commits_total: 8,
    verbatim_media_workers: 1,
    verbatim_sockets: 4,
    verbatim_users_online: 2,
    verbatim_database_pool_size: 10,
    'verbatim_queue_waiting{queue="finalise"}': 0,
    process_cpu_seconds_total: 0.1,
  }))
    t.ok(figure(text, name) >= least, `${name} ${figure(text, name)} is ${least} or more`);
  t.equal(figure(text, 'verbatim_calls{mode="secure",state="active"}'), 0);
  t.ok(figure(text, 'verbatim_ledger_head_timestamp_seconds{log="evidence"}') > 1e9);
});

t.test(
  'F29 F52 no log line has a token, a signature, a cookie, a secret, a name or what was said',
  async (t) => {
    const { alice, server } = stage;
    const secrets = new Map<string, string>();
    const kinds = new Set<string>();
    const note = (what: string, value: string | null | undefined): void => {
      if (value !== undefined && value !== null && value.length >= 8) secrets.set(value, what);
      if (value) kinds.add(what);
    };
    alice.page.on('request', (request) => {
      note('a token', request.headers().authorization?.replace(/^Bearer /, ''));
      note('the signature of an address', new URL(request.url()).searchParams.get('s'));
    });
    alice.page.on('websocket', (socket) => {
      socket.on('framesent', ({ payload }) => {
        const { params } = JSON.parse(String(payload)) as { params?: { token?: string } };
        note('the first message’s token', params?.token);
      });
    });
    await alice.page.reload();
    await alice.page.getByTestId('connection').waitFor();
    const row = alice.part('row').first();
    await row.waitFor();
    const played = alice.page.waitForResponse((answer) =>
      new URL(answer.url()).pathname.startsWith('/media/'),
    );
    await alice.part('play', row).click();
    await played;
    for (const { value } of await alice.page.context().cookies()) note('a cookie', value);
    const dir = dataPaths(server.dataDir).secrets;
    for (const name of await readdir(dir)) note(name, (await readFile(join(dir, name), 'utf8')).trim());
    note('a signature alone', [...secrets].find(([, what]) => /token/.test(what))?.[0].split('.')[2]);
    for (const kind of [
      'a token',
      'the signature of an address',
      'the first message’s token',
      'a cookie',
      'grant.key',
    ])
      t.ok(kinds.has(kind), `${kind} was seen`);

    const log = await readFile(server.logFile, 'utf8');
    t.match(log, /"path":"\/media\//, 'the log is that of this journey');
    t.match(log, /"level":20/, 'with all that the server can say');
    for (const [value, what] of secrets) t.notOk(log.includes(value), `the log has not ${what}`);
    for (const name of ['Alice', 'Bob']) t.notMatch(log, new RegExp(`\\b${name}\\b`), `nor ${name}’s name`);
    t.notMatch(log, /\?e=\d+&/, 'nor the query of an address');
    t.notMatch(log, /This call will be recorded|OpusHead|a=ice-pwd/, 'nor what is said');
  },
);
