import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadSecrets } from '#config';
import { Apps } from '../../core/auth/index.ts';
import { testDatabase, testDir } from '../../core/db/fixture.ts';
import { insertApp } from '../../core/db/index.ts';
import { removeIce, setIce, setRetention, setRingTime, showApp } from './app-commands.ts';

const secrets = loadSecrets(await testDir(t));
const db = { ...(await testDatabase(t)), secrets };
await insertApp(db, { id: 'shop', name: 'Shop', recordingEnabled: false });

t.test(
  'F32 F14 how long recordings are kept, how long calls ring and by which servers they find each other',
  async (t) => {
    t.match((await setRetention(db, 'shop', '30')).data, { retentionDays: 30 });
    t.match((await setRingTime(db, 'shop', '20')).data, { ringTimeoutMs: 20_000, retentionDays: 30 });
    const secretFile = join(t.testdir(), 'secret');
    writeFileSync(secretFile, 'north-by-northwest\n');
    const told = await setIce(db, 'shop', {
      stun: 'stun:a.example, stun:b.example:3478',
      turn: 'turn:c.example',
      'relay-only': 'on',
      'credential-seconds': '600',
      'secret-file': secretFile,
    });
    const ice = {
      stunUrls: ['stun:a.example', 'stun:b.example:3478'],
      turnUrls: ['turn:c.example'],
      relayOnly: true,
      credentialSeconds: 600,
    };
    t.strictSame(told.data.ice, ice);
    t.notMatch(JSON.stringify(told), /north-by/, 'the secret is not shown');
    t.strictSame(await new Apps(db, secrets.sealKey).ice('shop'), { ...ice, secret: 'north-by-northwest' });
    t.strictSame((await showApp(db, 'shop')).lines, [
      'shop  "Shop"',
      'secure calls:   off',
      'calls ring for: 20 s',
      'recordings:     kept for 30 days',
      'origins:        none but this server’s own pages',
      'ICE servers:    stun:a.example, stun:b.example:3478, turn:c.example, relay only',
    ]);
    t.equal((await removeIce(db, 'shop')).data.ice, null);
    t.equal((await setRetention(db, 'shop', 'forever')).data.retentionDays, null);
  },
);

t.test('what is wrong is refused in one sentence, and nothing is changed', async (t) => {
  const before = (await showApp(db, 'shop')).data;
  const long = join(t.testdir(), 'secret');
  writeFileSync(long, 'a secret with spaces in it');
  const cases: [what: string, act: () => Promise<unknown>, expected: RegExp][] = [
    ['no such app', () => showApp(db, 'none'), /^There is no app "none"/],
    ['retention of no app', () => setRetention(db, 'none', '30'), /^There is no app "none"/],
    ['ice of no app', () => setIce(db, 'none', { stun: 'stun:a.example' }), /^There is no app "none"/],
    ['no days', () => setRetention(db, 'shop', '0'), /^Expected forever, or days from 1 to 36500, got "0"/],
    ['half a day', () => setRetention(db, 'shop', '0.5'), /got "0\.5"/],
    ['101 years', () => setRetention(db, 'shop', '36501'), /got "36501"/],
    ['four seconds', () => setRingTime(db, 'shop', '4'), /^Expected seconds from 5 to 180, got "4"/],
    ['no servers', () => setIce(db, 'shop', {}), /^Name servers with --stun or --turn/],
    ['no STUN address', () => setIce(db, 'shop', { stun: 'http://a' }), /^--stun, --turn: expected up to 4/],
    ['relays without a secret', () => setIce(db, 'shop', { turn: 'turn:a.example' }), /need the secret/],
    [
      'a secret with spaces',
      () => setIce(db, 'shop', { turn: 'turn:a.example', 'secret-file': long }),
      /^--secret-file: expected the secret that the relays know(?!.*in it)/,
    ],
    [
      'neither on nor off',
      () => setIce(db, 'shop', { stun: 'stun:a.example', 'relay-only': 'yes' }),
      /^--relay-only: expected on or off, got "yes"/,
    ],
  ];
  for (const [what, act, expected] of cases)
    await t.rejects(act, { name: 'OperatorError', message: expected }, what);
  t.strictSame((await showApp(db, 'shop')).data, before);
});
