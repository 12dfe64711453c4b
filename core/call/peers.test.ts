import { createHmac } from 'node:crypto';
import t from 'tap';
import type { CallView, ErrorCode, NotificationName } from '#protocol';
import { PEER_LIMITS, VerbatimError } from '#protocol';
import { currentDisclosure } from '../db/calls.ts';
import { testDatabase } from '../db/fixture.ts';
import { addDisclosure, insertApp, putChat, putUser } from '../db/index.ts';
import { FakeMediaServer } from '../media/index.ts';
import { noEvidence } from '../recording/test/no-evidence.ts';
import { iceServersFor } from './ice-servers.ts';
import type { Participant } from './ports.ts';
import type { CallServiceDeps } from './service.ts';
import { CallService } from './service.ts';

/** What the server passes on between the two browsers of a voice call, and what it refuses. */

const db = await testDatabase(t);
const APP = 'shop';
await insertApp(db, { id: APP, name: 'Shop', recordingEnabled: true });
for (const id of ['ann', 'ben', 'cat', 'dan']) await putUser(db, APP, id, { name: id.toUpperCase() });
await putChat(db, APP, 'pair', { kind: 'direct', members: ['ann', 'ben'] });
await putChat(db, APP, 'others', { kind: 'direct', members: ['cat', 'dan'] });

const who = (userId: string, device = `${userId}-phone`): Participant => ({
  appId: APP,
  userId,
  device,
  name: userId.toUpperCase(),
});
const [ann, ben, cat, dan] = [who('ann'), who('ben'), who('cat'), who('dan')];
const SDP = 'v=0\r\n';
const ICE = {
  stunUrls: ['stun:relay.example'],
  turnUrls: ['turn:relay.example'],
  secret: 'north-by-northwest',
  credentialSeconds: 3_600,
  relayOnly: false,
};

interface Told {
  to: string;
  device: string;
  name: NotificationName;
  params: unknown;
}

function stage(deps: Pick<CallServiceDeps, 'iceOfApp'> = {}) {
  const told: Told[] = [];
  const service = new CallService({
    db,
    media: new FakeMediaServer(),
    recording: {
      open: () => new Promise(() => undefined),
      reopen: () => new Promise(() => undefined),
    },
    evidence: noEvidence,
    devices: {
      online: () => true,
      devicesOf: (_app, userId) => [`${userId}-phone`, `${userId}-desk`],
      notify: (_app, to, device, name, params) => void told.push({ to, device, name, params }),
    },
    limits: { graceMs: 15_000, connectTimeoutMs: 20_000, maxCalls: 10 },
    ice: ICE,
    ...deps,
    log: { warn: () => {}, info: () => {} },
  });
  const peers = (): Told[] => told.filter(({ name }) => name.startsWith('peer.'));
  const lastView = (userId: string): CallView | undefined => {
    const last = told.findLast(({ to, name }) => to === userId && name.startsWith('call.'));
    return (last?.params as { call: CallView } | undefined)?.call;
  };
  return { service, peers, lastView };
}
type Stage = ReturnType<typeof stage>;

/** A voice call that both have taken part in. */
async function connecting({ service }: Stage): Promise<{ callId: string }> {
  const { callId } = await service.start(ann, { chatId: 'pair', mode: 'voice' });
  await service.accept(ben, { callId });
  return { callId };
}

async function refused(act: () => unknown): Promise<ErrorCode | 'nothing'> {
  try {
    await act();
    return 'nothing';
  } catch (error) {
    if (error instanceof VerbatimError) return error.code;
    throw error;
  }
}

const candidates = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    candidate: `candidate:${index} 1 udp 1 192.0.2.1 ${1_000 + index} typ host`,
    sdpMid: '0',
    sdpMLineIndex: 0,
  }));

t.test(
  'F14 offer, answer and candidates reach the other device of the call, in order and unchanged',
  async (t) => {
    const s = stage();
    const call = await connecting(s);
    s.service.describePeer(ann, { ...call, kind: 'offer', round: 1, sdp: `${SDP}offer` });
    t.same(s.service.passCandidates(ann, { ...call, round: 1, candidates: candidates(2) }), {
      relayed: true,
    });
    s.service.describePeer(ben, { ...call, kind: 'answer', round: 1, sdp: `${SDP}answer` });
    s.service.passCandidates(ben, { ...call, round: 1, candidates: candidates(1) });
    t.same(s.peers(), [
      {
        to: 'ben',
        device: 'ben-phone',
        name: 'peer.description',
        params: { ...call, kind: 'offer', round: 1, sdp: `${SDP}offer` },
      },
      {
        to: 'ben',
        device: 'ben-phone',
        name: 'peer.candidates',
        params: { ...call, round: 1, candidates: candidates(2) },
      },
      {
        to: 'ann',
        device: 'ann-phone',
        name: 'peer.description',
        params: { ...call, kind: 'answer', round: 1, sdp: `${SDP}answer` },
      },
      {
        to: 'ann',
        device: 'ann-phone',
        name: 'peer.candidates',
        params: { ...call, round: 1, candidates: candidates(1) },
      },
    ]);
    await s.service.reportPath(ann, call, 'connected');
    t.equal(s.lastView('ben')?.state, 'connecting', 'one word is not enough');
    await s.service.reportPath(ben, call, 'connected');
    t.equal(s.lastView('ben')?.state, 'active');
    t.ok(s.lastView('ann')?.activeAt);

    await s.service.reportPath(ben, call, 'broken');
    t.match(s.peers().at(-1), { to: 'ann', name: 'peer.broken', params: call }, 'F16 the other side is told');
    s.service.describePeer(ann, { ...call, kind: 'offer', round: 2, sdp: SDP });
    t.same(
      s.service.passCandidates(ben, { ...call, round: 1, candidates: candidates(1) }),
      { relayed: false },
      'what belongs to the round before is dropped',
    );
    t.match(s.peers().at(-1), { to: 'ben', name: 'peer.description' });
    await s.service.close();
  },
);

t.test(
  'F14 what does not belong, or comes too early, too often or too late is refused and passed to nobody',
  async (t) => {
    const s = stage();
    const offer = { kind: 'offer', round: 1, sdp: SDP } as const;
    const call = { callId: (await s.service.start(ann, { chatId: 'pair', mode: 'voice' })).callId };
    const early: [string, () => unknown, ErrorCode][] = [
      ['an offer while it rings', () => s.service.describePeer(ann, { ...call, ...offer }), 'conflict'],
      [
        'candidates while it rings',
        () => s.service.passCandidates(ann, { ...call, round: 1, candidates: candidates(1) }),
        'conflict',
      ],
      ['a path while it rings', () => s.service.reportPath(ann, call, 'connected'), 'conflict'],
      ['no path while it rings', () => s.service.reportPath(ann, call, 'failed'), 'conflict'],
      ['servers for a device that has not accepted', () => s.service.peerServers(ben, call), 'forbidden'],
      [
        'the server’s own media',
        () => s.service.openMedia(ann, { ...call, rtpCapabilities: {} }),
        'wrong_media_path',
      ],
    ];
    for (const [title, act, code] of early) t.equal(await refused(act), code, title);
    t.match(
      s.service.peerServers(ann, call),
      { iceTransportPolicy: 'all' },
      'the caller prepares while it rings',
    );

    await s.service.accept(ben, call);
    const later: [string, () => unknown, ErrorCode][] = [
      ['a person of another chat', () => s.service.describePeer(cat, { ...call, ...offer }), 'not_found'],
      [
        'another device of the caller',
        () => s.service.describePeer(who('ann', 'ann-desk'), { ...call, ...offer }),
        'forbidden',
      ],
      [
        'another device of the called side',
        () =>
          s.service.passCandidates(who('ben', 'ben-desk'), { ...call, round: 1, candidates: candidates(1) }),
        'forbidden',
      ],
      ['servers for a stranger', () => s.service.peerServers(dan, call), 'not_found'],
      ['an offer of the called side', () => s.service.describePeer(ben, { ...call, ...offer }), 'forbidden'],
      [
        'an answer of the caller',
        () => s.service.describePeer(ann, { ...call, ...offer, kind: 'answer' }),
        'forbidden',
      ],
      [
        'an answer to nothing',
        () => s.service.describePeer(ben, { ...call, ...offer, kind: 'answer' }),
        'conflict',
      ],
      [
        'candidates of no offer',
        () => s.service.passCandidates(ann, { ...call, round: 1, candidates: candidates(1) }),
        'conflict',
      ],
      ['a path without an answer', () => s.service.reportPath(ann, call, 'connected'), 'conflict'],
    ];
    for (const [title, act, code] of later) t.equal(await refused(act), code, title);
    t.same(s.peers(), [], 'nothing of it reached anybody');

    s.service.describePeer(ann, { ...call, ...offer });
    const answer = { ...call, kind: 'answer', round: 1, sdp: SDP } as const;
    const after: [string, () => unknown, ErrorCode][] = [
      ['the same round again', () => s.service.describePeer(ann, { ...call, ...offer }), 'conflict'],
      ['an answer of another round', () => s.service.describePeer(ben, { ...answer, round: 2 }), 'conflict'],
      [
        'candidates before their answer',
        () => s.service.passCandidates(ben, { ...call, round: 1, candidates: candidates(1) }),
        'conflict',
      ],
      ['the answer', () => s.service.describePeer(ben, answer), 'nothing' as ErrorCode],
      ['the answer again', () => s.service.describePeer(ben, answer), 'conflict'],
      [
        'candidates of a round that is not there yet',
        () => s.service.passCandidates(ann, { ...call, round: 2, candidates: candidates(1) }),
        'conflict',
      ],
    ];
    for (const [title, act, code] of after) t.equal(await refused(act), code, title);

    for (let count = 0; count < PEER_LIMITS.maxCandidates; count += 16)
      s.service.passCandidates(ann, { ...call, round: 1, candidates: candidates(16) });
    t.equal(
      await refused(() => s.service.passCandidates(ann, { ...call, round: 1, candidates: candidates(1) })),
      'rate_limited',
      'more candidates than a round may have',
    );
    for (let round = 2; round <= PEER_LIMITS.maxRounds; round++)
      s.service.describePeer(ann, { ...call, ...offer, round });
    t.equal(
      await refused(() => s.service.describePeer(ann, { ...call, ...offer, round: 10_000 })),
      'rate_limited',
      'more rounds than a call may have',
    );
    for (let count = 0; count < PEER_LIMITS.maxServerRequests; count++) s.service.peerServers(ben, call);
    t.equal(await refused(() => s.service.peerServers(ben, call)), 'rate_limited', 'more credentials');
    for (let count = 0; count < PEER_LIMITS.maxReports; count++)
      await s.service.reportPath(ben, call, 'broken');
    t.equal(await refused(() => s.service.reportPath(ben, call, 'broken')), 'rate_limited', 'more reports');

    const passed = s.peers().length;
    await s.service.hangup(ann, call);
    t.equal(
      await refused(() => s.service.describePeer(ann, { ...call, ...offer, round: 300 })),
      'not_found',
      'after the end',
    );
    t.equal(await refused(() => s.service.reportPath(ben, call, 'connected')), 'not_found', 'after the end');
    t.equal(s.peers().length, passed);
    await s.service.close();
  },
);

t.test('F14 F34 a secure call never goes from browser to browser', async (t) => {
  const s = stage();
  await addDisclosure(db, { appId: APP, locale: 'en', body: 'This call is recorded.' });
  const inForce = await currentDisclosure(db, APP, 'en');
  if (inForce === null || inForce === undefined) throw new Error('the text was just added');
  const consent = { disclosureSha256: inForce.sha256, disclosureVersion: inForce.version, locale: 'en' };
  const { callId } = await s.service.start(ann, { chatId: 'pair', mode: 'secure', consent });
  await s.service.accept(ben, { callId, consent });
  const acts: (() => unknown)[] = [
    () => s.service.peerServers(ann, { callId }),
    () => s.service.describePeer(ann, { callId, kind: 'offer', round: 1, sdp: SDP }),
    () => s.service.passCandidates(ann, { callId, round: 1, candidates: candidates(1) }),
    () => s.service.reportPath(ann, { callId }, 'connected'),
    () => s.service.reportPath(ann, { callId }, 'broken'),
    () => s.service.reportPath(ann, { callId }, 'failed'),
  ];
  for (const act of acts) t.equal(await refused(act), 'wrong_media_path');
  t.same(s.peers(), []);
  t.equal(s.lastView('ann')?.state, 'connecting', 'and the call goes on');
  await s.service.close();
});

t.test('F14 where no path can be made both are told so', async (t) => {
  const s = stage();
  const call = await connecting(s);
  s.service.describePeer(ann, { ...call, kind: 'offer', round: 1, sdp: SDP });
  s.service.describePeer(ben, { ...call, kind: 'answer', round: 1, sdp: SDP });
  await s.service.reportPath(ben, call, 'failed');
  for (const user of ['ann', 'ben'])
    t.match(s.lastView(user), { state: 'ended', endReason: 'peer_unreachable' }, user);
  t.equal(
    await refused(() => s.service.start(ann, { chatId: 'pair', mode: 'voice' })),
    'nothing',
    'both are free',
  );
  await s.service.close();
});

t.test(
  'F14 relays get a pseudonym and a password that run out, as coturn’s use-auth-secret wants them',
  async (t) => {
    const now = new Date('2026-01-01T00:00:00Z');
    const { iceServers, iceTransportPolicy } = iceServersFor(ICE, ann, now);
    const [stun, turn] = iceServers;
    t.same(stun, { urls: ['stun:relay.example'] });
    t.same(turn?.urls, ['turn:relay.example']);
    t.equal(iceTransportPolicy, 'all');
    const [expiry, pseudonym] = turn?.username?.split(':') ?? [];
    t.equal(Number(expiry), now.getTime() / 1_000 + 3_600);
    t.match(pseudonym, /^[0-9a-f]{20}$/, 'which does not tell who it is');
    t.equal(
      turn?.credential,
      createHmac('sha1', ICE.secret)
        .update(turn?.username ?? '')
        .digest('base64'),
    );
    const later = iceServersFor(ICE, ann, new Date(now.getTime() + 60_000)).iceServers[1];
    t.equal(
      later?.username,
      `${Number(expiry) + 60}:${pseudonym}`,
      'the same for the same user, for the relay’s quotas',
    );
    t.notMatch(iceServersFor(ICE, ben, now).iceServers[1]?.username, new RegExp(pseudonym ?? ''));
    t.same(
      iceServersFor({ ...ICE, relayOnly: true }, ann, now),
      { iceServers: [turn], iceTransportPolicy: 'relay' },
      'without direct paths nobody asks for their own address',
    );
    t.same(iceServersFor({ ...ICE, stunUrls: [], turnUrls: [] }, ann, now).iceServers, []);
  },
);

t.test(
  'F14 an app’s own ICE servers take the place of the server’s, for calls that begin from then on',
  async (t) => {
    const own = {
      ...ICE,
      stunUrls: [],
      turnUrls: ['turn:own.example'],
      secret: 'another-secret',
      relayOnly: true,
    };
    const ofApp = new Map<string, typeof own>();
    const s = stage({ iceOfApp: async (appId) => ofApp.get(appId) });
    const before = await connecting(s);
    ofApp.set(APP, own);
    t.match(s.service.peerServers(ann, before).iceServers, [{ urls: ICE.stunUrls }, { urls: ICE.turnUrls }]);
    await s.service.hangup(ann, before);
    const after = await connecting(s);
    const servers = s.service.peerServers(ann, after);
    t.match(servers, { iceServers: [{ urls: ['turn:own.example'] }], iceTransportPolicy: 'relay' });
    t.equal(servers.iceServers.length, 1);
    const [relay] = servers.iceServers;
    t.equal(
      relay?.credential,
      createHmac('sha1', own.secret)
        .update(relay?.username ?? '')
        .digest('base64'),
      'with the secret of its own relays',
    );
    await s.service.close();
  },
);
