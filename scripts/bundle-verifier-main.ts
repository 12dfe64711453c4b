import { verifyBundleFile } from './bundle-verifier.ts';

process.exitCode = await verifyBundleFile(
  process.argv.slice(2),
  (text) => process.stdout.write(text),
  (text) => process.stderr.write(text),
);
