import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import t from 'tap';
import { generateServerIdentity, readIdentity, readRecipients } from './keys.ts';

t.test('creates identity and recipients once, for the owner only, and never replaces them', async (t) => {
  const dir = t.testdir({});
  const secrets = join(dir, 'data', 'secrets');
  const keys = join(dir, 'data', 'keys');
  const first = await generateServerIdentity(secrets, keys);
  t.equal(first.created, true);
  t.equal(statSync(join(secrets, 'server.age')).mode & 0o777, 0o600);
  t.equal(statSync(secrets).mode & 0o777, 0o700);
  const text = readFileSync(join(secrets, 'server.age'), 'utf8');
  t.same(await readRecipients(keys), [first.recipient]);
  t.equal(await identityToRecipient(await readIdentity(secrets)), first.recipient);

  const second = await generateServerIdentity(secrets, keys);
  t.same(second, { recipient: first.recipient, created: false });
  t.equal(readFileSync(join(secrets, 'server.age'), 'utf8'), text);
});

t.test('the recipients follow the settings: the server first, then the recovery keys', async (t) => {
  const dir = t.testdir({});
  const keys = join(dir, 'keys');
  const { recipient } = await generateServerIdentity(dir, keys);
  await rm(join(keys, 'recording.pub'));
  await generateServerIdentity(dir, keys);
  t.same(await readRecipients(keys), [recipient]);
  const recovery = await identityToRecipient(await generateX25519Identity());
  await generateServerIdentity(dir, keys, [recovery]);
  t.same(await readRecipients(keys), [recipient, recovery]);
  await generateServerIdentity(dir, keys);
  t.same(await readRecipients(keys), [recipient]);
  writeFileSync(join(keys, 'recording.pub'), `# server\n${recipient}\n\n  # recovery\n${recovery}\n`);
  t.same(await readRecipients(keys), [recipient, recovery], 'comments and empty lines are passed over');
});

t.test('ten processes that start at once agree on one identity', async (t) => {
  const dir = t.testdir({});
  const all = await Promise.all(Array.from({ length: 10 }, () => generateServerIdentity(dir, dir)));
  t.equal(new Set(all.map(({ recipient }) => recipient)).size, 1);
  t.equal(all.filter(({ created }) => created).length, 1);
});

t.test('files that hold something else are refused, not repaired', async (t) => {
  const dir = t.testdir({});
  for (const text of ['', 'AGE-SECRET\n', 'AGE-SECRET-KEY-1A\nAGE-SECRET-KEY-1B\n']) {
    writeFileSync(join(dir, 'server.age'), text);
    await t.rejects(readIdentity(dir), { code: 'corrupt' });
    await t.rejects(generateServerIdentity(dir, dir), { code: 'corrupt' });
    t.equal(readFileSync(join(dir, 'server.age'), 'utf8'), text);
  }
  for (const text of ['', '# only a comment\n', 'ssh-ed25519 AAAA\n', 'age1a\n'.repeat(17)]) {
    writeFileSync(join(dir, 'recording.pub'), text);
    await t.rejects(readRecipients(dir), { code: 'corrupt' });
  }
  await t.rejects(readIdentity(join(dir, 'nowhere')), { code: 'ENOENT' });
});
