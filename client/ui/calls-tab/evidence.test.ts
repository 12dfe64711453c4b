import type { Page } from 'playwright-core';
import type { Test } from 'tap';
import t from 'tap';
import { axeFindings } from '../../../scripts/lib/axe.ts';
import { builtClient, launch } from '../../test/browser.ts';
import { RECORDING_ID, TestJournal, TestLog } from '../../test/log.ts';
import { CALL_ID, signedIn, startScript } from '../../test/scripted-server.ts';
import { haveRecordings, openPanel, recording, servePanel } from '../test/tab.ts';

/** What a row says of its evidence: real signatures, a real log, a server that may cheat. */

t.setTimeout(180_000);
const client = await builtClient();
const script = await startScript(client.dir);
servePanel(script);
const browser = await launch();
t.teardown(async () => {
  await browser.close();
  await script.close();
  await client.remove();
});

/** A page that has seen the heads of a capture, whose recording then is finished with this journal's last head. */
async function finished(t: Test, cheat: boolean): Promise<Page> {
  script.reset();
  const log = new TestLog();
  for (let entry = 0; entry < 3; entry += 1) log.add();
  const journal = new TestJournal(20);
  const finals = cheat ? new TestJournal(20) : journal;
  script.on('session.start', () => signedIn({ ledger: log.info() }));
  script.route('GET /v1/ledger/checkpoint', () => ({ status: 200, body: log.checkpoint() }));
  script.route('GET /v1/ledger/consistency', (_, { query }) =>
    log.consistency(Number(query.get('from')), Number(query.get('to'))),
  );
  const recordings = [recording(0, { id: RECORDING_ID, state: 'processing' })];
  haveRecordings(script, recordings);
  const path = `/v1/recordings/${RECORDING_ID}`;
  script.route(`GET ${path}/chain/1`, (_, { query }) => {
    const after = Number(query.get('after'));
    return { status: 200, body: { epoch: 1, after, blocks: finals.after(after) } };
  });
  script.route(`POST ${path}/mismatch`, () => ({ status: 200, body: { confirmed: true } }));
  const page = await openPanel(t, browser, script);
  await page.locator('li[data-state=processing]').waitFor();
  script.notify('recording.receipt', log.receipt(journal.at(14)));
  await page.waitForFunction(
    () => (window as unknown as { verbatim: { receipt?: unknown } }).verbatim.receipt !== undefined,
  );
  const index = log.add('rec.final', { call: CALL_ID, journals: [{ epoch: 1, ...finals.last() }] });
  script.route(`GET ${path}/evidence`, async () => ({ status: 200, body: await log.evidence([0, index]) }));
  recordings[0] = recording(0, { id: RECORDING_ID });
  script.notify('recording.changed', {
    recordingId: RECORDING_ID,
    callId: CALL_ID,
    chatId: 'chat-1',
    state: 'available',
  });
  await page.locator('li[data-state=available]').waitFor();
  return page;
}

t.test('F36 a recording that fits what this browser saw says so', async (t) => {
  const page = await finished(t, false);
  await page.locator('[part=toggle]').click();
  await page.locator('[part=evidence][data-verdict=confirmed]').waitFor();
  t.equal(
    await page.locator('[part=evidence] .what').innerText(),
    'Matches what this browser saw during the call.',
  );
  t.strictSame(await axeFindings(page), []);
});

t.test('F36 a mismatch is told in the list already, in red, and what to do about it', async (t) => {
  const page = await finished(t, true);
  await page.locator('[part=toggle]', { hasText: 'Mismatch' }).click();
  const note = page.locator('[part=evidence][data-verdict=mismatch]');
  await note.getByText('It was reported, and the server finds the same.').waitFor();
  t.match(await note.innerText(), /Do not rely on this recording/);
  t.equal(await note.getAttribute('role'), 'alert');
  const [red = 0, green = 0, blue = 0] = await note.locator('.what').evaluate((element) => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d');
    if (!canvas) throw new Error('expected a context');
    canvas.fillStyle = getComputedStyle(element).color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  });
  t.ok(red > 2 * green && red > 2 * blue, `${red} ${green} ${blue} is red`);
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    t.strictSame(await axeFindings(page), [], colorScheme);
  }
});
