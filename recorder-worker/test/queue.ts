/** The recorder's end of the queue, for tests of both ends together. */
export { WorkerQueue } from '../queue.ts';
