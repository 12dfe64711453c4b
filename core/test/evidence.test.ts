import { copyFile, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { dataPaths } from '#store';
import { verifyBundle } from '../../client/verify/index.ts';
import type { Person } from '../../scripts/lib/people.ts';
import { openStage, recordingIdOf, until } from './stage.ts';

// Two real browsers keep what the server signs, and hold the finished recording against it.
t.setTimeout(180_000);

const stage = await openStage();
t.teardown(() => stage.close());
const { alice, bob, server } = stage;

/** The line of a recording, once it says this. */
async function verdict(person: Person, id: string, expected: string): Promise<string> {
  const line = person.page
    .locator(`[data-recording-id="${id}"]`)
    .locator(`[data-testid=recording-evidence][data-verdict=${expected}]`);
  await line.waitFor();
  return line.innerText();
}

async function openAlarms(): Promise<string> {
  const health: unknown = await (await fetch(`${server.url}/v1/health`)).json();
  return JSON.stringify(health);
}

/** A secure call in which each side has seen `heads` signed heads; answers the recording and the last line of each. */
async function call(heads: number): Promise<{ id: string; lines: [string, string] }> {
  await Promise.all(
    [alice, bob].map(({ page }) =>
      page.evaluate(() => {
        const page = globalThis as unknown as {
          verbatim: { on(name: 'receipt', listener: () => void): () => void };
          heads: number;
          listens?: boolean;
        };
        page.heads = 0;
        if (!page.listens)
          page.verbatim.on('receipt', () => {
            page.heads += 1;
          });
        page.listens = true;
      }),
    ),
  );
  await alice.call('secure');
  await bob.accept();
  const id = await recordingIdOf(alice);
  for (const { page } of [alice, bob])
    await page.waitForFunction(
      (count) => (globalThis as unknown as { heads: number }).heads >= count,
      heads,
      {
        timeout: 30_000,
      },
    );
  const line = (person: Person): Promise<string> => person.page.getByTestId('call-chain').innerText();
  return { id, lines: [await line(alice), await line(bob)] };
}

let first = '';

t.test('F36 both see and keep the heads of a call, and its recording fits them', async (t) => {
  const { id, lines } = await call(3);
  first = id;
  t.match(lines[0], /^chain [0-9a-f]{4}…[0-9a-f]{2} · [1-9]\d*$/);
  t.equal(lines[0], lines[1], 'F20 both see the same');
  await bob.hangUp();
  for (const person of [alice, bob]) {
    t.equal(await verdict(person, id, 'confirmed').then((line) => line.split('\n')[0]?.trim()), MATCHES);
    await person.open();
    await verdict(person, id, 'confirmed');
    t.pass('and says so after a reload');
  }
  t.notMatch(await openAlarms(), /receipt_mismatch/);
});

const MATCHES = 'Matches what this browser saw during the call Check again';

t.test('F38 the button in the row saves the bundle, and the bundle verifies', async (t) => {
  const saved = alice.page.waitForEvent('download');
  await alice.page.locator(`[data-recording-id="${first}"]`).getByTestId('recording-bundle').click();
  const bytes = await readFile(await (await saved).path());
  const report = await verifyBundle(new Uint8Array(bytes));
  t.equal(report.ok, true, JSON.stringify(report.checks.filter(({ ok }) => !ok)));
  t.equal(report.facts?.recording, first);
});

t.test('F36 a journal that was cut behind the server’s back is found at the next sign-in', async (t) => {
  const { id } = await call(1);
  // The page goes, which ends the call; what follows happens while this person is away.
  await bob.page.goto('about:blank');
  await alice.waitStatus('ended');
  await verdict(alice, id, 'confirmed');
  const journal = dataPaths(server.dataDir).journal(id, 1);
  await copyFile(journal, join(stage.folder, 'whole.scj'));
  await truncate(journal, Math.floor((await readFile(journal)).length / 2));
  await bob.open();
  t.match(await verdict(bob, id, 'mismatch'), /MISMATCH: this is not what this browser saw/);
  const color = () =>
    bob.page
      .locator(`[data-recording-id="${id}"]`)
      .getByTestId('recording-evidence')
      .evaluate((element) => {
        const view = globalThis as unknown as { getComputedStyle(of: unknown): { color: string } };
        return view.getComputedStyle(element).color;
      });
  // The list is drawn anew when the server's own finding comes, and an element that was just replaced has no colour.
  await until(color, (seen) => seen === 'rgb(208, 49, 45)', 'the verdict in red');
  await until(openAlarms, (health) => health.includes('receipt_mismatch'), 'an alarm for the operator');
  await verdict(bob, first, 'confirmed');
  t.pass('the other recording is as it was');
});

t.test('F36 another recording’s journal in the place of the true one is found on asking again', async (t) => {
  await copyFile(join(stage.folder, 'whole.scj'), dataPaths(server.dataDir).journal(first, 1));
  for (const person of [alice, bob]) {
    await person.page.locator(`[data-recording-id="${first}"]`).getByTestId('recording-recheck').click();
    t.match(await verdict(person, first, 'mismatch'), /does not lead to the finished recording|cannot show/);
  }
  t.same([...alice.complaints, ...bob.complaints], [], 'the pages did not complain');
});
