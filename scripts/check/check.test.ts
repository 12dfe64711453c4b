import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import t from 'tap';
import { findCycles, importCycles } from './cycles.ts';
import { compareRows, rowsOf } from './dependencies.ts';
import { faultsOf } from './forbidden.ts';
import { doorsOf, ROOMS, roomOf } from './import-table.ts';
import { COMPUTED, importsOf, targetOf } from './imports.ts';
import { importTable, refusal } from './imports-check.ts';
import { lockFaults } from './lock-file.ts';
import { headerFault } from './room-headers.ts';
import { typeText } from './schema-text.ts';

const MANIFEST = JSON.stringify({
  imports: { '#protocol': './core/protocol/index.ts', '#store': './core/store/index.ts' },
});

/** A project of these files in a folder of its own. */
async function project(t: Test, files: Record<string, string>): Promise<string> {
  const root = t.testdir({});
  for (const [path, text] of Object.entries({ 'package.json': MANIFEST, ...files })) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return root;
}

/** The answer of the import table for one import of one file. */
function answer(from: string, specifier: string, typeOnly = false): string | undefined {
  const doors = { '#protocol': './core/protocol/index.ts', '#store': './core/store/index.ts' };
  return refusal({ from, specifier, line: 1, typeOnly, target: targetOf(from, specifier, doors) });
}

t.test(
  'the check of a whole project names the file and line of a forbidden import and nothing else',
  async (t) => {
    const root = await project(t, {
      'core/http/index.ts':
        "import { x } from '../auth/index.ts';\nimport * as media from '../media/index.ts';\n",
      'core/auth/index.ts': "export const x = 1;\nimport { y } from '#protocol';\n",
      'core/media/index.ts': "import { createWorker } from 'mediasoup';\n",
      'core/protocol/index.ts': 'export const y = 1;\n',
    });
    const problems = await importTable.run(root);
    t.strictSame(
      problems.map(({ where, what }) => [where, what]),
      [['core/http/index.ts:2', 'core/http may not import core/media']],
    );
  },
);

t.test('every way to write an import is seen, with its line', async (t) => {
  const text = [
    "import a from 'a';",
    "import type { B } from 'b';",
    "import { type C, type D } from 'c';",
    "import { type E, f } from 'd';",
    "import 'e';",
    "export * from 'f';",
    "export type { G } from 'g';",
    "export { h } from 'h';",
    "type I = import('i').I;",
    "const j = await import('j');",
    "const k = require('k');",
    "import l = require('l');",
    "const m = import.meta.resolve('m');",
    'const n = await import("n" + j);',
    "const notAnImport = \"import x from 'z'\"; // import y from 'z'",
  ].join('\n');
  t.strictSame(
    importsOf('x.ts', text).map(({ specifier, line, typeOnly }) => [specifier, line, typeOnly]),
    [
      ['a', 1, false],
      ['b', 2, true],
      ['c', 3, true],
      ['d', 4, false],
      ['e', 5, false],
      ['f', 6, false],
      ['g', 7, true],
      ['h', 8, false],
      ['i', 9, true],
      ['j', 10, false],
      ['k', 11, false],
      ['l', 12, false],
      ['m', 13, false],
      [COMPUTED, 14, false],
    ],
  );
});

t.test('imports of a Vue component are read from its script parts, with the lines of the file', async (t) => {
  const text =
    '<template>\n  <p>import x</p>\n</template>\n<script setup lang="ts">\nimport { ref } from \'vue\';\n</script>\n';
  t.strictSame(importsOf('x.vue', text), [{ specifier: 'vue', line: 5, typeOnly: false }]);
});

t.test('the import table refuses what design forbids', async (t) => {
  const refused: [from: string, specifier: string, typeOnly?: boolean][] = [
    ['core/call/call.ts', 'mediasoup'],
    ['core/call/call.ts', 'mediasoup', true],
    ['core/media/media.ts', 'bullmq'],
    ['core/recording/index.ts', '../media/index.ts'],
    ['core/recording/index.ts', '../store/journal.ts'],
    ['core/protocol/errors.ts', 'node:fs'],
    ['core/ledger/index.ts', 'node:fs'],
    ['core/db/index.ts', 'fs'],
    ['core/app.ts', '../recorder-worker/index.ts'],
    ['core/app.ts', '../client/sdk/index.ts'],
    ['core/http/index.ts', '../../scripts/lib/people.ts'],
    ['core/signaling/index.ts', 'ws'],
    ['core/auth/index.ts', './session.test.ts'],
    ['client/sdk/client.ts', '#protocol'],
    ['client/sdk/client.ts', 'node:crypto'],
    ['client/demo/main.ts', '../../core/auth/index.ts'],
    ['core/auth/index.ts', COMPUTED],
    ['elsewhere/index.ts', 'typebox'],
    ['core/call/call.test.ts', '../media/worker.ts'],
    ['core/auth/index.ts', '../../../outside.ts'],
  ];
  for (const [from, specifier, typeOnly] of refused)
    t.type(answer(from, specifier, typeOnly), 'string', `${from} <- ${specifier}`);
});

t.test('the import table allows what design allows', async (t) => {
  const allowed: [from: string, specifier: string, typeOnly?: boolean][] = [
    ['core/media/worker.ts', 'mediasoup'],
    ['core/recording/queue.ts', 'bullmq'],
    ['recorder-worker/job.ts', 'bullmq'],
    ['core/recording/index.ts', '#store'],
    ['core/recording/index.ts', '../store/index.ts'],
    ['core/auth/index.ts', './session.ts'],
    ['core/auth/sessions.ts', '../db/sessions-grants.ts'],
    ['core/app.ts', './media/index.ts'],
    ['core/ledger/index.ts', 'node:crypto'],
    ['client/sdk/client.ts', '#protocol', true],
    ['client/sdk/client.ts', 'mediasoup-client'],
    ['core/signaling/index.ts', 'ws', true],
    ['scripts/bench/recorder.ts', '#store'],
    ['core/call/call.test.ts', './call.ts'],
    ['core/call/call.test.ts', '../media/index.ts'],
    ['core/test/journey.test.ts', '../../scripts/lib/people.ts'],
    ['core/call/call.test.ts', 'fast-check'],
  ];
  for (const [from, specifier, typeOnly] of allowed)
    t.equal(answer(from, specifier, typeOnly), undefined, `${from} <- ${specifier}`);
});

t.test('the table itself has no cycle, names every room once and only rooms that exist', async (t) => {
  const paths = ROOMS.map((room) => room.path);
  t.equal(new Set(paths).size, paths.length);
  for (const room of ROOMS) {
    for (const other of [...room.rooms, ...(room.typesOf ?? [])]) t.ok(paths.includes(other), other);
    for (const door of doorsOf(room)) t.equal(roomOf(door), room, door);
  }
  const next = new Map(ROOMS.map((room) => [room.path, new Set([...room.rooms, ...(room.typesOf ?? [])])]));
  t.strictSame(findCycles(next), []);
});

t.test('a cycle of imports is found and printed as the shortest way round, one for each knot', async (t) => {
  const root = await project(t, {
    'core/auth/a.ts': "import './b.ts';\nimport './c.ts';\n",
    'core/auth/b.ts': "import './c.ts';\n",
    'core/auth/c.ts': "import type { A } from './a.ts';\n",
    'core/auth/d.ts': "import './a.ts';\nimport './d.ts';\n",
    'core/auth/e.ts': "import './d.ts';\n",
  });
  t.strictSame(
    (await importCycles.run(root)).map(({ what }) => what),
    [
      'imports itself: core/auth/a.ts -> core/auth/c.ts -> core/auth/a.ts',
      'imports itself: core/auth/d.ts -> core/auth/d.ts',
    ],
  );
});

t.test('a project without a cycle has none', async (t) => {
  const root = await project(t, { 'core/auth/a.ts': "import './b.ts';\n", 'core/auth/b.ts': '' });
  t.strictSame(await importCycles.run(root), []);
});

t.test('a room whose index.ts does not open with its three lines is named', async (t) => {
  const good =
    '// auth: who somebody is, and what a token proves.\n// Not here: what they may do.\n// Imported by: signaling, http.\n';
  t.equal(headerFault(good), undefined);
  t.match(headerFault(`\n${good}`), 'first line');
  t.match(headerFault(good.replace('Not here: ', '')), 'second line');
  t.match(headerFault(good.replace('Imported by', 'Used by')), 'third line');
});

t.test('the page of dependencies must agree with package.json and with what the packages say', async (t) => {
  const page =
    '| package | version | licence | why |\n|---|---|---|---|\n| `a` | 1.0.0 | MIT | does the thing |\n';
  const licences = new Map([
    ['a', 'MIT'],
    ['b', 'ISC'],
  ]);
  t.strictSame(compareRows({ a: '1.0.0' }, rowsOf(page), licences), []);
  const whats = (wanted: Record<string, string>, text = page): string[] =>
    compareRows(wanted, rowsOf(text), licences).map(({ what }) => what);
  t.strictSame(whats({ a: '1.0.1' }), ['a is 1.0.0']);
  t.strictSame(whats({ a: '^1.0.0' }), ['a is not pinned: ^1.0.0', 'a is 1.0.0']);
  t.strictSame(whats({ a: '1.0.0', b: '2.0.0' }), ['b is missing']);
  t.strictSame(whats({}), ['a is not in package.json']);
  t.strictSame(whats({ a: '1.0.0' }, page.replace('MIT', 'GPL')), ['a has the licence GPL']);
  t.strictSame(whats({ a: '1.0.0' }, page.replace('does the thing', '')), ['a does not say why it is here']);
});

t.test(
  'a lock file with an address, a stale root or a hole in its optional packages is refused',
  async (t) => {
    const manifest = { dependencies: { a: '1.0.0' } };
    const good = {
      '': manifest,
      'node_modules/a': { version: '1.0.0', optionalDependencies: { 'a-linux': '1.0.0' } },
      'node_modules/a-linux': { version: '1.0.0' },
    };
    t.strictSame(lockFaults(good, manifest), []);
    const whats = (packages: Parameters<typeof lockFaults>[0]): string[] =>
      lockFaults(packages, manifest).map(({ what }) => what);
    t.strictSame(
      whats({ ...good, 'node_modules/b': { version: '1.0.0', resolved: 'https://example.org/b.tgz' } }),
      ['node_modules/b names the address https://example.org/b.tgz'],
    );
    t.strictSame(whats({ '': manifest, 'node_modules/a': good['node_modules/a'] }), [
      'a-linux@1.0.0, which node_modules/a names as optional, is missing',
    ]);
    t.strictSame(whats({ ...good, '': { dependencies: { a: '2.0.0' } } }), [
      'its dependencies are not those of package.json',
    ]);
  },
);

t.test('content that no file may hold is found with its line', async (t) => {
  const found = (path: string, text: string): string[] =>
    faultsOf(path, Buffer.from(text)).map(({ where, what }) => `${where} ${what}`);
  t.strictSame(found('a.ts', 'export const a = 1;\n'), []);
  t.strictSame(found('a.md', `one\n${'-'.repeat(5)}BEGIN PRIVATE KEY${'-'.repeat(5)}\n`), [
    'a.md:2 holds a private key',
  ]);
  t.strictSame(found('a.md', `one\n${'<'.repeat(7)} HEAD\n`), ['a.md:2 holds a merge conflict']);
  t.strictSame(found('a.md', `see /${'home'}/someone/code\n`), ['a.md:1 names a folder of one machine']);
  t.strictSame(found('a.ts', `// @ts-${'ignore'}\n`), ['a.ts:1 silences the type checker']);
  t.strictSame(found('a.test.ts', `t.${'only'}('x')\n`), ['a.test.ts:1 leaves tests out for good']);
  t.strictSame(found('a.test.ts', `await ${'sleep'}(10)\n`), ['a.test.ts:1 sleeps']);
  t.strictSame(found('a.ts', `await ${'sleep'}(10)\n`), [], 'outside tests waiting is a matter of the code');
  t.strictSame(found('a.bin', 'a\0b'), ['a.bin is binary']);
  t.match(found('a.ts', 'x'.repeat(300_000)), [/^a.ts has 300000 bytes/]);
});

t.test('a schema is printed as a type with its bounds', async (t) => {
  t.equal(
    typeText({
      type: 'object',
      required: ['a'],
      properties: {
        a: { type: 'string', minLength: 1, maxLength: 3 },
        b: { anyOf: [{ const: 'x' }, { const: 'y' }] },
        c: { type: 'array', items: { enum: ['p', 'q'] }, maxItems: 2 },
        d: { type: 'object', patternProperties: { '^.*$': {} } },
        e: { type: 'integer', minimum: 1 },
      },
    }),
    [
      '{',
      '  a: string /* 1 to 3 characters */;',
      "  b?: 'x' | 'y';",
      "  c?: ('p' | 'q')[] /* at most 2 items */;",
      '  d?: Record<string, unknown>;',
      '  e?: integer /* at least 1 */;',
      '}',
    ].join('\n'),
  );
});
