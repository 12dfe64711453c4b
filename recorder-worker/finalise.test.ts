import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Decrypter } from 'age-encryption';
import type { Test } from 'tap';
import t from 'tap';
import { readJournal } from '#store';
import type { FinaliseOptions } from './finalise.ts';
import { finaliseRecording } from './finalise.ts';
import { framesOfJournal } from './finalise-read.ts';
import { extractStreams, opusFrames } from './mux-read.ts';
import type { GeneratedCall } from './test/calls.ts';
import { generateCall, PLAIN_LEG } from './test/calls.ts';
import { checkFile } from './test/check.ts';
import { readWithMediabunny } from './test/independent.ts';
import { createKeys, writeJournal } from './test/journals.ts';

const RECORDING = '018f0000-0000-7000-8000-000000000001';
const keys = await createKeys();

function call(durationMs: number): GeneratedCall {
  return generateCall({
    seed: 9,
    durationMs,
    legs: [
      { ...PLAIN_LEG, loss: 0.02, retransmit: 0.5, duplicate: 0.02, reorder: 0.02, jitterMs: 4 },
      { ...PLAIN_LEG, ssrc: 0x2000, startMs: 500, dtx: 0.1, configChanges: 0.5 },
    ],
  });
}

function folder(t: Test): { dir: string; options: (journals: string[]) => FinaliseOptions } {
  const dir = t.testdir();
  mkdirSync(join(dir, 'recordings'));
  const pay = join(dir, 'recordings', `${RECORDING}.pay`);
  const hdr = join(dir, 'recordings', `${RECORDING}.hdr`);
  return { dir, options: (journals) => ({ journals, recordingId: RECORDING, ...keys, pay, hdr }) };
}

/** The plaintext as the stock format says: header and payload one after the other are an age file. */
async function decryptWithAge(options: FinaliseOptions): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(keys.identity);
  return decrypter.decrypt(Buffer.concat([readFileSync(options.hdr), readFileSync(options.pay)]));
}

t.test('F21 F23 F29 a journal becomes a sealed file with every frame of both legs', async (t) => {
  const { dir, options } = folder(t);
  const generated = call(20_000);
  const journal = await writeJournal({ dir, keys, recording: RECORDING, records: generated.records });
  const request = options([journal.path]);
  const stages: string[] = [];
  const result = await finaliseRecording({ ...request, onStage: (stage) => stages.push(stage) });
  if (!result.ok) throw new Error(result.detail);
  const webm = await decryptWithAge(request);
  const { frames } = checkFile(generated, await readWithMediabunny(webm));

  t.same(stages, ['read', 'mux', 'seal', 'compare', 'rename']);
  t.equal(result.sizeBytes, webm.length);
  t.equal(result.sha256, createHash('sha256').update(webm).digest('hex'));
  t.equal(result.paySizeBytes, readFileSync(request.pay).length);
  t.equal(result.paySha256, createHash('sha256').update(readFileSync(request.pay)).digest('hex'));
  t.equal(result.format, 'audio/webm; codecs=opus');
  t.equal(result.combined, true);
  t.equal(result.truncated, false);
  t.ok(Math.abs(result.durationMs - 20_000) <= 40, `${result.durationMs} ms`);
  t.same(result.journals, [{ epoch: 1, seq: journal.seq, head: journal.head }]);
  t.same(
    result.legs.map(({ side, packets, lost, duplicates, unusable }) => [
      side,
      packets,
      lost,
      duplicates,
      unusable,
    ]),
    [
      ['caller', frames[0], generated.lost[0], generated.duplicates[0], 0],
      ['callee', frames[1], generated.lost[1], generated.duplicates[1], 0],
    ],
  );
  t.equal(result.peaks.intervalMs, 100);
  t.equal(result.peaks.levels.length, Math.ceil(result.durationMs / 100) * 2);
  t.ok(result.peaks.levels.every((level) => level >= 0 && level <= 127));
  t.ok(result.peaks.levels.filter((level) => level >= 77).length > 200, 'speech is loud in the waveform');
  t.same(
    readdirSync(join(dir, 'recordings')).sort(),
    [`${RECORDING}.hdr`, `${RECORDING}.pay`],
    'nothing temporary',
  );
});

t.test('F21 the frames of the journal are the frames of the file', async (t) => {
  const { dir, options } = folder(t);
  const generated = call(5_000);
  const journal = await writeJournal({ dir, keys, recording: RECORDING, records: generated.records });
  const request = options([journal.path]);
  await finaliseRecording(request);
  const captured = await framesOfJournal(journal.path, keys.identity);
  const streams = extractStreams(await decryptWithAge(request));
  const hex = (packets: Uint8Array[]) =>
    packets.flatMap(opusFrames).map((frame) => Buffer.from(frame).toString('hex'));
  for (const side of ['caller', 'callee'] as const) {
    t.equal(captured[side].length, generated.frames[side === 'caller' ? 0 : 1].length, side);
    t.same(hex(streams[side].map(({ packet }) => packet)), hex(captured[side]), side);
  }
});

t.test(
  'F21 the same journal gives the same file, and a repeated job keeps the one that stands',
  async (t) => {
    const { dir, options } = folder(t);
    const journal = await writeJournal({ dir, keys, recording: RECORDING, records: call(5_000).records });
    const request = options([journal.path]);
    const first = await finaliseRecording(request);
    const payload = readFileSync(request.pay);
    t.same(await finaliseRecording(request), first, 'the same answer');
    t.ok(
      readFileSync(request.pay).equals(payload),
      'the payload whose hash may be in the ledger is untouched',
    );

    const other = join(dir, 'recordings', 'other');
    const second = await finaliseRecording({ ...request, pay: `${other}.pay`, hdr: `${other}.hdr` });
    if (!first.ok || !second.ok) throw new Error('both are expected to work');
    t.equal(second.sha256, first.sha256, 'sealed anew it holds the same bytes');
    t.not(second.paySha256, first.paySha256, 'under another key');

    for (const [name, damage] of [
      ['cut off', () => truncateSync(request.pay, 1000)],
      [
        'changed',
        () =>
          writeFileSync(
            request.pay,
            payload.map((byte, i) => (i === 500 ? byte ^ 1 : byte)),
          ),
      ],
      ['of another key', () => writeFileSync(request.hdr, readFileSync(`${other}.hdr`))],
    ] as const) {
      damage();
      const again = await finaliseRecording(request);
      t.equal(again.ok && again.sha256, first.sha256, `a recording that is ${name} is made anew`);
      t.equal(
        createHash('sha256')
          .update(await decryptWithAge(request))
          .digest('hex'),
        first.sha256,
        `${name}: whole`,
      );
    }
  },
);

t.test('F23 a journal without END is finalised up to its last block and marked truncated', async (t) => {
  const { dir, options } = folder(t);
  const generated = call(10_000);
  const journal = await writeJournal({
    dir,
    keys,
    recording: RECORDING,
    records: generated.records,
    end: null,
  });
  const whole = await finaliseRecording(options([journal.path]));
  if (!whole.ok) throw new Error(whole.detail);
  t.equal(whole.truncated, true);
  t.ok(Math.abs(whole.durationMs - 10_000) <= 40, 'nothing of it is missing');

  // The last block half written, as by a power cut.
  truncateSync(journal.path, readFileSync(journal.path).length - 500);
  const torn = await finaliseRecording(options([journal.path]));
  if (!torn.ok) throw new Error(torn.detail);
  t.equal(torn.truncated, true);
  t.ok(torn.durationMs > 8_000 && torn.durationMs < whole.durationMs, `${torn.durationMs} ms are left`);
  t.equal(torn.journals[0]?.seq, journal.seq - 1);
});

t.test(
  'F34 F37 two epochs become one recording, and the hole between them is a gap in both legs',
  async (t) => {
    const { dir, options } = folder(t);
    const generated = call(30_000);
    const start = generated.records[0]?.monotonicUs ?? 0;
    const within = (from: number, to: number) =>
      generated.records.filter(({ monotonicUs }) => {
        const seconds = (monotonicUs - start) / 1_000_000;
        return seconds >= from && seconds < to;
      });
    const first = await writeJournal({ dir, keys, recording: RECORDING, records: within(0, 12), end: null });
    const second = await writeJournal({
      dir,
      keys,
      recording: RECORDING,
      records: within(15, 30),
      epoch: 2,
      recorder: 'recorder-2',
      prev: first.head,
    });
    const request = options([second.path, first.path]);
    const result = await finaliseRecording(request);
    if (!result.ok) throw new Error(result.detail);
    t.equal(result.truncated, false, 'the last epoch has its END');
    t.same(
      result.journals.map(({ epoch, seq }) => [epoch, seq]),
      [
        [1, first.seq],
        [2, second.seq],
      ],
    );
    t.ok(Math.abs(result.durationMs - 30_000) < 100, `${result.durationMs} ms`);
    for (const leg of result.legs) {
      const hole = leg.gaps.find(({ lengthMs }) => lengthMs > 2_500 && lengthMs < 3_600);
      t.ok(
        hole !== undefined && Math.abs(hole.atMs - 12_000) < 600,
        `${leg.side}: ${JSON.stringify(leg.gaps)}`,
      );
    }
  },
);

t.test('F21 what a recorder wrote into two epochs is in the file once', async (t) => {
  const { dir, options } = folder(t);
  const generated = call(10_000);
  const half = Math.floor(generated.records.length / 2);
  // The recorder's file broke: it wrote what was not acknowledged into the next one again.
  const first = await writeJournal({
    dir,
    keys,
    recording: RECORDING,
    records: generated.records.slice(0, half),
    end: null,
  });
  const second = await writeJournal({
    dir,
    keys,
    recording: RECORDING,
    records: generated.records.slice(half - 80),
    epoch: 2,
    prev: first.head,
  });
  const request = options([first.path, second.path]);
  const result = await finaliseRecording(request);
  if (!result.ok) throw new Error(result.detail);
  checkFile(generated, await readWithMediabunny(await decryptWithAge(request)));
  const duplicates = result.legs.reduce((sum, leg) => sum + leg.duplicates, 0);
  t.ok(duplicates > generated.duplicates[0] + generated.duplicates[1] + 60, `${duplicates} came twice`);
});

t.test(
  'F34 an epoch that continues an empty one, past one whose header was lost, is no rollback',
  async (t) => {
    const { dir, options } = folder(t);
    const { records } = call(4_000);
    const half = Math.floor(records.length / 2);
    const base = { dir, keys, recording: RECORDING };
    const first = await writeJournal({ ...base, records: records.slice(0, half), end: null });
    const empty = await writeJournal({ ...base, records: [], epoch: 2, prev: first.head, end: null });
    const lost = await writeJournal({ ...base, records: [], epoch: 3, prev: empty.head, end: null });
    const last = await writeJournal({ ...base, records: records.slice(half), epoch: 4, prev: empty.head });
    truncateSync(lost.path, 60);
    const result = await finaliseRecording(options([first.path, empty.path, lost.path, last.path]));
    t.equal(result.ok ? 'ok' : result.detail, 'ok');
    t.equal(empty.seq, 0, 'nothing was ever written into the second');
  },
);

t.test(
  'F33 what cannot become a recording is refused with its reason, and leaves nothing behind',
  async (t) => {
    const { dir, options } = folder(t);
    const { records } = call(5_000);
    const journal = await writeJournal({ dir, keys, recording: RECORDING, records });
    const bytes = readFileSync(journal.path);
    const damaged = (name: string, change: (copy: Buffer) => Buffer): string => {
      const path = join(dir, `${name}.scj`);
      writeFileSync(path, change(Buffer.from(bytes)));
      return path;
    };
    const silent = await writeJournal({
      dir: join(dir, 'silent'),
      keys,
      recording: RECORDING,
      records: [{ leg: 0, packet: Buffer.from('not a packet at all'), monotonicUs: 1_000_000 }],
    });
    const foreign = await writeJournal({
      dir: join(dir, 'foreign'),
      keys,
      recording: RECORDING.replace(/1$/, '2'),
      records,
    });
    const rolledBack = await writeJournal({
      dir: join(dir, 'next'),
      keys,
      recording: RECORDING,
      records,
      epoch: 2,
      prev: 'ab'.repeat(32),
    });
    for (const [name, journals, reason] of [
      [
        'a flipped bit in the middle',
        [damaged('flip', (copy) => flip(copy, copy.length >> 1))],
        'corrupt_journal',
      ],
      ['something behind END', [damaged('more', (copy) => Buffer.concat([copy, copy]))], 'corrupt_journal'],
      ['the journal of another recording', [foreign.path], 'corrupt_journal'],
      ['a journal that is not there', [journal.path, join(dir, 'nowhere.scj')], 'missing_journal'],
      ['an epoch whose predecessor lost its end', [journal.path, rolledBack.path], 'rollback_journal'],
      ['a journal without audio', [silent.path], 'no_audio'],
      ['an empty file', [damaged('empty', () => Buffer.alloc(0))], 'no_audio'],
      ['a file header cut short', [damaged('header', (copy) => copy.subarray(0, 100))], 'no_audio'],
      ['no journals', [], 'no_audio'],
    ] as const) {
      const result = await finaliseRecording(options([...journals]));
      t.equal(result.ok ? 'ok' : result.reason, reason, name);
      t.same(readdirSync(join(dir, 'recordings')), [], `${name}: no file`);
    }
  },
);

t.test(
  'F36 a journal without a head that was acknowledged is a rollback, which names epoch and block',
  async (t) => {
    const { dir, options } = folder(t);
    const { records } = call(6_000);
    const half = Math.floor(records.length / 2);
    const base = { dir, keys, recording: RECORDING };
    const first = await writeJournal({ ...base, records: records.slice(0, half), end: null });
    const second = await writeJournal({ ...base, records: records.slice(half), epoch: 2, prev: first.head });
    const heads = { first: await headsOf(first.path), second: await headsOf(second.path) };
    const whole = options([first.path, second.path]);
    const promise = (epoch: 1 | 2, seq: number) => ({
      epoch,
      seq,
      head: (epoch === 1 ? heads.first : heads.second)[seq] ?? '',
    });
    const kept = await finaliseRecording({
      ...whole,
      acknowledged: [promise(1, first.seq), promise(1, 0), promise(2, 1), promise(2, second.seq)],
    });
    t.equal(kept.ok ? 'ok' : kept.detail, 'ok', 'all that was promised is there');

    // The last whole block cut off, and the same number with another head: an old copy, and another journal.
    const cut = join(dir, 'cut.scj');
    const bytes = readFileSync(second.path);
    writeFileSync(cut, bytes.subarray(0, await startOf(second.path, second.seq)));
    for (const [name, journals, acknowledged, detail] of [
      [
        'cut',
        [first.path, cut],
        [promise(2, second.seq)],
        `epoch 2 lacks its acknowledged block ${second.seq}`,
      ],
      [
        'another',
        [first.path, second.path],
        [{ ...promise(2, 2), head: 'ab'.repeat(32) }],
        'epoch 2 lacks its acknowledged block 2',
      ],
      [
        'another number',
        [first.path, second.path],
        [{ ...promise(1, 2), seq: 3 }],
        'epoch 1 lacks its acknowledged block 3',
      ],
      [
        'gone',
        [first.path],
        [promise(1, 1), promise(2, 3)],
        'epoch 2 is gone, of which block 3 was acknowledged',
      ],
      ['first gone', [second.path], [], 'epoch 2 continues a block that no epoch before it has'],
    ] as const) {
      const at = join(dir, 'recordings', name);
      const result = await finaliseRecording({
        ...options([...journals]),
        pay: `${at}.pay`,
        hdr: `${at}.hdr`,
        acknowledged,
      });
      t.equal(result.ok ? 'ok' : result.reason, 'rollback_journal', name);
      t.match(result, { detail: new RegExp(`^${detail}`) }, name);
      t.notOk(existsSync(`${at}.pay`), `${name}: no file`);
    }
  },
);

t.test('F23 the report says of every journal how far it goes and what lies behind', async (t) => {
  const { dir, options } = folder(t);
  const { records } = call(5_000);
  const journal = await writeJournal({ dir, keys, recording: RECORDING, records, end: null });
  const whole = readFileSync(journal.path).length;
  const last = await startOf(journal.path, journal.seq);
  truncateSync(journal.path, whole - 40);
  const torn = await finaliseRecording(options([journal.path]));
  const heads = await headsOf(journal.path);
  const seq = journal.seq - 1;
  t.match(torn, {
    ok: true,
    endReason: null,
    recovered: [
      { epoch: 1, seq, head: heads[seq], status: 'torn', goodBytes: last, tailBytes: whole - 40 - last },
    ],
  });
  const bytes = readFileSync(journal.path);
  writeFileSync(journal.path, flip(bytes, (await startOf(journal.path, 2)) + 40));
  const corrupt = await finaliseRecording(options([journal.path]));
  t.match(corrupt, {
    ok: false,
    reason: 'corrupt_journal',
    journals: [{ epoch: 1, seq: 1, head: heads[1], status: 'corrupt' }],
  });
});

t.test('an identity that does not fit is an error to try again after, not a verdict', async (t) => {
  const { dir, options } = folder(t);
  const journal = await writeJournal({ dir, keys, recording: RECORDING, records: call(1_000).records });
  const { identity } = await createKeys();
  await t.rejects(finaliseRecording({ ...options([journal.path]), identity }));
  await t.rejects(framesOfJournal(join(dir, 'nowhere.scj'), keys.identity));
});

/** c[0], c[1], ... as the chain says. */
async function headsOf(path: string): Promise<string[]> {
  const reader = await readJournal(path);
  const heads = [reader.startHead];
  for await (const block of reader) heads.push(block.head);
  return heads;
}

/** Where a block begins. */
async function startOf(path: string, seq: number): Promise<number> {
  for await (const block of await readJournal(path)) if (block.seq === seq) return block.offsetBytes;
  throw new Error(`there is no block ${seq}`);
}

function flip(bytes: Buffer, at: number): Buffer {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
}
