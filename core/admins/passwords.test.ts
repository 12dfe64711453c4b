import t from 'tap';
import { ADMIN_LIMITS } from './limits.ts';
import { Passwords } from './passwords.ts';
import { networkOf } from './throttle.ts';
import { assertStrong } from './weak-passwords.ts';

t.test('F43 a password is kept as argon2id of 64 MiB, and only the same one opens', async (t) => {
  const passwords = new Passwords();
  const hash = await passwords.hash('grüne Äpfel im Schnee');
  t.match(hash, /^\$argon2id\$v=19\$m=65536,t=3,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  t.not(await passwords.hash('grüne Äpfel im Schnee'), hash, 'its own salt');
  t.ok(await passwords.verify('grüne Äpfel im Schnee', hash));
  t.ok(await passwords.verify('gru\u0308ne A\u0308pfel im Schnee', hash), 'typed on another keyboard');
  t.notOk(await passwords.verify('grüne Äpfel im schnee', hash));
  t.notOk(await passwords.verify('grüne Äpfel im Schnee', undefined), 'nobody has this login');
  await t.rejects(passwords.verify('x', '$2b$10$abc'), { code: 'corrupt' });
});

t.test('F43 hashing many passwords at once is refused before it takes the memory', async (t) => {
  const passwords = new Passwords({ memory: 64, passes: 1, parallelism: 1 });
  const many = ADMIN_LIMITS.hashesAtOnce + ADMIN_LIMITS.hashesWaiting;
  const results = await Promise.allSettled(Array.from({ length: many + 3 }, () => passwords.hash('x')));
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, many);
  t.match(
    results.find(({ status }) => status === 'rejected'),
    { reason: { code: 'busy_server' } },
  );
  t.ok(await passwords.hash('x'), 'and later it works again');
});

t.test('F43 passwords that others would guess are refused, whatever signs are in them', async (t) => {
  const guessable = [
    'hunter2',
    'Password1234!',
    'P@ssw0rdP@ssw0rd',
    '123456789012345',
    'qwertyuiopasdf',
    'iloveyouforever',
    'verbatim-verbatim',
    'maria.lindqvist1984',
    'abcabcabcabcabc',
  ];
  for (const password of guessable)
    t.throws(() => assertStrong(password, ['maria', 'Maria Lindqvist']), { code: 'bad_request' }, password);
  for (const password of [
    'correct horse battery staple',
    'seven quiet herons over Tromsø',
    '九只安静的苍鹭飞过特罗姆瑟上空',
  ])
    t.doesNotThrow(() => assertStrong(password, ['maria', 'Maria Lindqvist']), password);
});

t.test('F43 failures are counted for a network: an IPv4 address, or a /64', async (t) => {
  t.equal(networkOf('203.0.113.9'), '203.0.113.9');
  t.equal(networkOf('::ffff:203.0.113.9'), '203.0.113.9');
  t.equal(networkOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64');
  t.equal(networkOf('2001:db8:1:2::1'), networkOf('2001:0db8:0001:0002:ffff::'));
  t.not(networkOf('2001:db8:1:2::1'), networkOf('2001:db8:1:3::1'));
  t.equal(networkOf('::1'), '0:0:0:0::/64');
  t.equal(networkOf('fe80::1%eth0'), 'fe80:0:0:0::/64');
});
