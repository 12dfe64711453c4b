import { MAX_BUNDLE_BYTES, verifyBundle } from './bundle.ts';
import type { BundleFacts, BundleReport } from './report.ts';

/** What each check means, for a reader who knows no cryptography. */
const WORDS: Readonly<Record<string, string>> = {
  zip: 'The bundle is whole',
  manifest: 'Every file is the one that the list names',
  'log-key': 'The log’s key is well-formed',
  checkpoint: 'The log signed this head',
  'consent-caller': 'The caller’s consent is in the log',
  'consent-callee': 'The called side’s consent is in the log',
  'rec-final': 'The finished recording is in the log',
  opening: 'The bundle opens that entry',
  recording: 'The audio is the one that the log commits to',
  coverage: 'What was captured and what was lost',
  'party-caller': 'Who called',
  'party-callee': 'Who was called',
  'disclosure-caller': 'The text that the caller agreed to',
  'disclosure-callee': 'The text that the called side agreed to',
  chain: 'The recording was chained as it was made',
  receipts: 'Heads that left the server during the call',
  vcon: 'The signed summary (vCon)',
};

const drop = byId('drop');
const input = byId('file');
if (!(input instanceof HTMLInputElement)) throw new Error('the page is damaged');
/** Only the newest choice may show its result. */
let turn = 0;

input.addEventListener('change', () => {
  const [file] = input.files ?? [];
  if (file !== undefined) void check(file);
});
for (const name of ['dragover', 'dragleave', 'drop']) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle('over', name === 'dragover');
    const file = event instanceof DragEvent && name === 'drop' ? event.dataTransfer?.files[0] : undefined;
    if (file !== undefined) void check(file);
  });
}

async function check(file: File): Promise<void> {
  turn += 1;
  const mine = turn;
  byId('result').hidden = true;
  say(`Checking ${file.name} …`);
  try {
    if (crypto.subtle === undefined) {
      throw new Error('this browser computes no hashes on this page: open it in a current browser');
    }
    if (file.size > MAX_BUNDLE_BYTES)
      throw new Error('the file is too large for a browser: use verify.mjs with Node');
    const report = await verifyBundle(new Uint8Array(await file.arrayBuffer()));
    if (mine !== turn) return;
    say('');
    show(report);
  } catch (error) {
    if (mine === turn)
      say(`It could not be checked: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

function show({ ok, checks, facts }: BundleReport): void {
  const failed = checks.filter((each) => !each.ok).length;
  const verdict = byId('verdict');
  verdict.className = ok ? 'good' : 'bad';
  verdict.textContent = ok
    ? 'Everything fits. The recording, both consents and the log belong together and were not changed.'
    : `This bundle does not prove its recording: ${failed === 1 ? 'one check' : `${failed} checks`} failed. Something was changed, or it is not a whole bundle.`;
  byId('facts').replaceChildren(...(facts === undefined ? [] : factRows(facts)));
  byId('checks').replaceChildren(
    ...checks.map((each) => {
      const item = document.createElement('li');
      item.dataset.check = each.check;
      item.dataset.ok = String(each.ok);
      item.append(
        span(`mark ${each.ok ? 'good' : 'bad'}`, each.ok ? 'Fits' : 'Wrong'),
        span('what', WORDS[each.check] ?? each.check),
        span('detail', each.detail),
      );
      return item;
    }),
  );
  byId('limits').hidden = !ok;
  byId('vkey').textContent = facts?.vkeys.join('\n') ?? '';
  byId('result').hidden = false;
}

function factRows(facts: BundleFacts): HTMLElement[] {
  const rows: [string, string][] = [
    ['Call', `${facts.caller} called ${facts.callee}`],
    ['From', new Date(facts.startedAt).toLocaleString()],
    ['To', new Date(facts.endedAt).toLocaleString()],
    ['Length', lengthOf(facts.durationMs)],
    ['Recording', facts.recording],
    ['SHA-256', facts.sha256],
    ['Log', `${facts.origin}, ${facts.checkpointSize} entries at that time`],
  ];
  return rows.flatMap(([name, value]) => {
    const term = document.createElement('dt');
    term.textContent = name;
    const text = document.createElement('dd');
    text.textContent = value;
    return [term, text];
  });
}

function lengthOf(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')} min`;
}

function say(text: string): void {
  byId('progress').textContent = text;
}

function span(className: string, text: string): HTMLElement {
  const element = document.createElement('span');
  element.className = className;
  element.textContent = text;
  return element;
}

function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page is damaged: ${id} is missing`);
  return element;
}
