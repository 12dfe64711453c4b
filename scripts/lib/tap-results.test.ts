import t from 'tap';
import type { FileResult } from './tap-results.ts';
import { TapResults } from './tap-results.ts';

function read(lines: string): { files: Omit<FileResult, 'text'>[]; bailed: boolean } {
  const files: Omit<FileResult, 'text'>[] = [];
  const results = new TapResults(({ text: _, ...rest }) => files.push(rest));
  for (const line of lines.replace(/^\n/, '').split('\n')) results.line(line);
  results.end();
  return { files, bailed: results.bailed };
}

t.test(
  'a passing file counts its innermost tests, and assertions of a file without tests as one',
  async (t) => {
    const { files } = read(`
TAP version 14
# Subtest: a.test.ts
    # Subtest: outer
        ok 1 - should be equal
        # Subtest: inner a
            ok 1 - should be equal
            1..1
        ok 2 - inner a # time=1.249ms

        ok 3 - inner b # SKIP no redis
        1..3
    ok 1 - outer # time=8.521ms

    # Subtest: slow
        ok 1 - should be equal
        1..1
    ok 2 - slow # time=502.242ms

    1..2
ok 1 - a.test.ts # time=515.328ms

# Subtest: b.test.ts
    ok 1 - should be equal
    ok 2 - should be equal
    1..2
ok 2 - b.test.ts # time=5.1ms

1..2`);
    t.strictSame(files, [
      { file: 'a.test.ts', passed: 2, failed: [], skipped: ['a.test.ts > outer > inner b (no redis)'] },
      { file: 'b.test.ts', passed: 1, failed: [], skipped: [] },
    ]);
  },
);

t.test(
  'a failing assertion fails its test once, and the text of diagnostics is not read as results',
  async (t) => {
    const { files } = read(`
# Subtest: a.test.ts
    # Subtest: fails
        not ok 1 - should be equal
          ---
          source: |
            not ok 7 - this is text
          diff: |
            ok 8 - and this
          ...

        1..1
    not ok 1 - fails # time=13.037ms
      ---
      at:
        fileName: a.test.ts
      ...

    # Subtest: works
        ok 1 - should be equal
        1..1
    ok 2 - works # time=1ms

    1..2
not ok 1 - a.test.ts # time=21.684ms
  ---
  exitCode: 1
  ...
`);
    t.strictSame(files, [{ file: 'a.test.ts', passed: 1, failed: ['a.test.ts > fails'], skipped: [] }]);
  },
);

t.test('a test that began and never ended has failed', async (t) => {
  const { files } = read(`
# Subtest: a.test.ts
    # Subtest: first
        ok 1 - should be equal
        1..1
    ok 1 - first # time=2ms

    # Subtest: never reached
        not ok 1 - test unfinished
        1..1
    1..1
not ok 1 - a.test.ts # time=21.684ms`);
  t.strictSame(files, [{ file: 'a.test.ts', passed: 1, failed: ['a.test.ts > never reached'], skipped: [] }]);
});

t.test('a file that ends badly although all its tests passed has failed', async (t) => {
  const { files } = read(`
# Subtest: a.test.ts
    # Subtest: first
        ok 1 - should be equal
        1..1
    ok 1 - first # time=2ms

    1..1
not ok 1 - a.test.ts # time=21.684ms
  ---
  signal: SIGKILL
  ...`);
  t.strictSame(files, [
    {
      file: 'a.test.ts',
      passed: 1,
      failed: ['a.test.ts (crashed, timed out or left its plan)'],
      skipped: [],
    },
  ]);
});

t.test('a file without a test has failed, and so has one in which the stream breaks off', async (t) => {
  const { files } = read(`
# Subtest: a.test.ts
    1..0 # no tests found
ok 1 - a.test.ts # SKIP no tests found

# Subtest: b.test.ts
    # Subtest: first
        ok 1 - should be equal`);
  t.strictSame(files, [
    { file: 'a.test.ts', passed: 0, failed: ['the file holds no test'], skipped: [] },
    { file: 'b.test.ts', passed: 0, failed: ['b.test.ts > first'], skipped: [] },
  ]);
});

t.test('buffered subtests in braces count like the others', async (t) => {
  const { files } = read(`
ok 1 - a.test.ts # time=5ms {
    ok 1 - first # time=1ms {
        ok 1 - should be equal
        1..1
    }

    not ok 2 - second # time=1ms {
        not ok 1 - should be equal
        1..1
    }

    1..2
}
`);
  t.strictSame(files, [{ file: 'a.test.ts', passed: 1, failed: ['a.test.ts > second'], skipped: [] }]);
});

t.test(
  'the diagnostics that follow a file belong to its text, and a file is told before the next begins',
  async (t) => {
    const told: string[] = [];
    const results = new TapResults(({ file, text }) => told.push(`${file}: ${text}`));
    const lines = [
      '# Subtest: a.test.ts',
      '    ok 1 - x',
      'not ok 1 - a.test.ts',
      '  ---',
      '  signal: SIGALRM',
      '  ...',
    ];
    for (const line of lines) results.line(line);
    t.strictSame(told, []);
    results.line('');
    t.strictSame(told, [`a.test.ts: ${lines.join('\n')}`]);
  },
);

t.test('a bail-out is noticed', async (t) => {
  t.equal(read('Bail out! the disk is full').bailed, true);
});
