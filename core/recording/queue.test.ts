import { randomUUID } from 'node:crypto';
import t from 'tap';
import type { FinaliseJob, RecorderCommand, RecorderEvent } from '#protocol';
import { RecorderQueue } from './queue.ts';
import { silent, startServers } from './test/backends.ts';
import { connectWorker } from './test/worker.ts';
