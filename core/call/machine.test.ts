import fc from 'fast-check';
import t from 'tap';
import type { CallEffect, CallEvent, CallStatus } from './machine.ts';
import { placeCall, step } from './machine.ts';

const side = fc.constantFrom('caller' as const, 'callee' as const);
const event: fc.Arbitrary<CallEvent> = fc.oneof(
  fc.record({
    type: fc.constant('accepted' as const),
    device: fc.constantFrom('b1', 'b2'),
    consent: fc.boolean(),
  }),
  fc.constantFrom<CallEvent>(
    { type: 'declined' },
    { type: 'cancelled' },
    { type: 'hungUp' },
    { type: 'recorderUnavailable' },
    { type: 'mediaFailed' },
    { type: 'shutdown' },
    { type: 'noPath' },
  ),
  { weight: 3, arbitrary: fc.constant<CallEvent>({ type: 'recorderLost' }) },
  // The events of a call that goes well come often, so that random orders get far.
  { weight: 20, arbitrary: fc.record({ type: fc.constant('produced' as const), side }) },
  {
    weight: 20,
    arbitrary: fc.constantFrom<CallEvent>({ type: 'recorderListening' }, { type: 'recorderArmed' }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constantFrom('answered' as const, 'pathStands' as const), side }),
  },
  fc.record({ type: fc.constant('muted' as const), side, muted: fc.boolean() }),
  fc.record({
    type: fc.constantFrom('sideLost' as const, 'sideBack' as const),
    side,
    path: fc.constantFrom('signaling' as const, 'media' as const),
  }),
  fc.record({ type: fc.constant('sideLeft' as const), side }),
  fc.record({
    type: fc.constant('timer' as const),
    timer: fc.constantFrom(
      'ring' as const,
      'connect' as const,
      'reattach' as const,
      'grace-caller' as const,
      'grace-callee' as const,
    ),
  }),
);

/** For voice calls: what the two browsers say of their path comes as often as everything else. */
const voiceEvent: fc.Arbitrary<CallEvent> = fc.oneof(
  event,
  {
    weight: 1,
    arbitrary: fc.constantFrom<CallEvent>({ type: 'answered' }, { type: 'answered' }, { type: 'noPath' }),
  },
  {
    weight: 2,
    arbitrary: fc.oneof(
      fc.record({ type: fc.constant('pathStands' as const), side }),
      fc.record({ type: fc.constant('sideLost' as const), side, path: fc.constant('media' as const) }),
    ),
  },
);

function run(mode: 'voice' | 'secure', consent: boolean, events: CallEvent[]) {
  let { status, effects } = placeCall(mode, 'a1', consent);
  const log: {
    before: CallStatus | null;
    event: CallEvent | null;
    after: CallStatus;
    effects: readonly CallEffect[];
  }[] = [{ before: null, event: null, after: status, effects }];
  for (const each of events) {
    const before = status;
    ({ status, effects } = step(before, each));
    log.push({ before, event: each, after: status, effects });
  }
  return log;
}

t.test('F34 no order of events lets audio pass without both consents and an armed recorder', async (t) => {
  let [begun, resumed, overtaken] = [0, 0, 0];
  fc.assert(
    fc.property(fc.boolean(), fc.array(event, { maxLength: 60, size: 'max' }), (consent, events) => {
      const log = run('secure', consent, events);
      let [agreed, flows, wasSilenced] = [false, false, false];
      // By the events alone: the newest search has found one, and that one is armed since and not lost.
      let [isListening, isArmed] = [false, false];
      for (const { before, event, after, effects } of log) {
        if (event?.type === 'accepted' && before?.phase === 'ringing' && event.consent) agreed = true;
        if (event?.type === 'recorderListening') isListening = true;
        if (event?.type === 'recorderArmed' && isListening) isArmed = true;
        if (event?.type === 'recorderLost') isArmed = false;
        for (const effect of effects) {
          if (effect.type === 'openRecording' || effect.type === 'reopenRecording')
            [isListening, isArmed] = [false, false];
          if (effect.type === 'stopAudio') [flows, wasSilenced] = [false, true];
          if (effect.type === 'finish') flows = false;
          if (effect.type !== 'letAudioThrough') continue;
          if (flows) throw new Error('audio let through that flows already');
          flows = true;
          if (wasSilenced) resumed++;
          else begun++;
        }
        if (before?.recorder === 'armed' && event?.type === 'recorderLost' && before.phase === 'active') {
          if (effects[0]?.type !== 'stopAudio') throw new Error('something came before the silence');
          overtaken++;
        }
        if (flows !== (after.phase === 'active' && after.recorder === 'armed'))
          throw new Error(
            `audio flows: ${flows}, with the recorder ${after.recorder} in phase ${after.phase}`,
          );
        if (after.phase === 'active' && (!after.produced.caller || !after.produced.callee))
          throw new Error('active without both microphones');
        if (!flows) continue;
        if (!consent || !agreed) throw new Error('audio without both consents');
        if (!isArmed) throw new Error('audio without an armed recorder');
      }
    }),
    { numRuns: 20_000 },
  );
  t.ok(begun > 100, `the random orders did reach Recording (${begun} times), so the property was tried`);
  t.ok(overtaken > 100, `in ${overtaken} of them the recorder was lost`);
  t.ok(resumed > 100, `and in ${resumed} another one went on`);
});

t.test('F34 a call whose recorder is lost never waits for another for ever', async (t) => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60, size: 'max' }), (events) => {
      let isRunning = false;
      let asked = 0;
      for (const { after, effects } of run('secure', true, events)) {
        for (const effect of effects) {
          if (effect.type === 'startTimer' && effect.timer === 'reattach') [isRunning, asked] = [true, 0];
          if (effect.type === 'stopTimer' && effect.timer === 'reattach') isRunning = false;
          if (effect.type === 'reopenRecording') asked++;
        }
        if (after.phase === 'active' && isRunning !== (after.recorder !== 'armed'))
          throw new Error(
            `the timer ${isRunning ? 'runs' : 'does not run'} with the recorder ${after.recorder}`,
          );
        if (asked > 4) throw new Error(`${asked} recorders were asked for after one loss`);
      }
    }),
    { numRuns: 5_000 },
  );
  t.pass('5,000 random orders');
});

t.test('F14 a voice call is active only while both have said that their path stands', async (t) => {
  let [begun, mended, unreachable] = [0, 0, 0];
  fc.assert(
    fc.property(fc.array(voiceEvent, { maxLength: 60, size: 'max' }), (events) => {
      // By the events alone.
      let [accepted, answered] = [false, false];
      const stood = { caller: false, callee: false };
      const running = new Set<string>();
      for (const { before, event, after, effects } of run('voice', false, events)) {
        if (event?.type === 'accepted') accepted = true;
        if (event?.type === 'answered' && accepted) answered = true;
        if (event?.type === 'pathStands' && answered) stood[event.side] = true;
        const active = accepted && stood.caller && stood.callee;
        if (after.phase === 'active' && !active) throw new Error('active without the word of both');
        if (after.phase === 'connecting' && active)
          throw new Error('both have said so, and nothing followed');
        if (before?.phase === 'connecting' && after.phase === 'active') begun++;
        for (const effect of effects) {
          if (/recor|attach|stopAudio|markMute|markReconnect/i.test(effect.type))
            throw new Error(`a voice call has nothing to do with ${effect.type}`);
          if (effect.type === 'startTimer') running.add(effect.timer);
          if (effect.type === 'stopTimer') running.delete(effect.timer);
        }
        if (after.phase === 'ended') {
          if (after.endReason === 'peer_unreachable') unreachable++;
          break;
        }
        for (const side of ['caller', 'callee'] as const) {
          const { signaling, media } = after.lost[side];
          if (media && !stood[side]) throw new Error('a path was lost that never stood');
          if ((signaling || media) !== running.has(`grace-${side}`))
            throw new Error('the grace period does not run exactly while something is lost');
          if (before?.lost[side].media && !media) mended++;
        }
        if (running.has('connect') !== (after.phase === 'connecting'))
          throw new Error('connecting is not bounded');
      }
    }),
    { numRuns: 20_000 },
  );
  t.ok(begun > 100, `the random orders did reach the call (${begun} times)`);
  t.ok(mended > 100, `in which ${mended} broken paths were mended`);
  t.ok(unreachable > 100, `and ${unreachable} ended for want of a path`);
});

t.test('an ended call stays ended, with its first reason, and finishes exactly once', async (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom('voice' as const, 'secure' as const),
      fc.array(event, { maxLength: 40, size: 'max' }),
      (mode, events) => {
        const log = run(mode, true, [...events, { type: 'shutdown' }]);
        const finishes = log.flatMap((row) => row.effects).filter((effect) => effect.type === 'finish');
        if (finishes.length !== 1) throw new Error(`finished ${finishes.length} times`);
        for (const row of log) {
          if (row.before?.phase === 'ended' && (row.after !== row.before || row.effects.length > 0)) {
            throw new Error('something happened after the end');
          }
          if ((row.after.phase === 'ended') !== (row.after.endReason !== null))
            throw new Error('end without reason');
        }
      },
    ),
    { numRuns: 5_000 },
  );
  t.pass('5,000 random orders');
});

t.test('F10 a ring timer that fires late does not end an accepted call', async (t) => {
  const log = run('secure', true, [
    { type: 'accepted', device: 'b1', consent: true },
    { type: 'timer', timer: 'ring' },
  ]);
  t.equal(log.at(-1)?.after.phase, 'connecting');
});

const HAPPY: CallEvent[] = [
  { type: 'accepted', device: 'b1', consent: true },
  { type: 'produced', side: 'caller' },
  { type: 'recorderListening' },
  { type: 'produced', side: 'callee' },
  { type: 'recorderArmed' },
];

/** A voice call, from browser to browser. */
const PEERS: CallEvent[] = [
  { type: 'accepted', device: 'b1', consent: false },
  { type: 'answered' },
  { type: 'pathStands', side: 'caller' },
  { type: 'pathStands', side: 'callee' },
];

/** A loss, and another recorder. */
const AGAIN: CallEvent[] = [
  { type: 'recorderLost' },
  { type: 'recorderListening' },
  { type: 'recorderArmed' },
];

const rows: [string, 'voice' | 'secure', CallEvent[], string][] = [
  ['F10 declined is told apart', 'secure', [{ type: 'declined' }], 'declined'],
  ['F10 cancelled is told apart', 'secure', [{ type: 'cancelled' }], 'cancelled'],
  ['F10 hanging up while it rings takes the call back', 'voice', [{ type: 'hungUp' }], 'cancelled'],
  ['F10 no answer is told apart', 'voice', [{ type: 'timer', timer: 'ring' }], 'no_answer'],
  ['F8 hanging up ends an active call', 'secure', [...HAPPY, { type: 'hungUp' }], 'hangup'],
  [
    'F34 no recorder before Recording is recorder_unavailable',
    'secure',
    [...HAPPY.slice(0, 4), { type: 'recorderLost' }],
    'recorder_unavailable',
  ],
  [
    'F34 a recorder lost during Recording does not end the call at once',
    'secure',
    [...HAPPY, { type: 'recorderLost' }],
    'active',
  ],
  [
    'F34 no other recorder in time is recording_lost',
    'secure',
    [...HAPPY, { type: 'recorderLost' }, { type: 'recorderListening' }, { type: 'timer', timer: 'reattach' }],
    'recording_lost',
  ],
  [
    'F34 no other recorder at all is recording_lost',
    'secure',
    [...HAPPY, { type: 'recorderLost' }, { type: 'recorderUnavailable' }],
    'recording_lost',
  ],
  [
    'F34 a re-attach timer that fires late does not end a call that is recorded again',
    'secure',
    [...HAPPY, ...AGAIN, { type: 'timer', timer: 'reattach' }],
    'active',
  ],
  [
    'F34 several losses in one call are as many re-attachments',
    'secure',
    [...HAPPY, ...AGAIN, ...AGAIN, ...AGAIN, ...AGAIN, ...AGAIN, ...AGAIN],
    'active',
  ],
  [
    'F34 recorders that die one after the other before they are armed end the call',
    'secure',
    [...HAPPY, ...Array.from({ length: 5 }, () => AGAIN.slice(0, 2)).flat()],
    'recording_lost',
  ],
  [
    'F8 hanging up while another recorder is looked for',
    'secure',
    [...HAPPY, { type: 'recorderLost' }, { type: 'hungUp' }],
    'hangup',
  ],
  [
    'F16 a side that stays away while another recorder is looked for',
    'secure',
    [
      ...HAPPY,
      { type: 'recorderLost' },
      { type: 'sideLost', side: 'callee', path: 'media' },
      { type: 'timer', timer: 'grace-callee' },
    ],
    'connection_lost',
  ],
  [
    'F13 connecting never lasts for ever',
    'secure',
    [...HAPPY.slice(0, 3), { type: 'timer', timer: 'connect' }],
    'media_failed',
  ],
  [
    'F16 a side that stays away past the grace period ends the call',
    'secure',
    [
      ...HAPPY,
      { type: 'sideLost', side: 'callee', path: 'signaling' },
      { type: 'timer', timer: 'grace-callee' },
    ],
    'connection_lost',
  ],
  [
    'F16 a side that came back in time does not',
    'secure',
    [
      ...HAPPY,
      { type: 'sideLost', side: 'callee', path: 'media' },
      { type: 'sideBack', side: 'callee', path: 'media' },
      { type: 'timer', timer: 'grace-callee' },
    ],
    'active',
  ],
  [
    'F16 a side whose socket is back but whose audio has no way still ends the call',
    'secure',
    [
      ...HAPPY,
      { type: 'sideLost', side: 'callee', path: 'signaling' },
      { type: 'sideLost', side: 'callee', path: 'media' },
      { type: 'sideBack', side: 'callee', path: 'signaling' },
      { type: 'timer', timer: 'grace-callee' },
    ],
    'connection_lost',
  ],
  [
    'F16 a page that is gone ends the call although its audio path was told to be up after it',
    'secure',
    [
      ...HAPPY,
      { type: 'sideLost', side: 'caller', path: 'signaling' },
      { type: 'sideBack', side: 'caller', path: 'media' },
      { type: 'timer', timer: 'grace-caller' },
    ],
    'connection_lost',
  ],
  [
    'F23 a page that is closed ends the call',
    'secure',
    [...HAPPY, { type: 'sideLeft', side: 'caller' }],
    'hangup',
  ],
  [
    'F5 accepting a secure call without consent changes nothing',
    'secure',
    [{ type: 'accepted', device: 'b1', consent: false }],
    'ringing',
  ],
  [
    'F11 the second accept changes nothing',
    'secure',
    [...HAPPY, { type: 'accepted', device: 'b2', consent: true }],
    'active',
  ],
  ['F1 F14 a voice call needs no recorder and no media server', 'voice', PEERS, 'active'],
  ['F14 microphones at the media server do not begin a voice call', 'voice', HAPPY, 'connecting'],
  [
    'F14 a path that nobody could know of yet is not believed',
    'voice',
    [...PEERS.slice(0, 1), ...PEERS.slice(2)],
    'connecting',
  ],
  [
    'F14 paths from browser to browser do not begin a secure call',
    'secure',
    [...HAPPY.slice(0, 1), ...PEERS.slice(1)],
    'connecting',
  ],
  [
    'F14 no path is told as that, and at once',
    'voice',
    [...PEERS.slice(0, 2), { type: 'noPath' }],
    'peer_unreachable',
  ],
  [
    'F14 no path within the time to connect is told as that',
    'voice',
    [...PEERS.slice(0, 2), { type: 'timer', timer: 'connect' }],
    'peer_unreachable',
  ],
  [
    'F13 F14 a side that never answers is not told as a missing path',
    'voice',
    [...PEERS.slice(0, 1), { type: 'timer', timer: 'connect' }],
    'media_failed',
  ],
  [
    'F13 F14 where one side hears the other, what is missing is a microphone',
    'voice',
    [...PEERS.slice(0, 3), { type: 'timer', timer: 'connect' }],
    'media_failed',
  ],
  [
    'F14 a call that runs is not ended by the word that there is no path',
    'voice',
    [...PEERS, { type: 'noPath' }],
    'active',
  ],
  [
    'F14 F16 a path that is mended in time ends nothing',
    'voice',
    [
      ...PEERS,
      { type: 'sideLost', side: 'caller', path: 'media' },
      { type: 'sideLost', side: 'callee', path: 'media' },
      { type: 'pathStands', side: 'caller' },
      { type: 'timer', timer: 'grace-caller' },
      { type: 'pathStands', side: 'callee' },
      { type: 'timer', timer: 'grace-callee' },
    ],
    'active',
  ],
  [
    'F14 F16 a path that stays broken while both pages are there is told as that',
    'voice',
    [...PEERS, { type: 'sideLost', side: 'caller', path: 'media' }, { type: 'timer', timer: 'grace-caller' }],
    'peer_unreachable',
  ],
  [
    'F14 F16 a page that is gone, and its path with it, is a lost connection',
    'voice',
    [
      ...PEERS,
      { type: 'sideLost', side: 'caller', path: 'media' },
      { type: 'sideLost', side: 'callee', path: 'signaling' },
      { type: 'timer', timer: 'grace-caller' },
    ],
    'connection_lost',
  ],
];
for (const [title, mode, events, outcome] of rows) {
  t.test(title, async (t) => {
    const last = run(mode, true, events).at(-1)?.after;
    t.equal(last?.endReason ?? last?.phase, outcome);
    t.equal(last?.device.callee ?? 'b1', 'b1');
  });
}

t.test('F4 a secure call without the caller’s consent never rings', async (t) => {
  const { status, effects } = placeCall('secure', 'a1', false);
  t.equal(status.phase, 'ended');
  t.notOk(effects.some((effect) => effect.type === 'ring'));
});

t.test('F33 a way of audio that comes back is marked, one of signaling is not', async (t) => {
  const back = (path: 'signaling' | 'media') =>
    run('secure', true, [
      ...HAPPY,
      { type: 'sideLost', side: 'callee', path },
      { type: 'sideBack', side: 'callee', path },
    ])
      .flatMap(({ effects }) => effects)
      .filter(({ type }) => type === 'markReconnect');
  t.same(back('media'), [{ type: 'markReconnect', side: 'callee' }]);
  t.same(back('signaling'), []);
});
