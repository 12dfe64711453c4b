import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { sourceLinesFromPolicy, sourceLinesFromTargets } from './libsrtp.ts';
import { packagesNotInstalled } from './packages.ts';
import { prebuiltUrl } from './prebuilt.ts';
import {
  correctDtlsTransport,
  debianPackages,
  mediasoupDir,
  ninjaFile,
  precompiledHeader,
  recipeHash,
  workerSources,
} from './recipe.ts';

const mesonBuild = readFileSync(join(mediasoupDir, 'worker', 'meson.build'), 'utf8');

t.test('the sources are those of the installed mediasoup without libwebrtc’s, and each exists', (t) => {
  const sources = workerSources(mesonBuild);
  t.ok(sources.includes('src/main.cpp'));
  t.notOk(sources.some((name) => /libwebrtc|TransportCongestionControl/i.test(name)));
  t.equal(new Set(sources).size, sources.length);
  for (const name of sources) {
    t.ok(readFileSync(join(mediasoupDir, 'worker', name)).length > 0);
  }
  t.end();
});

t.test('a meson.build of an unfamiliar shape is refused', (t) => {
  t.throws(() => workerSources(''), /no list named common_sources/);
  t.throws(() => workerSources("common_sources = [ 'src/lib.cpp' ]"), /lists only 1 sources/);
  t.end();
});

t.test('the correction fits the installed DtlsTransport.cpp and changes one line of it', (t) => {
  const before = readFileSync(join(mediasoupDir, 'worker', 'src', 'RTC', 'DtlsTransport.cpp'), 'utf8').split(
    '\n',
  );
  const after = correctDtlsTransport(before.join('\n')).split('\n');
  const changed = after.filter((line, index) => line !== before[index]);
  t.equal(after.length, before.length);
  t.equal(changed.length, 1);
  t.match(changed[0], /\(operationType & BIO_CB_RETURN\) != 0/);
  t.end();
});

t.test('a DtlsTransport.cpp without the line, or with two of it, or corrected already, is refused', (t) => {
  const line = '(operationType == BIO_CB_RETURN) ? static_cast<long>(ret) : 1;';
  t.throws(() => correctDtlsTransport('something else'), /found it 0 times/);
  t.throws(() => correctDtlsTransport(`${line}\n${line}`), /found it 2 times/);
  t.throws(() => correctDtlsTransport(correctDtlsTransport(line)), /found it 0 times/);
  t.end();
});

t.test('a path with spaces, quotes and dollars stays one path in build.ninja', (t) => {
  const file = ninjaFile({
    workerDir: "/tmp/it's $5/worker",
    generatedDir: '/g',
    libsrtpDir: '/s',
    compatDir: '/c',
    sources: ['src/main.cpp'],
    binary: '/tmp/a b/mediasoup-worker',
  });
  t.match(file, String.raw`-I'/tmp/it'\''s $$5/worker/include'`);
  t.match(file, "build src/main.o: cxx /tmp/it's$ $$5/worker/src/main.cpp | pch.hpp.gch");
  t.match(file, 'build /tmp/a$ b/mediasoup-worker: link src/main.o');
  t.end();
});

t.test('the precompiled header names the generated headers last', (t) => {
  t.match(
    precompiledHeader(['worker.fbs', 'log.fbs']),
    /#include <FBS\/worker\.h>\n#include <FBS\/log\.h>\n$/,
  );
  t.end();
});

t.test('the recipe’s hash is the same each time', (t) => {
  t.match(recipeHash(), /^[0-9a-f]{16}$/);
  t.equal(recipeHash(), recipeHash());
  t.end();
});

t.test('the source of libsrtp is asked of the repository that offers libsrtp, and of no other', (t) => {
  const policy = [
    'libsrtp2-dev:',
    '  Installed: (none)',
    '  Candidate: 2.5.0-3',
    '  Version table:',
    '     2.5.0-3 500',
    '        500 http://mirror.example/debian bookworm/main amd64 Packages',
    '        -1 https://other.example/debian bookworm-backports/main amd64 Packages',
    '        100 /var/lib/dpkg/status',
  ].join('\n');
  const lines = sourceLinesFromPolicy(policy);
  t.equal(lines.length, 2);
  t.match(lines[0], /^deb-src (\[signed-by=\S+\] )?http:\/\/mirror\.example\/debian bookworm main$/);
  t.match(lines[1], / https:\/\/other\.example\/debian bookworm-backports main$/);
  t.same(sourceLinesFromPolicy('N: Unable to locate package libsrtp2-dev'), []);
  t.end();
});

t.test('without lists every configured repository is asked once', (t) => {
  const targets = [
    'Packages http://mirror.example/debian/ bookworm main',
    'Packages http://mirror.example/debian/ bookworm main',
    'Translations http://mirror.example/debian/ bookworm main',
    'Packages http://mirror.example/security/ bookworm-security main',
  ].join('\n');
  t.equal(sourceLinesFromTargets(targets).length, 2);
  t.end();
});

t.test('a package that is half installed, removed or unknown counts as missing', (t) => {
  const lines = debianPackages.map((name) => `installed ${name}`);
  t.same(packagesNotInstalled(lines.join('\n')), []);
  t.same(packagesNotInstalled(''), debianPackages);
  const broken = lines.with(1, 'half-configured cmake').with(2, 'not-installed ninja-build');
  t.same(packagesNotInstalled(broken.join('\n')), ['cmake', 'ninja-build']);
  t.end();
});

t.test('the prebuilt’s address is the one that mediasoup’s install step would use', (t) => {
  const mediasoup = { version: '3.27.1', repositoryUrl: 'git+https://forge.example/versatica/mediasoup.git' };
  t.equal(
    prebuiltUrl(mediasoup, 'linux', 'x64', '6.1.0-31-amd64', {}),
    'https://forge.example/versatica/mediasoup/releases/download/3.27.1/mediasoup-worker-3.27.1-linux-x64-kernel6.tgz',
  );
  t.equal(
    prebuiltUrl(mediasoup, 'darwin', 'arm64', '23.1.0', {
      MEDIASOUP_WORKER_PREBUILT_DOWNLOAD_BASE_URL: 'http://mirror.example/workers',
    }),
    'http://mirror.example/workers/3.27.1/mediasoup-worker-3.27.1-darwin-arm64.tgz',
  );
  t.end();
});
