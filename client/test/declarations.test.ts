import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { builtClient } from './browser.ts';

t.setTimeout(120_000);

const FILES = ['sdk/verbatim', 'sdk/testing', 'ui/verbatim-ui'];

/** A messenger's page, in the strictest TypeScript: what it does is right, and has to be taken. */
const RIGHT = `
import { VerbatimClient, VerbatimClientError, consentTo } from 'https://calls.example/sdk/verbatim.js';
import type { CallView, ClientEvents, EndReason } from 'https://calls.example/sdk/verbatim.js';
import { TestServer } from 'https://calls.example/sdk/testing.js';
import { connectVerbatim, setTexts, useClient } from 'https://calls.example/ui/verbatim-ui.js';

const server = new TestServer({ users: [{ id: 'ann', name: 'Ann' }], chats: [{ id: 'c', members: ['ann', 'ben'] }] });
const client: VerbatimClient = connectVerbatim(server.options('ann'));
client.on('ended', ({ call, error }) => {
  const reason: EndReason | undefined = call.endReason;
  if (error instanceof VerbatimClientError && error.code === 'microphone_denied') console.log(reason);
});
const listener = (seconds: ClientEvents['timer']): number => seconds.seconds;
client.on('timer', listener)();
const disclosure = await client.disclosure();
const call: CallView = await client.startCall({ chatId: 'c', mode: 'secure', consent: consentTo(disclosure) });
const { recordings, next } = await client.listRecordings(call.chatId, { limit: 10 });
for (const { state, durationMs = 0 } of recordings) if (state === 'available') console.log(durationMs, next?.length);

const button = document.querySelector('verbatim-call-button');
if (button) button.peerName = 'Ben';
const popup = document.createElement('verbatim-call-popup');
popup.silent = true;
popup.client = undefined;
popup.addEventListener('verbatim-incoming', ({ detail }) => console.log(detail.call.peer.name));
document.addEventListener('verbatim-call-ended', ({ detail }) => console.log(detail.error?.code));
const tab = document.createElement('verbatim-calls-tab');
tab.loadTimeline = async ({ id }) => ({ segments: [{ side: 'caller', text: id }], messages: [] });
setTexts('en', { button: { secure: 'Recorded call' }, errors: { user_offline: { what: 'Away.' } } });
useClient(new VerbatimClient({ url: 'https://calls.example', getToken: async () => 'token' }));
export { button, call, tab };
`;

/** Each line is wrong, and has to be refused. */
const WRONG = `
client.startCall({ chatId: 'c', mode: 'video' });
client.startCall({ mode: 'voice' });
client.on('finished', () => {});
client.on('ended', ({ reason }) => reason);
new VerbatimClient({ getToken: async () => 'token' });
client.call?.endReason === 'gone';
document.createElement('verbatim-call-popup').silent = 'yes';
document.createElement('verbatim-calls-tab').chat = 'c';
document.addEventListener('verbatim-incoming', ({ detail }) => detail.error);
setTexts('en', { button: { video: 'Video call' } });
server.microphone = 'broken';
server.setRecording('id', 'gone');
`;

t.test('F50 a messenger in strict TypeScript is checked against the types beside the modules', async (t) => {
  const { dir, remove } = await builtClient();
  t.teardown(remove);
  const folder = t.testdir({});
  // What the guide says that a messenger puts into its tsconfig.json.
  const guide = await readFile(join(import.meta.dirname, '../../docs/integrate.md'), 'utf8');
  const said: { compilerOptions: ts.CompilerOptions } = JSON.parse(
    /```json\n([\s\S]*?)```/.exec(guide)?.[1] ?? '',
  );
  for (const file of FILES) {
    const path = join(folder, 'types/verbatim', `${file}.d.ts`);
    await mkdir(dirname(path), { recursive: true });
    await copyFile(join(dir, `${file}.d.ts`), path);
  }
  const config = { ...said, files: ['right.ts'] };
  const { options: paths } = ts.parseJsonConfigFileContent(
    config,
    ts.sys,
    folder,
    undefined,
    join(folder, 'tsconfig.json'),
  );
  const options: ts.CompilerOptions = {
    ...paths,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    // Nothing of this project's own packages may help.
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: true,
    isolatedModules: true,
    skipLibCheck: false,
    noEmit: true,
  };
  const complaints = async (name: string, text: string): Promise<{ line: number; text: string }[]> => {
    const path = join(folder, name);
    await writeFile(path, text);
    return ts.getPreEmitDiagnostics(ts.createProgram([path], options)).map((each) => ({
      line: each.file && each.start ? ts.getLineAndCharacterOfPosition(each.file, each.start).line : 0,
      text: `${each.file?.fileName.replace(folder, '')}: ${ts.flattenDiagnosticMessageText(each.messageText, ' ')}`,
    }));
  };
  t.strictSame(await complaints('right.ts', RIGHT), []);

  const lines = WRONG.trim().split('\n');
  const first = RIGHT.split('\n').length - 1;
  const refused = new Set(
    (await complaints('wrong.ts', RIGHT + lines.join('\n'))).map(({ line }) => line - first),
  );
  t.strictSame(
    lines.filter((_, index) => !refused.has(index)),
    [],
    'what is wrong is refused',
  );
  t.equal(refused.size, lines.length, 'and nothing else');
});

t.test('the types declare what the modules export, by the same names', async (t) => {
  const { dir, remove } = await builtClient();
  t.teardown(remove);
  for (const file of FILES) {
    const declared = await readFile(join(dir, `${file}.d.ts`), 'utf8');
    const module = await readFile(join(dir, `${file}.js`), 'utf8');
    const exported = (/export\s*\{([^}]*)\}[^}]*$/.exec(module)?.[1] ?? '')
      .split(',')
      .map((each) => each.split(' as ').at(-1)?.trim() ?? '')
      .sort();
    t.ok(exported.length > 0, file);
    const values = [...declared.matchAll(/^declare (?:class|function) (\w+)/gm)].map(
      ([, name]) => name ?? '',
    );
    const last = /export \{ (.*) \};\n$/.exec(declared)?.[1]?.split(', ') ?? [];
    t.strictSame(values.filter((name) => last.includes(name)).sort(), exported, file);
  }
});
