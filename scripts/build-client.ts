import { resolve } from 'node:path';
import { buildClient } from './lib/client-build.ts';

await buildClient(resolve(import.meta.dirname, '..'), (sentence) => console.log(sentence));
