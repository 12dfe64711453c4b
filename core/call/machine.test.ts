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
    { type: 'recorderLost' },
    { type: 'mediaFailed' },
    { type: 'shutdown' },
  ),
  // The events of a call that goes well come often, so that random orders get far.
  { weight: 20, arbitrary: fc.record({ type: fc.constant('produced' as const), side }) },
  {
    weight: 20,
    arbitrary: fc.constantFrom<CallEvent>({ type: 'recorderListening' }, { type: 'recorderArmed' }),
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
      'grace-caller' as const,
      'grace-callee' as const,
    ),
  }),
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

t.test('F34 no order of events reaches Recording without both consents and an armed recorder', async (t) => {
  let reached = 0;
  fc.assert(
    fc.property(fc.boolean(), fc.array(event, { maxLength: 40, size: 'max' }), (consent, events) => {
      const log = run('secure', consent, events);
      const seen: CallEvent[] = [];
      let agreed = false;
      for (const row of log) {
        if (row.event) seen.push(row.event);
        if (row.event?.type === 'accepted' && row.before?.phase === 'ringing' && row.event.consent)
          agreed = true;
        const through = row.effects.some((effect) => effect.type === 'letAudioThrough');
        if (through) reached++;
        if (through || row.after.phase === 'active') {
          if (!consent || !agreed) throw new Error('active without both consents');
          const listening = seen.findIndex((each) => each.type === 'recorderListening');
          const armed = seen.findLastIndex((each) => each.type === 'recorderArmed');
          if (listening < 0 || armed < listening) throw new Error('active without an armed recorder');
          if (!row.after.produced.caller || !row.after.produced.callee)
            throw new Error('active without both microphones');
        }
      }
      const given = log
        .flatMap((row) => row.effects)
        .filter((effect) => effect.type === 'letAudioThrough').length;
      if (given > 1) throw new Error('audio let through twice');
    }),
    { numRuns: 20_000 },
  );
  t.ok(reached > 100, `the random orders did reach Recording (${reached} times), so the property was tried`);
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
    'F34 a recorder lost during Recording is recording_lost',
    'secure',
    [...HAPPY, { type: 'recorderLost' }],
    'recording_lost',
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
  [
    'F1 a voice call needs no recorder',
    'voice',
    HAPPY.filter((each) => !each.type.startsWith('recorder')),
    'active',
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
