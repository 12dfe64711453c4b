import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openStage, talk, until } from './stage.ts';

const stage = await openStage({ VERBATIM_CALL_RING_TIMEOUT_MS: '8000' });
t.teardown(() => stage.close());

t.test('F1 F7 F8 a voice call is heard by both and leaves no recording behind', async (t) => {
  const { alice, bob, server } = stage;
  await alice.call('voice');
  t.equal(await bob.part('status', 'verbatim-call-popup').innerText(), 'Incoming call', 'F5');
  await bob.accept();
  await Promise.all([alice.waitStatus('active'), bob.waitStatus('active')]);
  t.equal(await alice.part('status', 'verbatim-call-popup').innerText(), 'In call');
  t.match(await alice.part('name', 'verbatim-call-popup').innerText(), /Bob/);
  t.match(await alice.part('timer').innerText(), /^\d\d:\d\d$/);
  t.notOk(await alice.part('recording-badge').isVisible(), 'no Recording badge');
  await Promise.all([talk(alice, 100), talk(bob, 100)]);

  // Alice's speech goes on all the time; Bob's page measures the energy that it plays.
  const heardWhile = async (packets: number): Promise<number> => {
    const before = (await bob.stats()).inbound.totalAudioEnergy;
    await talk(alice, (await alice.stats()).inbound.packets + packets);
    return (await bob.stats()).inbound.totalAudioEnergy - before;
  };
  const speaking = await heardWhile(150);
  await alice.toggleMute();
  await bob.part('peer-muted').waitFor();
  // What was on its way is played first.
  await heardWhile(50);
  const muted = await heardWhile(150);
  t.ok(muted < speaking / 100, `F8 the muted side is not heard (energy ${muted}, before ${speaking})`);
  t.ok((await alice.stats()).inbound.totalAudioEnergy > 0, 'F8 and still hears the other');
  await alice.toggleMute();

  await alice.hangUp();
  for (const person of [alice, bob]) {
    const ended = await person.waitStatus('ended');
    t.equal(ended.type === 'ended' && ended.call.endReason, 'hangup', 'F8 hanging up ends it for both');
  }
  t.same(await alice.recordings(), []);
  t.same(await readdir(join(server.dataDir, 'journals')), [], 'no journal');
  t.same(await readdir(join(server.dataDir, 'recordings')), [], 'no file');
});

t.test('F7 another microphone is chosen by a click in mid-call, and the other hears on', async (t) => {
  const { alice, bob } = stage;
  await Promise.all([alice.open(), bob.open()]);
  await alice.call('voice');
  await bob.accept();
  await Promise.all([alice.waitStatus('active'), bob.waitStatus('active')]);
  await talk(bob, 50);
  await alice.part('choose-devices').click();
  const microphone = alice.part('microphone');
  const ids = await microphone.locator('option').evaluateAll((options) => options.map((each) => each.value));
  const other = ids.find((id) => id !== '' && id !== 'default');
  t.ok(other, `there is another one: ${ids}`);
  await microphone.selectOption(other ?? '');
  await until(
    () => alice.part('microphone').inputValue(),
    (id) => id === other,
    'the other microphone is shown as chosen',
  );
  const before = (await bob.stats()).inbound;
  await talk(bob, before.packets + 100);
  const after = (await bob.stats()).inbound;
  t.ok(after.totalAudioEnergy > before.totalAudioEnergy, 'Bob hears the other microphone');
  t.equal(await alice.part('trouble').count(), 0);
  await alice.hangUp();
  await bob.waitStatus('ended');
});

t.test('F13 sound that the browser blocks is heard after a click on the button for it', async (t) => {
  const { alice, bob } = stage;
  await Promise.all([alice.open(), bob.open()]);
  // Browsers let a page that uses the microphone play, so the block is made here: until the button was clicked.
  await bob.page.evaluate(() => {
    interface Media {
      play(): Promise<void>;
      paused: boolean;
    }
    const page = globalThis as unknown as {
      HTMLMediaElement: { prototype: Media };
      document: {
        addEventListener(
          type: 'click',
          listener: (event: { composedPath(): { part?: { contains(name: string): boolean } }[] }) => void,
          capture: true,
        ): void;
      };
      sound: { element?: Media };
    };
    const { prototype } = page.HTMLMediaElement;
    const { play } = prototype;
    let allowed = false;
    page.sound = {};
    page.document.addEventListener(
      'click',
      (event) => {
        allowed ||= event.composedPath().some(({ part }) => part?.contains('enable-sound') ?? false);
      },
      true,
    );
    prototype.play = function (this: Media) {
      page.sound.element = this;
      if (!allowed) return Promise.reject(new DOMException('not without a click', 'NotAllowedError'));
      return play.call(this);
    };
  });
  const plays = (): Promise<boolean> =>
    bob.page.evaluate(
      () =>
        (globalThis as unknown as { sound: { element?: { paused: boolean } } }).sound.element?.paused ===
        false,
    );
  await alice.call('voice');
  await bob.accept();
  await Promise.all([alice.waitStatus('active'), bob.waitStatus('active')]);
  await bob.part('enable-sound').waitFor();
  t.notOk(await plays(), 'nothing is played before');
  await bob.part('enable-sound').click();
  await bob.part('enable-sound').waitFor({ state: 'detached' });
  t.ok(await plays(), 'and the call is played after it');
  await talk(bob, 50);
  t.ok((await bob.stats()).inbound.totalAudioEnergy > 0, 'Bob hears Alice');
  await bob.hangUp();
  await alice.waitStatus('ended');
});

t.test('F10 F11 how a call can fail to begin, each told apart', async (t) => {
  const { alice, bob } = stage;

  await alice.open();
  await bob.open();
  await alice.call('voice');
  await bob.decline();
  t.match(await alice.waitStatus('ended'), { call: { endReason: 'declined' } }, 'declined');

  await alice.open();
  await bob.open();
  await alice.call('voice');
  await bob.waitStatus('incoming');
  await alice.hangUp();
  t.match(await bob.waitStatus('ended'), { call: { endReason: 'cancelled' } }, 'cancelled');

  await alice.open();
  await bob.open();
  await alice.call('voice');
  await bob.waitStatus('incoming');
  t.match(await alice.waitStatus('ended'), { call: { endReason: 'no_answer' } }, 'no answer');

  await alice.open();
  await bob.open();
  const second = await stage.another('bob');
  await alice.call('voice');
  await Promise.all([bob.waitStatus('incoming'), second.waitStatus('incoming')]);
  await second.accept();
  t.match(
    await bob.waitStatus('ended'),
    { call: { endReason: 'answered_elsewhere' } },
    'F11 answered elsewhere',
  );
  await alice.waitStatus('active');
  await alice.hangUp();
  await second.waitStatus('ended');
  await second.close();

  await bob.close();
  await alice.open();
  await alice.page.getByTestId('peer-presence').waitFor();
  await alice.call('voice');
  const message = alice.part('ending');
  await message.waitFor();
  t.match(await message.innerText(), /offline/i, 'F10 the caller is told at once that the other is offline');
});
