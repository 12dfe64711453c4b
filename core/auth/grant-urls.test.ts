import { createHmac, randomBytes } from 'node:crypto';
import t from 'tap';
import type { GrantFacts, GrantQuery } from './grant-urls.ts';
import { GrantSigner } from './grant-urls.ts';

const FACTS: GrantFacts = {
  grantId: '5e0b3c1e-8a53-4a0e-9b1f-0d6c6f0c2a11',
  endsAtS: 1_795_000_000,
  sessionId: 'a9f1c2d3-0000-4000-8000-000000000001',
  appId: 'acme',
  userId: 'alice',
  disposition: 'inline',
};

function queryOf(url: string): GrantQuery {
  const { searchParams } = new URL(url, 'http://localhost');
  return { e: searchParams.get('e') ?? '', k: searchParams.get('k') ?? '', s: searchParams.get('s') ?? '' };
}

t.test(
  'F25 the signature is HMAC-SHA-256 over method, path, end, session, user and disposition',
  async (t) => {
    const key = Buffer.alloc(32, 7);
    const text = [
      'verbatim/grant/v1',
      'GET',
      '/media/5e0b3c1e-8a53-4a0e-9b1f-0d6c6f0c2a11',
      '1795000000',
      'a9f1c2d3-0000-4000-8000-000000000001',
      'acme',
      'alice',
      'inline',
    ].join('\n');
    const expected = createHmac('sha256', key).update(text).digest('base64url');
    const signer = new GrantSigner(key);
    t.equal(signer.url(FACTS), `/media/${FACTS.grantId}?e=1795000000&k=${signer.kid}&s=${expected}`);
  },
);

t.test('an address fits its own grant and no other', async (t) => {
  const signer = new GrantSigner(randomBytes(32));
  const query = queryOf(signer.url(FACTS));
  t.equal(signer.verify(FACTS, query), true);
  const others: Partial<GrantFacts>[] = [
    { grantId: '5e0b3c1e-8a53-4a0e-9b1f-0d6c6f0c2a12' },
    { endsAtS: FACTS.endsAtS + 1 },
    { sessionId: 'a9f1c2d3-0000-4000-8000-000000000002' },
    { appId: 'other' },
    { userId: 'bob' },
    { disposition: 'attachment' },
  ];
  for (const other of others)
    t.equal(signer.verify({ ...FACTS, ...other }, query), false, JSON.stringify(other));
});

t.test('an address with any one bit changed is refused', async (t) => {
  const signer = new GrantSigner(randomBytes(32));
  const query = queryOf(signer.url(FACTS));
  for (const name of ['e', 'k', 's'] as const) {
    for (let at = 0; at < query[name].length * 8; at += 1) {
      const bytes = Buffer.from(query[name], 'latin1');
      bytes[at >> 3] = (bytes[at >> 3] ?? 0) ^ (1 << (at & 7));
      if (signer.verify(FACTS, { ...query, [name]: bytes.toString('latin1') })) t.fail(`${name}, bit ${at}`);
    }
  }
  for (const s of [`${query.s}=`, `${query.s}A`, query.s.slice(0, -1), '', ` ${query.s}`]) {
    t.equal(signer.verify(FACTS, { ...query, s }), false, JSON.stringify(s));
  }
  for (const e of [`0${query.e}`, `+${query.e}`, ` ${query.e}`, `${query.e}.0`]) {
    t.equal(signer.verify(FACTS, { ...query, e }), false, JSON.stringify(e));
  }
});

t.test('an address of another key is refused', async (t) => {
  const query = queryOf(new GrantSigner(randomBytes(32)).url(FACTS));
  const other = new GrantSigner(randomBytes(32));
  t.equal(other.verify(FACTS, query), false);
  t.equal(other.verify(FACTS, { ...query, k: other.kid }), false);
  t.throws(() => new GrantSigner(Buffer.alloc(31)), /at least 32 bytes/);
});
