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

function rowOf(person: Person, id: string) {
  return person.page.locator(`[part~="row"][data-recording-id="${id}"]`);
}

/** The line of a recording, once it says this. */
async function verdict(person: Person, id: string, expected: string): Promise<string> {
  const row = rowOf(person, id);
  const toggle = person.part('toggle', row);
  await toggle.waitFor();
  if ((await toggle.getAttribute('aria-expanded')) !== 'true') await toggle.click();
  const line = row.locator(`[part~="evidence"][data-verdict="${expected}"]`);
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
  const line = (person: Person): Promise<string> => person.part('chain').innerText();
  return { id, lines: [await line(alice), await line(bob)] };
}

let first = '';
const MISMATCH = /Mismatch: this is not what this browser saw/;

t.test('F36 both see and keep the heads of a call, and its recording fits them', async (t) => {
  const { id, lines } = await call(3);
  first = id;
  t.match(lines[0], /^seal [0-9a-f]{4}…[0-9a-f]{2} · [1-9]\d*$/);
  t.equal(lines[0], lines[1], 'F20 both see the same');
  await bob.hangUp();
  for (const person of [alice, bob]) {
    await verdict(person, id, 'confirmed');
    await person.open();
    await verdict(person, id, 'confirmed');
    t.pass('and says so after a reload');
  }
  t.notMatch(await openAlarms(), /receipt_mismatch/);
});

t.test('F38 the button in the row saves the bundle, and the bundle verifies', async (t) => {
  const saved = alice.page.waitForEvent('download');
  await alice.part('bundle', rowOf(alice, first)).click();
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
  t.match(await verdict(bob, id, 'mismatch'), MISMATCH);
  t.match(
    await bob.part('toggle', rowOf(bob, id)).innerText(),
    MISMATCH,
    'also in the row that is not opened',
  );
  await until(openAlarms, (health) => health.includes('receipt_mismatch'), 'an alarm for the operator');
  await verdict(bob, first, 'confirmed');
  t.pass('the other recording is as it was');
});

t.test('F36 another recording’s journal in the place of the true one is found on asking again', async (t) => {
  await copyFile(join(stage.folder, 'whole.scj'), dataPaths(server.dataDir).journal(first, 1));
  for (const person of [alice, bob]) {
    await person.page.evaluate(async (id) => {
      const page = globalThis as unknown as { verbatim: { checkEvidence(id: string): Promise<unknown> } };
      await page.verbatim.checkEvidence(id);
    }, first);
    t.match(await verdict(person, first, 'mismatch'), MISMATCH);
  }
  t.same([...alice.complaints, ...bob.complaints], [], 'the pages did not complain');
});
