import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { dataPaths } from './paths.ts';
import { quarantine } from './quarantine.ts';

const NOW = new Date('2026-03-04T05:06:07.089Z');
const why = 'epoch 1 contradicts itself';

t.test(
  'F33 contradictory files are moved as they are, with a note that says why and what they were',
  async (t) => {
    const paths = dataPaths(t.testdir({ journals: {}, wal: { one: {}, two: {} } }));
    const subject = randomUUID();
    const [one, two] = ['one', 'two'].map((recorder) => join(paths.log(recorder), '000000000001.wal'));
    const journal = paths.journal(subject, 1);
    const files = [journal, one ?? '', two ?? '', join(paths.journals, 'not-there.scj'), journal];
    for (const path of new Set(files))
      if (!path.includes('not-there')) writeFileSync(path, `content of ${path}`);
    const answer = await quarantine(paths, { subject, files, why, now: NOW });
    const dir = join(paths.quarantine, `${subject}-20260304T050607089Z`);
    t.equal(answer.dir, dir);
    t.same(
      readdirSync(dir).sort(),
      ['000000000001.2.wal', '000000000001.wal', `${subject}-1.scj`, 'why.json'].sort(),
    );
    t.same(
      answer.files.map(({ name, from }) => readFileSync(join(dir, name), 'utf8') === `content of ${from}`),
      [true, true, true],
    );
    const sha256 = createHash('sha256').update(`content of ${journal}`).digest('hex');
    const note = JSON.parse(readFileSync(join(dir, 'why.json'), 'utf8'));
    t.match(note, { v: 1, at: NOW.toISOString(), subject, why });
    t.same(note.files, answer.files);
    t.match(note.files[0], { from: journal, sha256, sizeBytes: `content of ${journal}`.length });
    t.same(
      [readdirSync(paths.journals), readdirSync(paths.log('one'))],
      [[], []],
      'nothing is left where they were',
    );
    t.equal(statSync(dir).mode & 0o777, 0o700);
  },
);

t.test(
  'what is asked again moves what is left, into a folder of its own, and replaces nothing',
  async (t) => {
    const paths = dataPaths(t.testdir({ journals: {} }));
    const subject = 'log-a';
    const path = join(paths.journals, 'a');
    const dirs: string[] = [];
    for (const content of ['first', 'second']) {
      writeFileSync(path, content);
      dirs.push((await quarantine(paths, { subject, files: [path], why, now: NOW })).dir);
    }
    t.same(
      dirs.map((dir) => readFileSync(join(dir, 'a'), 'utf8')),
      ['first', 'second'],
    );
    t.same(await quarantine(paths, { subject, files: [path], why, now: NOW }), {
      dir: paths.quarantine,
      files: [],
    });
    t.equal(readdirSync(paths.quarantine).length, 2, 'no folder for nothing');
  },
);

t.test('a folder is moved whole and a link as a link; a name that leads elsewhere is refused', async (t) => {
  const paths = dataPaths(t.testdir({ wal: { dead: { segment: 'bytes' } }, secret: 'secret' }));
  const link = join(paths.dataDir, 'link');
  symlinkSync(join(paths.dataDir, 'secret'), link);
  const { dir, files } = await quarantine(paths, { subject: 'x', files: [paths.log('dead'), link], why });
  t.equal(readFileSync(join(dir, 'dead', 'segment'), 'utf8'), 'bytes');
  t.same(
    files.map(({ sha256 }) => sha256),
    [null, null],
    'nobody followed the link',
  );
  t.equal(readFileSync(join(paths.dataDir, 'secret'), 'utf8'), 'secret');
  mkdirSync(join(paths.dataDir, 'more'));
  for (const subject of ['../x', '', 'a/b', '.hidden'])
    await t.rejects(quarantine(paths, { subject, files: [join(paths.dataDir, 'more')], why }), {
      code: 'internal',
    });
});
