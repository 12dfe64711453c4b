// Says by its exit code whether node_modules holds what package-lock.json names: 0 yes, 1 no.
// Plain JavaScript, because it runs before Node 24 is there. npm writes node_modules/.package-lock.json
// as the last step of an installation, so one that was cut off does not count.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const [root = '.'] = process.argv.slice(2);

function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

const wanted = packagesOf('package-lock.json');
const present = packagesOf('node_modules/.package-lock.json');
const complete =
  wanted !== undefined &&
  present !== undefined &&
  Object.entries(wanted).every(([path, { version, optional, devOptional, peer }]) => {
    const there = present[path];
    // Optional packages are for other platforms mostly; npm itself decides which of them fit this one.
    return path === '' || (there ? there.version === version : Boolean(optional || devOptional || peer));
  });

process.exit(complete ? 0 : 1);
