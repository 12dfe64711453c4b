import { join } from 'node:path';
import t from 'tap';
import { ensureTools, findProgram } from './tools.ts';

t.test('a program is found by PATH, and only if it can be run', async (t) => {
  const folder = t.testdir({ 'not-executable': '' });
  const path = process.env.PATH;
  t.teardown(() => {
    process.env.PATH = path;
  });
  process.env.PATH = `${folder}:${path}`;
  t.match(findProgram('sh'), /\/sh$/);
  t.equal(findProgram('not-executable'), undefined, join(folder, 'not-executable'));
});

t.test('where nothing can be installed, one sentence names every missing package once', async (t) => {
  const path = process.env.PATH;
  t.teardown(() => {
    process.env.PATH = path;
  });
  process.env.PATH = t.testdir({});
  const tools = [
    { program: 'ffmpeg', package: 'ffmpeg' },
    { program: 'ffprobe', package: 'ffmpeg' },
    { program: 'sox', package: 'sox' },
  ];
  await t.rejects(
    ensureTools('The test suite', tools, () => t.fail('nothing is done')),
    { message: 'The test suite needs programs that are not installed: ffmpeg, sox.' },
  );
});

t.test('where every program is there, nothing is done and nothing is said', async (t) => {
  await ensureTools('The test suite', [{ program: 'sh', package: 'dash' }], () => t.fail('nothing is said'));
  t.pass('it came back');
});
