import t from 'tap';
import type { Person } from '../../scripts/lib/people.ts';
import { openStage, recordingIdOf, talk } from './stage.ts';

/** The Calls tab of both people, over a call that was really made and recorded: Chromium, daemon, recorder. */

t.setTimeout(240_000);
const stage = await openStage();
t.teardown(() => stage.close());
const { alice, bob } = stage;

/**
 * Puts a Calls tab into the page, which uses the page's own client, and an ear between the tab and the loudspeakers.
 * Text, because programs outside of the browser have no types of the DOM.
 */
const MOUNT = `(chatId) => import('/ui/verbatim-ui.js').then(({ useClient }) => {
  useClient(window.verbatim);
  const tab = document.createElement('verbatim-calls-tab');
  tab.id = 'tab-under-test';
  tab.setAttribute('chat-id', chatId);
  document.body.prepend(tab);
  window.ears = [];
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...rest) {
    if (to instanceof AudioDestinationNode) {
      const stereo = new GainNode(this.context, { channelCount: 2, channelCountMode: 'explicit' });
      const splitter = new ChannelSplitterNode(this.context, { numberOfOutputs: 2 });
      connect.call(this, stereo);
      connect.call(stereo, splitter);
      for (const channel of [0, 1]) {
        const ear = new AnalyserNode(this.context, { fftSize: 2048 });
        connect.call(splitter, ear, channel);
        window.ears.push(ear);
      }
    }
    return connect.call(this, to, ...rest);
  };
})`;

/** What comes out on both sides at this moment: the greatest sample, and the greatest difference between the sides. */
const LISTEN = `() => {
  const [left, right] = window.ears.map((ear) => {
    const samples = new Float32Array(ear.fftSize);
    ear.getFloatTimeDomainData(samples);
    return samples;
  });
  if (!left || !right) return { peak: 0, apart: 0 };
  return {
    peak: Math.max(...left.map(Math.abs), ...right.map(Math.abs)),
    apart: Math.max(...left.map((sample, at) => Math.abs(sample - right[at]))),
  };
}`;

const call = (source: string, argument?: string): string =>
  `(${source})(${argument === undefined ? '' : JSON.stringify(argument)})`;

const rowOf = (person: Person, recordingId: string) =>
  person.page.locator(`#tab-under-test li[data-recording-id="${recordingId}"]`);

/** Looks until it fits; what is heard has no event. Bounded. */
async function hear(person: Person, fits: (heard: { peak: number; apart: number }) => boolean, what: string) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const heard = await person.page.evaluate<{ peak: number; apart: number }>(call(LISTEN));
    if (fits(heard)) return heard;
    if (Date.now() > deadline) throw new Error(`${what} was not heard: ${JSON.stringify(heard)}`);
  }
}

t.test(
  'F24 F26 F36 F39 a secure call appears in the tab of both, is heard there, and it is told who listened',
  async (t) => {
    await alice.call('secure');
    await bob.accept();
    const recordingId = await recordingIdOf(alice);
    await recordingIdOf(bob);
    const seen = await alice.waitStatus('recording');
    const chatId = seen.type === 'call' ? (seen.call?.chatId ?? '') : '';
    for (const person of [alice, bob]) await person.page.evaluate(call(MOUNT, chatId));
    await talk(alice, 200);
    await talk(bob, 200);
    await alice.hangUp();

    for (const person of [alice, bob]) {
      const row = rowOf(person, recordingId);
      await row.locator('[part=status]', { hasText: /^Available$/ }).waitFor();
      t.match(await row.innerText(), /\d+ sec[\s\S]*kB[\s\S]*WebM, Opus/, `${person.as} sees what it is`);
    }

    const row = rowOf(alice, recordingId);
    await row.locator('[part=toggle]').click();
    await row.locator('.canvases canvas').nth(1).waitFor();
    t.equal(
      await row.locator('.canvases canvas').count(),
      2,
      'two lanes, from the levels that were recorded',
    );
    await row.locator('[part=evidence][data-verdict=confirmed]').waitFor();

    await row.getByRole('button', { name: /^Play/ }).click();
    const together = await hear(alice, ({ peak }) => peak > 0.02, 'a voice');
    t.ok(together.apart < 1e-6, `both sides are the same (${JSON.stringify(together)})`);
    // From the beginning, in case that it was over already.
    await row.getByRole('slider').press('Home');
    await row.getByRole('radio', { name: 'Left and right' }).check();
    const playing = await row.getByRole('button', { name: /^Pause/ }).count();
    if (playing === 0) await row.getByRole('button', { name: /^Play/ }).click();
    const apart = await hear(alice, (heard) => heard.apart > 0.02, 'a voice on one side');
    t.ok(apart.peak > 0.02);

    const other = rowOf(bob, recordingId);
    await other.locator('[part=toggle]').click();
    await other.getByRole('button', { name: 'Who has listened' }).click();
    const listened = other.locator('[part=listeners] li[data-action=stream]');
    await listened.first().waitFor();
    t.match(await listened.first().innerText(), /listened to it/, 'the other side is told');
    t.notMatch(await listened.first().innerText(), /^You/);
  },
);

t.test('F24 a voice call never appears', async (t) => {
  const before = await alice.page.locator('#tab-under-test li[part=row]').count();
  await bob.call('voice');
  await alice.accept();
  await talk(alice, 20);
  await bob.hangUp();
  await alice.waitFor(
    'see the voice call end',
    (seen) => seen.type === 'ended' && seen.call.mode === 'voice',
  );
  const asked = alice.page.waitForResponse((response) => response.url().includes('/recordings?'));
  await alice.page.evaluate(
    `(() => { const tab = document.querySelector('#tab-under-test'); const id = tab.getAttribute('chat-id');
      tab.remove(); const anew = document.createElement('verbatim-calls-tab'); anew.id = 'tab-under-test';
      anew.setAttribute('chat-id', id); document.body.prepend(anew); })()`,
  );
  await asked;
  await alice.page.locator('#tab-under-test li[part=row]').first().waitFor();
  t.equal(await alice.page.locator('#tab-under-test li[part=row]').count(), before);
});
