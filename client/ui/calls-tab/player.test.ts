import type { Page } from 'playwright-core';
import type { Test } from 'tap';
import t from 'tap';
import type { Recording } from '#protocol';
import { axeFindings } from '../../../scripts/lib/axe.ts';
import { builtClient, launch } from '../../test/browser.ts';
import { startScript } from '../../test/scripted-server.ts';
import {
  DURATION_MS,
  haveRecordings,
  idOf,
  openPanel,
  problem,
  reach,
  recording,
  rowOf,
  second,
  servePanel,
  slider,
} from '../test/tab.ts';

/** The player of an open row, in a real browser that plays a real sound. */

t.setTimeout(300_000);
const client = await builtClient();
const script = await startScript(client.dir);
servePanel(script);
const browser = await launch();
t.teardown(async () => {
  await browser.close();
  await script.close();
  await client.remove();
});

const PATH = `/v1/recordings/${idOf(2)}`;

async function open(t: Test, recordings: Recording[] = [recording(2)], query = ''): Promise<Page> {
  script.reset();
  haveRecordings(script, recordings);
  return openPanel(t, browser, script, query);
}

/** The row of recording 2, opened, with waveform and transcript. */
async function openRow(t: Test, query = ''): Promise<Page> {
  const page = await open(t, [recording(2)], query);
  await rowOf(page, 2).locator('[part=toggle]').click();
  await rowOf(page, 2).locator('[part=line]').first().waitFor();
  return page;
}

const fetched = (...parts: string[]) =>
  script.fetched.filter((line) => parts.some((part) => line.includes(part)));

t.test(
  'F26 nothing of a recording is fetched before its row is opened, and no audio before it is played',
  async (t) => {
    const page = await open(t);
    const row = rowOf(page, 2);
    await row.waitFor();
    t.strictSame(fetched('/peaks', '/timeline', '/grants', '/access', '/media'), []);
    await row.locator('[part=toggle]').click();
    await row.locator('[part=line]').first().waitFor();
    t.strictSame(fetched('/peaks', '/timeline').sort(), [`GET ${PATH}/peaks`, `GET ${PATH}/timeline`]);
    t.strictSame(
      fetched('/grants', '/media', '/access'),
      [],
      'the log of listeners names nobody who did not listen',
    );
    await row.getByRole('button', { name: 'Play' }).click();
    await reach(page, 1);
    t.strictSame(fetched('/grants'), [`POST ${PATH}/grants`]);
    t.ok(fetched('/media').length > 0);
  },
);

t.test('F26 a click on Play opens the row and plays it; a second one pauses', async (t) => {
  const page = await open(t);
  await rowOf(page, 2)
    .getByRole('button', { name: /^Play, call of/ })
    .click();
  await reach(page, 1);
  await rowOf(page, 2)
    .getByRole('button', { name: /^Pause, call of/ })
    .click();
  await rowOf(page, 2)
    .getByRole('button', { name: /^Play, call of/ })
    .waitFor();
  t.ok((await second(page)) < DURATION_MS / 1_000);
});

t.test(
  'F26 the waveform has a lane for each speaker, in a colour of its own, under a policy of no inline style',
  async (t) => {
    const page = await openRow(t);
    const row = rowOf(page, 2);
    t.equal((await row.locator('[part=speaker-caller]').innerText()).trim(), 'You');
    t.equal((await row.locator('[part=speaker-callee]').innerText()).trim(), 'Bob Castillo');
    const canvases = row.locator('.canvases canvas');
    await canvases.nth(1).waitFor();
    t.equal(await canvases.count(), 2);
    /** Of each lane: its place, its strongest colour, and how much is drawn in each half of the first 5.5 s. */
    const lanes = await canvases.evaluateAll((all) =>
      all.map((canvas) => {
        if (!(canvas instanceof HTMLCanvasElement)) throw new Error('expected a canvas');
        const context = canvas.getContext('2d');
        if (!context) throw new Error('expected a context');
        const { width, height } = canvas;
        const { data } = context.getImageData(0, 0, width, height);
        const filled = (from: number, to: number): number => {
          let count = 0;
          for (let at = 0; at < data.length; at += 4) {
            const x = (at / 4) % width;
            if (x >= from * width && x < to * width && (data[at + 3] ?? 0) > 128) count += 1;
          }
          return count;
        };
        const solid = data.findIndex((value, at) => at % 4 === 3 && value === 255);
        const color = [...data.slice(solid - 3, solid)].join(' ');
        return {
          top: canvas.getBoundingClientRect().top,
          color,
          turn: filled(0.01, 0.12),
          other: filled(0.145, 0.26),
        };
      }),
    );
    const [caller, callee] = lanes;
    if (!caller || !callee) return t.fail('two lanes');
    t.ok(callee.top - caller.top >= 30, 'one lane below the other');
    t.not(caller.color, callee.color);
    t.ok(caller.turn > 4 * callee.turn, 'the caller speaks first');
    t.ok(callee.other > 4 * caller.other, 'then the callee');
    // Of the first bar that is drawn.
    const painted = () =>
      canvases.first().evaluate((canvas) => {
        const { width, height } = canvas as HTMLCanvasElement;
        const data = (canvas as HTMLCanvasElement).getContext('2d')?.getImageData(0, 0, width, height).data;
        const solid = data?.findIndex((value, at) => at % 4 === 3 && value === 255) ?? 0;
        return [...(data?.slice(solid - 3, solid) ?? [])].join(' ');
      });
    for (const reducedMotion of ['reduce', 'no-preference'] as const) {
      const before = await painted();
      const colorScheme = reducedMotion === 'reduce' ? 'dark' : 'light';
      await page.emulateMedia({ colorScheme, reducedMotion });
      const deadline = Date.now() + 30_000;
      while ((await painted()) === before) {
        if (Date.now() > deadline) throw new Error(`the lanes keep the colours of before in ${colorScheme}`);
      }
    }
  },
);

t.test(
  'F26 every point can be reached by mouse and by keyboard, also before anything was played',
  async (t) => {
    const page = await openRow(t);
    const box = await slider(page).boundingBox();
    if (!box) return t.fail('a slider that is seen');
    await page.mouse.click(box.x + box.width * 0.75, box.y + box.height / 2);
    t.equal(await second(page), 30);
    t.equal(await slider(page).getAttribute('aria-valuetext'), '0:30 of 0:40');
    await page.mouse.move(box.x + box.width * 0.75, box.y + 5);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.25, box.y + 5, { steps: 4 });
    await page.mouse.up();
    t.equal(await second(page), 10);
    t.strictSame(fetched('/media'), [], 'no audio for looking around');
    await slider(page).focus();
    const keys: [key: string, seconds: number][] = [
      ['ArrowRight', 15],
      ['ArrowUp', 20],
      ['ArrowLeft', 15],
      ['ArrowDown', 10],
      ['PageUp', 40],
      ['PageDown', 10],
      ['End', 40],
      ['Home', 0],
      ['ArrowLeft', 0],
    ];
    for (const [key, seconds] of keys) {
      await page.keyboard.press(key);
      t.equal(await second(page), seconds, key);
    }
    await page.keyboard.press('PageUp');
    await page.keyboard.press('Space');
    await reach(page, 31);
    t.ok((await second(page)) < 38, 'it plays from where the slider stood');
  },
);

t.test('F26 the speed goes from 0.75 to 2, and is kept', async (t) => {
  const page = await openRow(t);
  const choices = await page.getByLabel('Speed').locator('option').allInnerTexts();
  t.strictSame(
    choices.map((choice) => choice.trim()),
    ['0.75×', '1×', '1.25×', '1.5×', '1.75×', '2×'],
  );
  await page.getByLabel('Speed').selectOption('2');
  await rowOf(page, 2).getByRole('button', { name: 'Play' }).click();
  await reach(page, 1);
  // Both clocks are read in the page, from one change of the shown second to another.
  const ratio = await slider(page).evaluate(
    (element) =>
      new Promise<number>((resolve) => {
        const shown = (): number => Number(element.getAttribute('aria-valuenow'));
        const first = { atMs: 0, second: 0 };
        const began = shown();
        const look = (): void => {
          if (first.atMs === 0 && shown() > began)
            Object.assign(first, { atMs: performance.now(), second: shown() });
          if (first.atMs > 0 && shown() >= first.second + 8)
            resolve((1_000 * (shown() - first.second)) / (performance.now() - first.atMs));
          else requestAnimationFrame(look);
        };
        look();
      }),
  );
  t.ok(ratio > 1.3, `${ratio.toFixed(2)} seconds of sound a second`);
});

t.test('F26 both voices come from the middle, or one from each side', async (t) => {
  const page = await open(t);
  // What the tab sends to the loudspeakers is listened to on the way.
  await page.evaluate(() => {
    const heard: AnalyserNode[] = [];
    Object.assign(window, { heard });
    const connect = AudioNode.prototype.connect;
    const listening = function (this: AudioNode, to: AudioNode): AudioNode {
      if (to instanceof AudioDestinationNode) {
        // Two channels whatever comes, in the way that the loudspeakers get them.
        const stereo = new GainNode(this.context, { channelCount: 2, channelCountMode: 'explicit' });
        const splitter = new ChannelSplitterNode(this.context, { numberOfOutputs: 2 });
        Reflect.apply(connect, this, [stereo]);
        Reflect.apply(connect, stereo, [splitter]);
        for (const channel of [0, 1]) {
          const analyser = new AnalyserNode(this.context, { fftSize: 8_192, smoothingTimeConstant: 0 });
          Reflect.apply(connect, splitter, [analyser, channel]);
          heard.push(analyser);
        }
      }
      return Reflect.apply(connect, this, [to]);
    };
    Object.assign(AudioNode.prototype, { connect: listening });
  });
  /** How loud the caller's 440 Hz and the callee's 660 Hz are on each side, in decibels of full scale. */
  const levels = () =>
    page.evaluate(() =>
      (window as unknown as { heard: AnalyserNode[] }).heard.map((analyser) => {
        const bins = new Float32Array(analyser.frequencyBinCount);
        analyser.getFloatFrequencyData(bins);
        const at = (hertz: number): number => {
          const bin = Math.round((hertz * analyser.fftSize) / analyser.context.sampleRate);
          return Math.max(...bins.slice(bin - 2, bin + 3));
        };
        return { caller: at(440), callee: at(660) };
      }),
    );
  type Levels = Awaited<ReturnType<typeof levels>>;
  const until = async (what: string, fits: (levels: Levels) => boolean): Promise<Levels> => {
    const deadline = Date.now() + 30_000;
    for (;;) {
      const now = await levels();
      if (now.length === 2 && fits(now)) return now;
      if (Date.now() > deadline) throw new Error(`${what} was not heard: ${JSON.stringify(now)}`);
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
    }
  };
  const near = (a = 0, b = 0): boolean => Math.abs(a - b) < 1;
  await rowOf(page, 2).getByRole('button', { name: 'Play' }).click();
  await reach(page, 1);
  const mixed = await until('both in the middle', ([left, right]) =>
    [left?.caller, left?.callee, right?.caller, right?.callee].every((level = -200) => level > -40),
  );
  t.ok(near(mixed[0]?.caller, mixed[1]?.caller), 'the caller is as loud left as right');
  t.ok(near(mixed[0]?.callee, mixed[1]?.callee), 'and so is the callee');
  t.ok(near(mixed[0]?.caller, mixed[0]?.callee), 'and both are as loud as each other');
  const apart = rowOf(page, 2).getByRole('radio', { name: 'Left and right' });
  await rowOf(page, 2).getByRole('radio', { name: 'Both in the middle' }).focus();
  await page.keyboard.press('ArrowRight');
  t.equal(await apart.isChecked(), true, 'the arrow keys choose');
  const sides = await until(
    'one on each side',
    ([left, right]) =>
      (left?.caller ?? 0) - (left?.callee ?? 0) > 40 && (right?.callee ?? 0) - (right?.caller ?? 0) > 40,
  );
  t.ok(
    near(sides[0]?.caller, (mixed[0]?.caller ?? 0) + 3),
    'from the middle, a voice is as loud as from one side',
  );
});

t.test('F26 a recording is heard alone: another one that plays is paused', async (t) => {
  const page = await open(t, [recording(2), recording(4)]);
  await rowOf(page, 2).getByRole('button', { name: 'Play' }).click();
  await rowOf(page, 2).getByRole('button', { name: 'Pause' }).waitFor();
  await rowOf(page, 4).getByRole('button', { name: 'Play' }).click();
  await rowOf(page, 4).getByRole('button', { name: 'Pause' }).waitFor();
  await rowOf(page, 2).getByRole('button', { name: 'Play' }).waitFor();
});

t.test(
  'F25 F26 an address that is refused before anything was heard is asked for anew, at the same place',
  async (t) => {
    const page = await openRow(t);
    let grants = 0;
    script.route(`POST ${PATH}/grants`, () => {
      grants += 1;
      return { status: 201, body: { url: grants === 1 ? '/media/gone.wav' : '/media/hum.wav' } };
    });
    await slider(page).focus();
    await page.keyboard.press('PageUp');
    await page.keyboard.press('Space');
    await reach(page, 31);
    t.equal(grants, 2);
    t.equal(await page.locator('[part=playback-error]').count(), 0);
  },
);

t.test('F26 what cannot be played says why, and is tried again from the same place', async (t) => {
  const page = await openRow(t);
  script.route(`POST ${PATH}/grants`, () => problem(503, 'unavailable'));
  await slider(page).focus();
  await page.keyboard.press('PageUp');
  await page.keyboard.press('Space');
  await page.getByRole('alert').getByText('The call server is not available.').waitFor();
  t.strictSame(await axeFindings(page), []);
  script.route(`POST ${PATH}/grants`, () => ({ status: 201, body: { url: '/media/hum.wav' } }));
  await rowOf(page, 2).getByRole('button', { name: 'Try again' }).click();
  await reach(page, 31);
  t.equal(await page.getByRole('alert').count(), 0);
});

t.test('F26 it is said that the recording is loading', async (t) => {
  const page = await open(t);
  let answer = (_: { status: number; body: object }): void => {};
  script.route(
    `GET ${PATH}/peaks`,
    () =>
      new Promise((answered) => {
        answer = answered;
      }),
  );
  await rowOf(page, 2).locator('[part=toggle]').click();
  await page.getByRole('status').getByText('Loading recording…').waitFor();
  t.strictSame(await axeFindings(page), []);
  answer(problem(404, 'not_found'));
  await page.getByText('There is no waveform of this recording.').waitFor();
  await rowOf(page, 2).getByRole('button', { name: 'Play' }).click();
  await reach(page, 1);
  t.strictSame(await axeFindings(page), [], 'without a waveform');
});

t.test('F26 F33 where there is no recording, the row says why', async (t) => {
  const rows: [Partial<Recording>, RegExp][] = [
    [{ state: 'failed', reason: 'recording_disabled' }, /turned off/],
    [{ state: 'failed', reason: 'no_audio' }, /too short/],
    [{ state: 'failed', reason: 'not_armed' }, /could not begin/],
    [{ state: 'failed', reason: 'finalise_failed' }, /failed while/],
    [{ state: 'failed' }, /failed while/],
    [
      { state: 'removed', reason: 'Order 2 C 17/26', removedAt: '2026-11-20T09:30:00.000Z' },
      /legal order.*Order 2 C 17\/26/,
    ],
    [{ state: 'expired', reason: 'expired' }, /for as long as this app keeps recordings/],
  ];
  const page = await open(
    t,
    rows.map(([changes], number) => recording(number, changes)),
  );
  for (const [number, [changes, says]] of rows.entries()) {
    const row = rowOf(page, number);
    await row.locator('[part=toggle]').click();
    if (changes.removedAt !== undefined)
      t.match(await row.locator('.facts').innerText(), /Removed on .*2026/, 'F41 with its date');
    const absence = await row.locator('[part=absence]').innerText();
    t.match(absence, /^No recording available/);
    t.match(absence.replaceAll('\n', ' '), says);
  }
  t.strictSame(await axeFindings(page), []);
  t.strictSame(fetched('/peaks', '/timeline', '/grants'), [], 'nothing is asked for that is not there');
});
