// What: what the media worker is built from, as data and pure functions: version, sources, flags, the correction.
// What not: nothing here runs a program or writes a file; build.ts does.
// Who may import: scripts/media-worker only.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export const recipeDir = import.meta.dirname;

/** The folder of the installed mediasoup package, whose `worker/` holds the C++ sources. */
export const mediasoupDir = findMediasoupDir();

export const mediasoupPackage = readMediasoupPackage();

/** Debian packages that the build needs, beside what every Debian has. */
export const debianPackages: readonly string[] = [
  'g++',
  'cmake',
  'ninja-build',
  'flatbuffers-compiler',
  'libflatbuffers-dev',
  'libuv1-dev',
  'libssl-dev',
  'dpkg-dev',
];

export const compilerFlags: readonly string[] = [
  '-std=c++20',
  '-O2',
  '-DMS_LITTLE_ENDIAN',
  '-DMS_USE_BUILTIN_BWE',
  '-DMS_EXECUTABLE',
  '-DFLATBUFFERS_LOCALE_INDEPENDENT=1',
  // The worker's warnings are its authors' business; ours would be lost among them.
  '-w',
];

export const flatcFlags: readonly string[] = [
  '--cpp',
  '--cpp-field-case-style',
  'lower',
  '--reflect-names',
  '--scoped-enums',
  '--filename-suffix',
  '',
];

export const libsrtpFlags: readonly string[] = [
  '-DCMAKE_BUILD_TYPE=Release',
  '-DENABLE_OPENSSL=ON',
  '-DBUILD_SHARED_LIBS=OFF',
  '-DLIBSRTP_TEST_APPS=OFF',
];

/** Only compiled with libwebrtc's bandwidth estimation, which MS_USE_BUILTIN_BWE replaces. */
const libwebrtcSources = [
  'src/DepLibWebRTC.cpp',
  'src/RTC/TransportCongestionControlClient.cpp',
  'src/RTC/TransportCongestionControlServer.cpp',
];

/** What nearly every source includes; compiling it once makes the whole build about twice as fast. */
const precompiledIncludes = [
  'srtp.h',
  'ankerl/unordered_dense.h',
  'algorithm',
  'functional',
  'map',
  'memory',
  'sstream',
  'string',
  'unordered_map',
  'vector',
  'uv.h',
  'openssl/ssl.h',
  'flatbuffers/flatbuffers.h',
];

/** The source names of the worker executable, taken from its own meson.build. Throws when that looks unfamiliar. */
export function workerSources(mesonBuild: string): string[] {
  const start = mesonBuild.indexOf('common_sources = [');
  const end = mesonBuild.indexOf(']', start);

  if (start < 0 || end < 0) {
    throw new Error(
      'mediasoup’s meson.build has no list named common_sources: this recipe does not fit its version.',
    );
  }

  const names = [...mesonBuild.slice(start, end).matchAll(/'(src\/[\w/]+\.cpp)'/g)].map((match) =>
    String(match[1]),
  );
  const sources = names.filter((name) => !libwebrtcSources.includes(name));

  // 160 is far below today's number: it catches a list that was split in two, not one that lost a file.
  if (sources.length < 160 || !sources.includes('src/RTC/DtlsTransport.cpp')) {
    throw new Error(
      `mediasoup’s meson.build lists only ${sources.length} sources: this recipe does not fit its version.`,
    );
  }

  return [...sources, 'src/main.cpp'];
}

/** The text of the header that is compiled once and put in front of every source. */
export function precompiledHeader(schemas: readonly string[]): string {
  const generated = schemas.map((schema) => `FBS/${schema.replace(/\.fbs$/, '.h')}`);

  return [...precompiledIncludes, ...generated].map((name) => `#include <${name}>\n`).join('');
}

/**
 * OpenSSL calls `onSslBioOut` before and after every BIO operation, and takes what it answers afterwards as the
 * operation's own result. The original answers 1 to every combined operation, so the question "do you send through
 * kernel TLS?" (BIO_CTRL_GET_KTLS_SEND) gets a yes. An OpenSSL that is built with kernel TLS, as Debian's is, then
 * allocates no write buffer and the worker dies with SIGSEGV in its first DTLS handshake. The bit is what counts.
 */
export function correctDtlsTransport(source: string): string {
  const wrong = '(operationType == BIO_CB_RETURN) ? static_cast<long>(ret) : 1;';
  const right = '((operationType & BIO_CB_RETURN) != 0) ? static_cast<long>(ret) : 1;';
  const parts = source.split(wrong);

  if (parts.length !== 2) {
    throw new Error(
      `Expected the line to be corrected once in DtlsTransport.cpp, found it ${parts.length - 1} times: ` +
        'check whether this mediasoup version still needs the correction.',
    );
  }

  return parts.join(right);
}

export interface NinjaPaths {
  /** The copied `worker/` folder. */
  readonly workerDir: string;
  /** Holds `FBS/*.h`. */
  readonly generatedDir: string;
  /** Prefix in which libsrtp is installed. */
  readonly libsrtpDir: string;
  readonly compatDir: string;
  readonly sources: readonly string[];
  readonly binary: string;
}

/** A build.ninja for the worker; `pch.hpp` must lie beside it. Paths are given in full, relative ones are ninja's own. */
export function ninjaFile(paths: NinjaPaths): string {
  const includes = [
    paths.compatDir,
    join(paths.workerDir, 'include'),
    paths.generatedDir,
    join(paths.libsrtpDir, 'include'),
  ];
  const lines = [
    'ninja_required_version = 1.10',
    `cxxflags = ${compilerFlags.join(' ')} ${includes.map((dir) => `-I${shellWord(dir)}`).join(' ')}`,
    'rule pch',
    '  command = g++ $cxxflags -x c++-header $in -o $out',
    'rule cxx',
    '  command = g++ $cxxflags -include pch.hpp -c $in -o $out',
    'rule link',
    `  command = g++ -o $out $in ${shellWord(join(paths.libsrtpDir, 'lib', 'libsrtp2.a'))} -luv -lssl -lcrypto -lpthread`,
    'build pch.hpp.gch: pch pch.hpp',
  ];
  const objects = paths.sources.map((source) => source.replace(/\.cpp$/, '.o'));

  for (const [index, source] of paths.sources.entries()) {
    lines.push(`build ${objects[index]}: cxx ${ninjaPath(join(paths.workerDir, source))} | pch.hpp.gch`);
  }

  lines.push(`build ${ninjaPath(paths.binary)}: link ${objects.join(' ')}`, '');

  return lines.join('\n');
}

/** Changes whenever a file that decides what is built changes: every file here except the tests. */
export function recipeHash(): string {
  const files = ['recipe.ts', 'build.ts', 'libsrtp.ts', ...listFiles('compat')];
  const hash = createHash('sha256');

  for (const file of files.sort()) {
    const bytes = readFileSync(join(recipeDir, file));

    hash.update(`${file} ${bytes.length}\n`).update(bytes);
  }

  return hash.digest('hex').slice(0, 16);
}

function listFiles(folder: string): string[] {
  return readdirSync(join(recipeDir, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(recipeDir.length + 1));
}

function findMediasoupDir(): string {
  return dirname(dirname(dirname(createRequire(import.meta.url).resolve('mediasoup'))));
}

function readMediasoupPackage(): { version: string; repositoryUrl: string } {
  const parsed: unknown = JSON.parse(readFileSync(join(mediasoupDir, 'package.json'), 'utf8'));

  if (
    typeof parsed === 'object' &&
    parsed !== null &&
    'version' in parsed &&
    typeof parsed.version === 'string' &&
    'repository' in parsed &&
    typeof parsed.repository === 'object' &&
    parsed.repository !== null &&
    'url' in parsed.repository &&
    typeof parsed.repository.url === 'string'
  ) {
    return { version: parsed.version, repositoryUrl: parsed.repository.url };
  }

  throw new Error(`The package.json in ${mediasoupDir} names no version and repository.`);
}

function ninjaPath(path: string): string {
  return path.replace(/[$ :]/g, (char) => `$${char}`);
}

// A quoted word for the shell, with ninja's own dollar escaped.
function shellWord(path: string): string {
  return `'${path.replaceAll("'", `'\\''`).replaceAll('$', '$$$$')}'`;
}
