// What: libsrtp 2 as a static library on OpenSSL, from Debian's source package.
// What not: no change to the system's package lists; everything lies in the folder that is given.
// Who may import: scripts/media-worker/build.ts.
//
// Debian's binary package is built on NSS, which costs 3.5-4.9 us for each packet protected or unprotected, against
// 0.5-0.8 us on OpenSSL: at 800 streams the difference is a quarter of the packets.

import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandOptions } from './command.ts';
import { MediaWorkerError, mustRun, runCommand } from './command.ts';
import { libsrtpFlags } from './recipe.ts';

/** Where Debian and Ubuntu keep the keys that sign their archives; the private list names one because it stands alone. */
const archiveKeyrings = [
  '/usr/share/keyrings/debian-archive-keyring.gpg',
  '/usr/share/keyrings/ubuntu-archive-keyring.gpg',
];

/** Fetches, checks (apt does, against the archive's signed checksums), builds; answers the prefix with `include/` and `lib/`. */
export async function buildLibsrtp(dir: string, options: CommandOptions): Promise<string> {
  const sourceDir = await fetchSource(dir, options);
  const buildDir = join(dir, 'build');
  const prefix = join(dir, 'installed');

  await mustRun(
    'Configuring libsrtp',
    'cmake',
    [
      '-S',
      sourceDir,
      '-B',
      buildDir,
      '-G',
      'Ninja',
      `-DCMAKE_INSTALL_PREFIX=${prefix}`,
      '-DCMAKE_INSTALL_LIBDIR=lib',
      ...libsrtpFlags,
    ],
    options,
  );
  await mustRun('Building libsrtp', 'ninja', ['-C', buildDir, 'install'], options);

  return prefix;
}

async function fetchSource(dir: string, options: CommandOptions): Promise<string> {
  const apt = privateApt(dir, await sourceLines());
  const downloadDir = join(dir, 'source');

  mkdirSync(downloadDir, { recursive: true });

  // A repository of somebody else's without sources makes the update fail; what counts is whether the source comes.
  await runCommand('apt-get', [...apt, 'update'], options);
  await mustRun(
    'Fetching the source of libsrtp',
    'apt-get',
    [...apt, 'source', '--download-only', 'libsrtp2'],
    {
      ...options,
      cwd: downloadDir,
    },
  );

  const description = readdirSync(downloadDir).find((name) => name.endsWith('.dsc'));

  if (description === undefined) {
    throw new MediaWorkerError('Fetching the source of libsrtp brought no source package.');
  }

  // `--no-check` skips the uploader's signature on the .dsc, whose key is in another keyring; apt has compared the
  // checksums of all three files with the signed index of the archive.
  await mustRun('Unpacking libsrtp', 'dpkg-source', ['--no-check', '-x', description, 'unpacked'], {
    ...options,
    cwd: downloadDir,
  });

  return join(downloadDir, 'unpacked');
}

/** deb-src lines for the repositories, taken from the system's own lists, in which libsrtp2 is to be found. */
async function sourceLines(): Promise<string[]> {
  const policy = await runCommand('apt-cache', ['policy', 'libsrtp2-dev']);
  const found = sourceLinesFromPolicy(policy.output);

  if (found.length > 0) {
    return found;
  }

  // The system's lists were never fetched: ask every repository that is configured.
  const targets = await runCommand('apt-get', [
    'indextargets',
    '--no-release-info',
    '--format',
    '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)',
  ]);
  const configured = sourceLinesFromTargets(targets.output);

  if (configured.length === 0) {
    throw new MediaWorkerError(
      'No package repository is configured for apt, so the source of libsrtp cannot be fetched: ' +
        'set MEDIASOUP_WORKER_BIN to a media worker that was built elsewhere.',
    );
  }

  return configured;
}

/** From `apt-cache policy`: lines such as ` 500 http://host/debian bookworm/main amd64 Packages`. */
export function sourceLinesFromPolicy(output: string): string[] {
  const matches = output.matchAll(/^\s+-?\d+ ([a-z+]+:\/\/\S+) (\S+)\/(\S+) \S+ Packages$/gm);

  return [
    ...new Set(
      [...matches].map(([, uri, suite, component]) => debSrc(String(uri), String(suite), String(component))),
    ),
  ];
}

/** From `apt-get indextargets` with the format above. */
export function sourceLinesFromTargets(output: string): string[] {
  const matches = output.matchAll(/^Packages (\S+) (\S+) (\S+)$/gm);

  return [
    ...new Set(
      [...matches].map(([, uri, suite, component]) => debSrc(String(uri), String(suite), String(component))),
    ),
  ];
}

function debSrc(uri: string, suite: string, component: string): string {
  const keyring = archiveKeyrings.find((path) => existsSync(path));

  return `deb-src ${keyring ? `[signed-by=${keyring}] ` : ''}${uri} ${suite} ${component}`;
}

/** apt options under which lists, archives and sources are ours alone; works without being root. */
function privateApt(dir: string, lines: readonly string[]): string[] {
  const aptDir = join(dir, 'apt');
  const sourceList = join(aptDir, 'sources.list');

  mkdirSync(join(aptDir, 'lists', 'partial'), { recursive: true });
  mkdirSync(join(aptDir, 'archives', 'partial'), { recursive: true });
  writeFileSync(sourceList, `${lines.join('\n')}\n`);

  const settings = {
    'Dir::Etc::sourcelist': sourceList,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::lists': join(aptDir, 'lists'),
    'Dir::Cache': aptDir,
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    'Acquire::http::Timeout': '30',
    // As root, apt would drop to a user who may not write into our folder.
    'APT::Sandbox::User': '',
  };

  return ['-q', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
}
