import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import fc from 'fast-check';
import t from 'tap';
import { sealFile } from './seal-file.ts';
import { CHUNK_BYTES, openSealed, PAYLOAD_NONCE_BYTES, SEALED_CHUNK_BYTES } from './sealed.ts';

const identity = await generateX25519Identity();
const recipients = [await identityToRecipient(identity)];
const hasAge = ['/usr/bin/age', '/usr/local/bin/age'].some((path) => existsSync(path));
const ageTest = { skip: hasAge ? false : 'the age command is not installed' };

/** Around every border of the format: empty, one byte, chunks that end exactly, one more, one less. */
const SIZES = [
  0,
  1,
  100,
  CHUNK_BYTES - 1,
  CHUNK_BYTES,
  CHUNK_BYTES + 1,
  2 * CHUNK_BYTES,
  3 * CHUNK_BYTES + 777,
];

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

t.test('F29 the stock age command opens what we seal, at every border size', ageTest, async (t) => {
  const dir = t.testdir({ key: `${identity}\n` });
  const pay = join(dir, 'a.pay');
  const hdr = join(dir, 'a.hdr');
  for (const size of SIZES) {
    const plaintext = randomBytes(size);
    const result = await sealFile({ plaintext, pay, hdr, recipients });
    const file = Buffer.concat([readFileSync(hdr), readFileSync(pay)]);
    const opened = execFileSync('age', ['-d', '-i', join(dir, 'key')], { input: file });
    t.ok(opened.equals(plaintext), `${size} bytes`);
    const payBytes = readFileSync(pay);
    t.same(result, {
      sizeBytes: size,
      sha256: sha256(plaintext),
      paySizeBytes: payBytes.length,
      paySha256: sha256(payBytes),
      hdrSizeBytes: readFileSync(hdr).length,
      hdrSha256: sha256(readFileSync(hdr)),
    });
  }
  t.same(readdirSync(dir).sort(), ['a.hdr', 'a.pay', 'key'], 'no temporary file is left');
  t.equal(statSync(pay).mode & 0o777, 0o600);
  t.equal(statSync(hdr).mode & 0o777, 0o600);
});

t.test('opens what the stock age command sealed, split behind its header', ageTest, async (t) => {
  const dir = t.testdir({});
  for (const size of SIZES) {
    const plaintext = randomBytes(size);
    const recipient = recipients[0] ?? '';
    const file = execFileSync('age', ['-r', recipient], { input: plaintext, maxBuffer: 1 << 24 });
    const headerEnd = file.indexOf('\n', file.indexOf('\n---') + 1) + 1;
    writeFileSync(join(dir, 'b.hdr'), file.subarray(0, headerEnd));
    writeFileSync(join(dir, 'b.pay'), file.subarray(headerEnd));
    const sealed = await openSealed({ pay: join(dir, 'b.pay'), hdr: join(dir, 'b.hdr'), identity });
    t.equal(sealed.sizeBytes, size);
    t.ok((await sealed.read(0, size)).equals(plaintext), `${size} bytes`);
    await sealed.close();
  }
});

t.test('every recipient opens the file, a stranger does not', async (t) => {
  const dir = t.testdir({});
  const recovery = await generateX25519Identity();
  const stranger = await generateX25519Identity();
  const file = { pay: join(dir, 'a.pay'), hdr: join(dir, 'a.hdr') };
  const plaintext = randomBytes(1000);
  await sealFile({ ...file, plaintext, recipients: [...recipients, await identityToRecipient(recovery)] });
  for (const key of [identity, recovery]) {
    const sealed = await openSealed({ ...file, identity: key });
    t.ok((await sealed.read(0, 1000)).equals(plaintext));
    await sealed.close();
  }
  await t.rejects(openSealed({ ...file, identity: stranger }), { code: 'corrupt' });
});

t.test('reads and streams any range, at chunk borders and across them', async (t) => {
  const dir = t.testdir({});
  const file = { pay: join(dir, 'a.pay'), hdr: join(dir, 'a.hdr') };
  const plaintext = randomBytes(10 * CHUNK_BYTES + 123);
  // As an iterable of odd pieces, the way a muxer delivers.
  const pieces = Array.from({ length: Math.ceil(plaintext.length / 9973) }, (_, i) =>
    plaintext.subarray(i * 9973, (i + 1) * 9973),
  );
  await sealFile({ ...file, plaintext: pieces, recipients });
  const sealed = await openSealed({ ...file, identity });
  const around = [0, 1, 2, 9, 10]
    .flatMap((n) => [-1, 0, 1].map((d) => n * CHUNK_BYTES + d))
    .filter((n) => n >= 0);
  for (const from of around) {
    for (const to of [...around, plaintext.length, plaintext.length + 5]) {
      if (to < from) continue;
      const wanted = plaintext.subarray(from, to);
      if (!(await sealed.read(from, to - from)).equals(wanted)) t.fail(`read ${from}-${to}`);
      if (!(await buffer(sealed.stream(from, to))).equals(wanted)) t.fail(`stream ${from}-${to}`);
    }
  }
  await fc.assert(
    fc.asyncProperty(fc.nat(plaintext.length + 10), fc.nat(3 * CHUNK_BYTES), async (offset, length) => {
      const wanted = plaintext.subarray(offset, offset + length);
      return (await sealed.read(offset, length)).equals(wanted);
    }),
    { numRuns: 100 },
  );
  await t.rejects(sealed.read(-1, 5), { code: 'range_not_satisfiable' });
  await t.rejects(sealed.read(0, Number.NaN), { code: 'range_not_satisfiable' });
  await sealed.close();
  await sealed.close();
  await t.rejects(sealed.read(0, 1), { code: 'internal' });
});

t.test('a payload that was cut, extended, flipped or put together anew is refused', async (t) => {
  const dir = t.testdir({});
  const file = { pay: join(dir, 'a.pay'), hdr: join(dir, 'a.hdr') };
  await sealFile({ ...file, plaintext: randomBytes(3 * CHUNK_BYTES + 500), recipients });
  const pay = readFileSync(file.pay);
  const hdr = readFileSync(file.hdr);
  const chunk = (n: number) =>
    pay.subarray(
      PAYLOAD_NONCE_BYTES + n * SEALED_CHUNK_BYTES,
      PAYLOAD_NONCE_BYTES + (n + 1) * SEALED_CHUNK_BYTES,
    );
  const nonce = pay.subarray(0, PAYLOAD_NONCE_BYTES);
  const flip = (at: number) => {
    const bytes = Buffer.from(pay);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes;
  };
  const cutAt = [0, 15, 16, 17, 31, 32, pay.length - 1, pay.length - 500, pay.length - 516, pay.length - 517];
  const chunkCuts = [1, 2, 3].map((n) => PAYLOAD_NONCE_BYTES + n * SEALED_CHUNK_BYTES);
  /** Whether already opening must fail, or the read of what was touched. */
  const cases: { what: string; bytes: Buffer; when: 'open' | 'read' }[] = [
    ...[...cutAt, ...chunkCuts].map((at) => ({
      what: `cut at ${at}`,
      bytes: pay.subarray(0, at),
      when: 'open' as const,
    })),
    { what: 'one byte more', bytes: Buffer.concat([pay, Buffer.alloc(1)]), when: 'open' },
    { what: 'an empty last chunk more', bytes: Buffer.concat([pay, Buffer.alloc(16)]), when: 'open' },
    { what: 'flipped nonce', bytes: flip(3), when: 'open' },
    { what: 'flipped last byte', bytes: flip(pay.length - 1), when: 'open' },
    { what: 'flipped in the first chunk', bytes: flip(PAYLOAD_NONCE_BYTES), when: 'read' },
    { what: 'flipped tag in the second chunk', bytes: flip(16 + 2 * SEALED_CHUNK_BYTES - 1), when: 'read' },
    {
      what: 'chunks swapped',
      bytes: Buffer.concat([nonce, chunk(1), chunk(0), chunk(2), chunk(3)]),
      when: 'read',
    },
    {
      what: 'a chunk twice',
      bytes: Buffer.concat([nonce, chunk(0), chunk(0), chunk(2), chunk(3)]),
      when: 'read',
    },
    { what: 'a chunk left out', bytes: Buffer.concat([nonce, chunk(0), chunk(1), chunk(3)]), when: 'open' },
  ];
  for (const { what, bytes, when } of cases) {
    writeFileSync(file.pay, bytes);
    const opening = openSealed({ ...file, identity });
    if (when === 'open') {
      await t.rejects(opening, { code: 'corrupt' }, what);
      continue;
    }
    const sealed = await opening;
    await t.rejects(sealed.read(0, sealed.sizeBytes), { code: 'corrupt' }, what);
    await t.rejects(buffer(sealed.stream()), { code: 'corrupt' }, `${what}, streamed`);
    await sealed.close();
  }
  writeFileSync(file.pay, pay);
  for (const bytes of [Buffer.alloc(0), hdr.subarray(0, -1), Buffer.alloc(20_000, 'a')]) {
    writeFileSync(file.hdr, bytes);
    await t.rejects(openSealed({ ...file, identity }), { code: 'corrupt' }, 'a broken header');
  }
  await t.rejects(openSealed({ ...file, hdr: join(dir, 'none'), identity }), { code: 'not_found' });
  writeFileSync(file.hdr, hdr);
  await t.rejects(openSealed({ ...file, pay: join(dir, 'none'), identity }), { code: 'not_found' });
});

t.test('what does not pass the check before the rename never appears', async (t) => {
  const dir = t.testdir({});
  const file = { pay: join(dir, 'a.pay'), hdr: join(dir, 'a.hdr') };
  const plaintext = randomBytes(70_000);
  const failing = sealFile({
    ...file,
    plaintext,
    recipients,
    verify: async (temporary) => {
      const sealed = await openSealed({ ...temporary, identity });
      t.ok((await sealed.read(0, sealed.sizeBytes)).equals(plaintext), 'the temporary files are whole');
      await sealed.close();
      throw new Error('not the same');
    },
  });
  await t.rejects(failing, { message: /not the same/ });
  t.same(readdirSync(dir), []);
  await t.rejects(sealFile({ ...file, plaintext, recipients: [] }), { code: 'internal' });
  const broken = sealFile({
    ...file,
    recipients,
    plaintext: (async function* () {
      yield plaintext;
      throw new Error('the source broke');
    })(),
  });
  await t.rejects(broken, { message: /the source broke/ });
  t.same(readdirSync(dir), []);
});

t.test('sealing again replaces the pair, for a finalise job that is repeated', async (t) => {
  const dir = t.testdir({});
  const file = { pay: join(dir, 'a.pay'), hdr: join(dir, 'a.hdr') };
  await sealFile({ ...file, plaintext: Buffer.from('first'), recipients });
  await sealFile({ ...file, plaintext: Buffer.from('second'), recipients });
  const sealed = await openSealed({ ...file, identity });
  t.equal((await sealed.read(0, 100)).toString(), 'second');
  await sealed.close();
});

t.test('what a killed run left is gone when the next one seals', async (t) => {
  const dir = t.testdir({
    'a.pay.tmp': 'half a payload',
    'a.hdr.tmp': 'its header',
    'b.pay.tmp': 'of another',
  });
  await sealFile({
    pay: join(dir, 'a.pay'),
    hdr: join(dir, 'a.hdr'),
    plaintext: Buffer.from('x'),
    recipients,
  });
  t.same(readdirSync(dir).sort(), ['a.hdr', 'a.pay', 'b.pay.tmp']);
});

t.test('of two runs that seal one recording at once the earlier gives up, and the pair is one', async (t) => {
  const dir = t.testdir({});
  const file = { pay: join(dir, 'a.pay'), hdr: join(dir, 'a.hdr') };
  const [begun, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const slow = sealFile({
    ...file,
    plaintext: Buffer.from('slow'),
    recipients,
    verify: async () => {
      begun.resolve();
      await go.promise;
    },
  });
  await begun.promise;
  const fast = sealFile({
    ...file,
    plaintext: Buffer.from('fast'),
    recipients,
    verify: async () => {
      go.resolve();
      await t.rejects(slow, { code: 'conflict', message: /another run seals the same recording/ });
    },
  });
  await t.resolves(fast);
  const sealed = await openSealed({ ...file, identity });
  t.equal((await sealed.read(0, 100)).toString(), 'fast');
  await sealed.close();
  t.same(readdirSync(dir).sort(), ['a.hdr', 'a.pay']);
});
